package caches

import (
	"bytes"
	"context"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rs/zerolog"

	"troupe/actors/ports"
	"troupe/messages"
	"troupe/storage/addition"
	"troupe/storage/binarycache"
	"troupe/storage/localstore"
	"troupe/storage/nar"
	"troupe/storage/narinfo"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// world is the port, with a store of its own and a cache that somebody stands before.
type world struct {
	t      *testing.T
	port   *Caches
	db     *validity.DB
	layout localstore.Layout
	policy ports.BuildPolicy
	heard  chan messages.Message // what the goal is told

	cache string // the directory of the cache
	infos []narinfo.Info
}

const goal messages.Address = "path/x"

// patienceOfTest is for what must come; how long it takes does not matter.
const patienceOfTest = time.Minute

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newWorld has a cache with some paths of 100 kB that refer to nothing.
func newWorld(t *testing.T, paths int) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, heard: make(chan messages.Message, 100), cache: dir + "/cache",
		layout: localstore.Layout{Dir: "/nix/store", Root: dir + "/root", StateDir: dir + "/state"}}
	must(t, os.MkdirAll(w.layout.RealStoreDir(), 0o755))
	var err error
	w.db, err = validity.Open("/db", validity.Options{FS: vfs.NewMem()})
	must(t, err)
	w.policy.Builtin = ports.BuiltinPolicy{Attempts: 4, ConnectTimeout: 5 * time.Second, StallTimeout: 300 * time.Millisecond}
	w.policy.Caches = ports.CachePolicy{Trust: addition.Trust{Everything: true}, Connections: 4, Positive: time.Hour, Negative: time.Hour, Meta: time.Hour}
	w.fill(paths)
	services := ports.Services{Layout: w.layout, DB: w.db, Log: zerolog.Nop(),
		PolicyOf: func(string) (ports.BuildPolicy, error) { return w.policy, nil }}.Shared()
	subs := NewSubstituters(services, "test", Memory{Dir: dir + "/answers"})
	w.port = New(w, services, subs)
	t.Cleanup(func() {
		w.port.Close()
		subs.Close()
		must(t, w.db.Close())
	})
	return w
}

func (w *world) fill(paths int) {
	w.t.Helper()
	c, err := binarycache.NewPool(binarycache.Settings{StoreDir: "/nix/store"}).Open("file://" + w.cache + "?compression=none")
	must(w.t, err)
	rng := rand.NewChaCha8([32]byte{7})
	for i := range paths {
		file := filepath.Join(w.t.TempDir(), "file")
		contents := make([]byte, 100_000)
		rng.Read(contents)
		must(w.t, os.WriteFile(file, contents, 0o644))
		var archive bytes.Buffer
		must(w.t, nar.Dump(&archive, file))
		p, err := storepath.ParseBase(strings.Repeat(string(rune('0'+i)), 32) + "-file")
		must(w.t, err)
		info, err := c.Upload(context.Background(), narinfo.Info{Path: p, NarHash: nixhash.Sum(nixhash.SHA256, archive.Bytes()),
			NarSize: uint64(archive.Len())}, &archive)
		must(w.t, err)
		w.infos = append(w.infos, info)
	}
}

// Send hears what the port says to the goal.
func (w *world) Send(to messages.Address, m messages.Message) {
	if to == goal {
		w.heard <- m
	}
}

func (w *world) Now() time.Duration { return 0 }

// fault answers a request in the cache's stead, and says so; n counts requests from 1.
type fault func(rw http.ResponseWriter, r *http.Request, n int) bool

// proxy is a server for the cache that does what the fault wants.
func (w *world) proxy(f fault) string {
	files := http.FileServer(http.Dir(w.cache))
	var n atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !f(rw, r, int(n.Add(1))) {
			files.ServeHTTP(rw, r)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	w.t.Cleanup(server.Close)
	return server.URL
}

func healthy(http.ResponseWriter, *http.Request, int) bool { return false }

// onNARs is a fault of NARs alone.
func onNARs(f func(rw http.ResponseWriter, whole []byte), cache string) fault {
	return func(rw http.ResponseWriter, r *http.Request, _ int) bool {
		if !strings.HasPrefix(r.URL.Path, "/nar/") {
			return false
		}
		whole, err := os.ReadFile(cache + r.URL.Path)
		if err != nil {
			panic(err)
		}
		f(rw, whole)
		return true
	}
}

// ask sends the port a message and returns what the goal is told.
func (w *world) ask(m messages.Message) messages.Message {
	w.t.Helper()
	w.port.Handle(m)
	select {
	case answer := <-w.heard:
		return answer
	case <-time.After(patienceOfTest):
		w.t.Fatalf("there is no answer to %v", m)
		return nil
	}
}

// fetch does what a goal does with one path, and returns all that it is told.
func (w *world) fetch(i int) (told []messages.Message) {
	w.t.Helper()
	for cache, more := 0, true; more; cache++ {
		answer := w.ask(&messages.LookUpPath{From: goal, Path: w.infos[i].Path, Cache: cache})
		told = append(told, answer)
		switch m := answer.(type) {
		case *messages.PathNotFound:
			more = m.More
			continue
		case *messages.LookUpFailed:
			more = m.More
			continue
		}
		answer = w.ask(&messages.FetchPath{From: goal, Path: w.infos[i].Path})
		told = append(told, answer)
		failed, is := answer.(*messages.FetchFailed)
		more = is && failed.More
	}
	return told
}

// want says whether a path must be there, as the cache has it, and that nothing is
// left of what did not come to its end.
func (w *world) want(i int, there bool) {
	w.t.Helper()
	p := w.infos[i].Path
	valid, err := w.db.Valid(p)
	must(w.t, err)
	_, err = os.Lstat(w.layout.RealPath(p))
	if valid != there || (err == nil) != there {
		w.t.Errorf("valid %v, %v, want %v", valid, err, there)
	}
	if there {
		scanned, err := localstore.Scan(w.layout.RealPath(p), nil)
		if err != nil || scanned.NarHash != w.infos[i].NarHash {
			w.t.Errorf("its contents are %v, %v, want %v", scanned.NarHash, err, w.infos[i].NarHash)
		}
	}
	left, err := filepath.Glob(w.layout.StagingDir() + "/add-*/*")
	if len(left) > 0 || err != nil {
		w.t.Errorf("left in the staging directory: %v, %v", left, err)
	}
}
