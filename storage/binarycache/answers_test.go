package binarycache

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"troupe/storage/narinfo"
	"troupe/storage/narinfocache"
)

// silent drops what servers say of connections that end.
var silent = log.New(io.Discard, "", 0)

// newAnswers is the real database, in memory.
func newAnswers(t *testing.T) *narinfocache.DB {
	t.Helper()
	db, err := narinfocache.Open("db", narinfocache.Options{FS: vfs.NewMem(), Positive: time.Hour, Negative: time.Hour, Meta: time.Hour})
	must(t, err)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// listening serves a sample as it is, and writes down what is asked.
func listening(t *testing.T, s *sample) (url string, asked func() string) {
	var mu sync.Mutex
	var lines []string
	files := http.FileServer(http.Dir(s.dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		lines = append(lines, filepath.Ext(r.URL.Path))
		mu.Unlock()
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() string {
		mu.Lock()
		defer mu.Unlock()
		defer func() { lines = nil }()
		return strings.Join(lines, " ")
	}
}

// A cache is asked once, whoever asks and over restarts; what turned out to be wrong is asked again.
func TestAnswersAreKept(t *testing.T) {
	s := newSample(t, "xz", false)
	url, asked := listening(t, s)
	answers := newAnswers(t)
	gone := parsePath(t, "rp73i1spasx5z3qd460yvwmy6gbdqc4d-dep")
	ask := func() *Cache {
		t.Helper()
		pool := NewPool(Settings{StoreDir: "/nix/store", Answers: answers})
		defer pool.Close()
		c, err := pool.Open(url)
		must(t, err)
		info, found, err := c.Info(context.Background(), s.info.Path)
		if err != nil || !found || info.NarHash != s.info.NarHash {
			t.Errorf("%+v, %v, %v", info, found, err)
		}
		if _, found, err := c.Info(context.Background(), gone); found || err != nil {
			t.Errorf("%v, %v", found, err)
		}
		return c
	}
	ask()
	if got := asked(); got != " .narinfo .narinfo" {
		t.Errorf("first it was asked %q", got)
	}
	ask()
	if got := asked(); got != "" {
		t.Errorf("then it was asked %q", got)
	}
	// A NAR that has gone.
	must(t, os.Rename(s.dir+"/nar", s.dir+"/away"))
	c := ask()
	if _, err := get(c, s); !is(err, Gone) {
		t.Errorf("%v", err)
	}
	must(t, os.Rename(s.dir+"/away", s.dir+"/nar"))
	if archive, err := get(ask(), s); err != nil || !bytes.Equal(archive, s.archive) {
		t.Errorf("%v", err)
	}
	if got := asked(); got != ".xz .narinfo .xz" {
		t.Errorf("after the NAR had gone it was asked %q", got)
	}
	// What is remembered is not trusted.
	answers.Remember(c.name, narinfo.FileName(s.info.Path), []byte("StorePath: x\n"), true)
	if _, _, err := c.Info(context.Background(), s.info.Path); !is(err, Corrupt) {
		t.Errorf("%v", err)
	}
	ask()
	// An upload ends a remembered absence.
	info := narinfo.Info{Path: gone, NarHash: s.info.NarHash, NarSize: s.info.NarSize}
	store := httptest.NewServer(&putServer{dir: s.dir})
	defer store.Close()
	pool := NewPool(Settings{StoreDir: "/nix/store", Answers: answers})
	defer pool.Close()
	c, err := pool.Open(store.URL)
	must(t, err)
	if _, found, err := c.Info(context.Background(), gone); found || err != nil {
		t.Errorf("before: %v, %v", found, err)
	}
	_, err = c.Upload(context.Background(), info, bytes.NewReader(s.archive))
	must(t, err)
	if _, found, err := c.Info(context.Background(), gone); !found || err != nil {
		t.Errorf("after: %v, %v", found, err)
	}
}

// Logs are read as Nix uploads them: packed for their way, or not.
func TestLog(t *testing.T) {
	s := newSample(t, "none", false)
	must(t, os.Mkdir(s.dir+"/log", 0o755))
	drv := parsePath(t, "i1kx9g2zbfgblhg37zik3s0vy4clkbzd-a?b+c.drv")
	must(t, os.WriteFile(s.dir+"/log/"+drv.Base(), []byte("a line\n"), 0o644))
	var packed bytes.Buffer
	w, err := pack(Config{Compression: "br", CompressionLevel: -1}, 0, &packed)
	must(t, err)
	io.WriteString(w, "a line\n")
	must(t, w.Close())
	files := http.FileServer(http.Dir(s.dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/br/log/"+drv.Base() {
			w.Header().Set("Content-Encoding", "br")
			w.Write(packed.Bytes())
			return
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	pool := NewPool(Settings{StoreDir: "/nix/store"})
	defer pool.Close()
	for _, url := range []string{"file://" + s.dir, server.URL, server.URL + "/br"} {
		c, err := pool.Open(url)
		must(t, err)
		log, found, err := c.Log(context.Background(), drv)
		if err != nil || !found {
			t.Errorf("%s: %v, %v", url, found, err)
			continue
		}
		text, err := io.ReadAll(log)
		if err := errors.Join(err, log.Close()); err != nil || string(text) != "a line\n" {
			t.Errorf("%s: %q, %v", url, text, err)
		}
	}
}

// Many look-ups go over one connection where the server speaks HTTP/2, and over few where it does not.
func TestFewConnections(t *testing.T) {
	s := newSample(t, "xz", false)
	for _, http1 := range []bool{false, true} {
		server := httptest.NewUnstartedServer(http.FileServer(http.Dir(s.dir)))
		var mu sync.Mutex
		conns, protocols := 0, map[string]bool{}
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			if state == http.StateNew {
				conns++
			}
		}
		files := server.Config.Handler
		server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			protocols[r.Proto] = true
			mu.Unlock()
			files.ServeHTTP(w, r)
		})
		server.EnableHTTP2 = true
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		server.StartTLS()
		settings := Settings{StoreDir: "/nix/store"}
		settings.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		settings.HTTP1, settings.Connections = http1, 5
		pool := NewPool(settings)
		c, err := pool.Open(server.URL)
		must(t, err)
		var askers sync.WaitGroup
		for i := range 500 {
			askers.Go(func() {
				p := parsePath(t, fmt.Sprintf("%032d-x", i))
				if _, found, err := c.Info(context.Background(), p); found || err != nil {
					t.Errorf("%v: %v, %v", p, found, err)
				}
			})
		}
		askers.Wait()
		if archive, err := get(c, s); err != nil || !bytes.Equal(archive, s.archive) {
			t.Errorf("%v", err)
		}
		pool.Close()
		server.Close()
		want := map[bool]string{false: "HTTP/2.0", true: "HTTP/1.1"}[http1]
		if most := map[bool]int{false: 1, true: 5}[http1]; conns > most || len(protocols) != 1 || !protocols[want] {
			t.Errorf("%d connections, %v; want at most %d of %s", conns, protocols, most, want)
		}
	}
}

// A server whose certificate does not hold is sent nothing.
func TestSelfSigned(t *testing.T) {
	s := newSample(t, "xz", false)
	asked := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	server.Config.ErrorLog = silent
	defer server.Close()
	settings := Settings{StoreDir: "/nix/store", Attempts: 5}
	settings.Netrc = []byte("default login u password p")
	c, err := NewPool(settings).Open(server.URL)
	must(t, err)
	if _, err := get(c, s); !is(err, Permanent) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
	if asked {
		t.Error("it was asked")
	}
}

// What a directory of this machine says is kept only where that is asked for.
func TestAnswersOfDirectories(t *testing.T) {
	s := newSample(t, "xz", false)
	file := filepath.Join(s.dir, narinfo.FileName(s.info.Path))
	for _, kept := range []bool{false, true} {
		pool := NewPool(Settings{StoreDir: "/nix/store", Answers: newAnswers(t), FilesToo: kept})
		c, err := pool.Open("file://" + s.dir)
		must(t, err)
		_, before, err := c.Info(context.Background(), s.info.Path)
		must(t, err)
		must(t, os.Rename(file, file+".away"))
		_, after, err := c.Info(context.Background(), s.info.Path)
		must(t, errors.Join(err, os.Rename(file+".away", file)))
		if !before || after != kept {
			t.Errorf("kept %v: found %v, and %v after the file had gone", kept, before, after)
		}
	}
}
