package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// faultyCache is a binary cache that the real Nix wrote, behind a server with faults.
type faultyCache struct {
	t                  *testing.T
	env                []string
	work, dir, public  string
	file, out, narinfo string // what is built from, its output, and its record's name
	text               string // what the output is to be
}

const bigGraph = `
let box = builtins.path { name = "box"; path = BOX; }; in
{ big = derivation { name = "big"; system = builtins.currentSystem; builder = "${box}/bin/busybox"; args = [ "sh" "-c" "echo building; ${box}/bin/busybox seq 1 30000 > $out" ]; }; }
`

func newFaultyCache(t *testing.T) *faultyCache {
	t.Helper()
	needNix(t)
	needBuilds(t)
	work := t.TempDir()
	c := &faultyCache{t: t, work: work, dir: work + "/cache", file: writeGraph(t, work),
		env: append(os.Environ(), "NIX_CONF_DIR="+work, "NIX_REMOTE=", "HOME="+work, "XDG_CACHE_HOME="+work+"/seen")}
	var text strings.Builder
	for i := range 30000 {
		fmt.Fprintln(&text, i+1)
	}
	c.text = text.String()
	if err := os.WriteFile(c.file, []byte(strings.ReplaceAll(bigGraph, "BOX", work+"/box")), 0o644); err != nil {
		t.Fatal(err)
	}
	command(t, c.env, "nix-store", "--generate-binary-cache-key", "cache-1", work+"/secret", work+"/public")
	key, err := os.ReadFile(work + "/public")
	if err != nil {
		t.Fatal(err)
	}
	c.public = string(key)
	c.out = strings.TrimSpace(command(t, c.env, "nix-build", "--store", work+"/nix", c.file, "-A", "big", "--no-out-link",
		"--option", "sandbox", "false", "--option", "build-users-group", "", "--option", "substituters", ""))
	command(t, c.env, "nix", "--extra-experimental-features", "nix-command", "--store", work+"/nix", "copy", "--to",
		"file://"+c.dir+"?compression=none&secret-key="+work+"/secret", c.out)
	c.narinfo = "/" + filepath.Base(c.out)[:32] + ".narinfo"
	return c
}

// asked is a request, and what the cache has to say to it.
type asked struct {
	http.ResponseWriter
	*http.Request
	body  []byte // nil where it has nothing
	n     int64  // the requests so far, this one included
	times int64  // as often has this file been asked for
}

func (a asked) isNAR() bool     { return strings.HasPrefix(a.URL.Path, "/nar/") }
func (a asked) isNarinfo() bool { return strings.HasSuffix(a.URL.Path, ".narinfo") && a.body != nil }

// begin sends the head of an answer and some of it.
func (a asked) begin(some int) {
	a.Header().Set("Content-Length", fmt.Sprint(len(a.body)))
	a.Write(a.body[:some])
	a.ResponseWriter.(http.Flusher).Flush()
}

// Header is that of the answer.
func (a asked) Header() http.Header { return a.ResponseWriter.Header() }

// Write writes the answer.
func (a asked) Write(b []byte) (int, error) { return a.ResponseWriter.Write(b) }

func (a asked) hang() { <-a.Context().Done() }

// say answers with another text.
func (a asked) say(text []byte) bool {
	a.Write(text)
	return true
}

// serve is a server that does what the fault wants; where that says false the cache
// answers.
func (c *faultyCache) serve(fault func(asked) bool) string {
	var n atomic.Int64
	var times sync.Map
	files := http.FileServer(http.Dir(c.dir))
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count, _ := times.LoadOrStore(r.URL.Path, new(atomic.Int64))
		body, err := os.ReadFile(c.dir + r.URL.Path)
		if err != nil {
			body = nil
		}
		if !fault(asked{w, r, body, n.Add(1), count.(*atomic.Int64).Add(1)}) {
			files.ServeHTTP(w, r)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	c.t.Cleanup(s.Close)
	return s.URL
}

// bomb is a file of little size that unpacks to very much.
func bomb() []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	zeros := make([]byte, 1<<20)
	for range 256 {
		w.Write(zeros)
	}
	w.Close()
	return packed.Bytes()
}

// with changes a line of a narinfo.
func with(text []byte, name, value string) []byte {
	var out []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, name+": ") {
			line = name + ": " + value + "\n"
		}
		out = append(out, line)
	}
	return []byte(strings.Join(out, ""))
}

// cacheFaults are what a cache can do. Where it does less than give what it has in the end,
// what it has is built.
func (c *faultyCache) faults() map[string]struct {
	fault func(asked) bool
	built bool
	said  string // by us
} {
	packed := bomb()
	narinfo := func(change func(text []byte) []byte) func(asked) bool {
		return func(a asked) bool { return a.isNarinfo() && a.say(change(a.body)) }
	}
	return map[string]struct {
		fault func(asked) bool
		built bool
		said  string
	}{
		"well":         {func(asked) bool { return false }, false, ""},
		"dead":         {nil, true, "connection refused"},
		"never speaks": {func(a asked) bool { a.hang(); return true }, true, ""},
		"stalls in a NAR": {func(a asked) bool {
			if a.isNAR() {
				a.begin(1000)
				a.hang()
			}
			return a.isNAR()
		}, true, ""},
		"one byte a second": {func(a asked) bool {
			for i := range a.body {
				if !a.isNAR() || a.Context().Err() != nil {
					break
				}
				a.begin(0)
				a.Write(a.body[i : i+1])
				a.ResponseWriter.(http.Flusher).Flush()
				time.Sleep(time.Second)
			}
			return a.isNAR()
		}, true, ""},
		"another NAR": {func(a asked) bool {
			return a.isNAR() && a.say(bytes.Replace(a.body, []byte("\n777\n"), []byte("\n778\n"), 1))
		}, true, "hash mismatch importing path"},
		"another hash": {narinfo(func(text []byte) []byte {
			return with(text, "NarHash", "sha256:0000000000000000000000000000000000000000000000000000")
		}), true, "not signed by any of the keys"},
		"another size": {narinfo(func(text []byte) []byte { return with(text, "NarSize", "12345") }), true, "not signed by any of the keys"},
		"another signer": {narinfo(func(text []byte) []byte {
			return bytes.Replace(text, []byte("Sig: cache-1:"), []byte("Sig: cache-2:"), 1)
		}), true, "not signed by any of the keys"},
		"another path": {narinfo(func(text []byte) []byte {
			return with(text, "StorePath", "/nix/store/i1kx9g2zbfgblhg37zik3s0vy4clkbzd-big")
		}), true, "it is about"},
		"a URL elsewhere": {narinfo(func(text []byte) []byte { return with(text, "URL", "../../etc/passwd") }), true, "leaves the cache"},
		"a bomb": {func(a asked) bool {
			switch {
			case a.isNarinfo():
				return a.say(with(with(a.body, "Compression", "gzip"), "FileSize", fmt.Sprint(len(packed))))
			case a.isNAR():
				return a.say(packed)
			}
			return false
		}, true, ""},
		"500 to every third": {func(a asked) bool {
			if a.n%3 == 0 {
				a.WriteHeader(http.StatusInternalServerError)
			}
			return a.n%3 == 0
		}, false, ""},
		"429 at first": {func(a asked) bool {
			if a.times == 1 {
				a.Header().Set("Retry-After", "1")
				a.WriteHeader(http.StatusTooManyRequests)
			}
			return a.times == 1
		}, false, ""},
		"cut once in a NAR": {func(a asked) bool {
			if a.isNAR() && a.Request.Header.Get("Range") == "" {
				a.begin(len(a.body) / 2)
				panic(http.ErrAbortHandler)
			}
			return false
		}, false, ""},
		"a circle": {func(a asked) bool {
			http.Redirect(a.ResponseWriter, a.Request, a.URL.Path, http.StatusFound)
			return true
		}, true, "redirect refused"},
		"an endless narinfo": {func(a asked) bool {
			for a.isNarinfo() && a.Context().Err() == nil {
				if _, err := a.Write(bytes.Repeat([]byte("x: y\n"), 10_000)); err != nil {
					break
				}
			}
			return a.isNarinfo()
		}, true, "it has more than"},
		"HTML for a narinfo": {narinfo(func([]byte) []byte { return []byte("<!DOCTYPE html><html><body>It works!</body></html>\n") }), true, "is not 'key: value'"},
	}
}

// fetched is how one client fared with one fault.
type fetched struct {
	how, root, said string
	err             error
}

// TestFaultyCache: whatever a cache does, what is wanted is right in the end, and nothing
// else in the store: for troupe build, and for a stock client of the daemon.
func TestFaultyCache(t *testing.T) {
	c := newFaultyCache(t)
	drv := strings.TrimSpace(command(t, c.env, "nix-instantiate", "--store", c.work+"/nix", c.file, "-A", "big"))
	faults := c.faults()
	outcomes := map[string]chan fetched{}
	slots := make(chan struct{}, 8) // most of the time they wait
	for name, f := range faults {
		url := "http://127.0.0.1:1"
		if f.fault != nil {
			url = c.serve(f.fault)
		}
		env, work := c.settings(url)
		done := make(chan fetched, 2)
		outcomes[name] = done
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // far more than is promised
		t.Cleanup(cancel)
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			cmd := exec.CommandContext(ctx, "troupe", "--store", work+"/ours", "build", c.work+"/nix"+drv)
			cmd.Env = env
			said, err := cmd.CombinedOutput()
			done <- fetched{"troupe build", work + "/ours", string(said), err}
		}()
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			said, err := c.stock(ctx, env, work+"/theirs", work+"/socket")
			done <- fetched{"a client of Nix", work + "/theirs", said, err}
		}()
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				c.check(t, <-outcomes[name], f.built, f.said)
			}
		})
	}
}

// settings are those of one run, with a directory for it.
func (c *faultyCache) settings(url string) (env []string, work string) {
	work = c.t.TempDir()
	text := "substituters = " + url + "\ntrusted-public-keys = " + c.public + "\nfallback = true\ndownload-attempts = 2\n" +
		"connect-timeout = 1\nstalled-download-timeout = 1\n"
	if err := os.WriteFile(work+"/nix.conf", []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return append(slices.Clip(c.env), "NIX_CONF_DIR="+work, "XDG_CACHE_HOME="+work), work
}

func (c *faultyCache) check(t *testing.T, o fetched, wantBuilt bool, wantSaid string) {
	t.Helper()
	text, err := os.ReadFile(o.root + c.out)
	if o.err != nil || err != nil || string(text) != c.text {
		t.Errorf("%s: %v, %v: %d bytes\n%s", o.how, o.err, err, len(text), o.said)
	}
	if built := strings.Contains(o.said, "building"); built != wantBuilt {
		t.Errorf("%s: built %v, want %v\n%s", o.how, built, wantBuilt, o.said)
	}
	if !strings.Contains(o.said, wantSaid) {
		t.Errorf("%s: it is not said that %s\n%s", o.how, wantSaid, o.said)
	}
	if said := combined(t, c.env, "troupe", "--store", o.root, "verify", "--contents"); !strings.Contains(said, " 0 wrong") {
		t.Errorf("%s: %s", o.how, said)
	}
	if left, err := filepath.Glob(o.root + "/nix/store/.troupe-staging/add-*/*"); err != nil || len(left) > 0 {
		t.Errorf("%s: left are %q, %v", o.how, left, err)
	}
}

// stock has nix-build build through a daemon of ours, and returns what it says.
func (c *faultyCache) stock(ctx context.Context, env []string, root, socket string) (said string, err error) {
	daemon := exec.CommandContext(ctx, "troupe", "--store", root, "daemon", "--socket", socket)
	daemon.Env = env
	if err := daemon.Start(); err != nil {
		return "", err
	}
	defer daemon.Wait()
	defer daemon.Process.Signal(os.Interrupt)
	for !exists(socket) && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	client := exec.CommandContext(ctx, "nix-build", c.file, "-A", "big", "--no-out-link")
	client.Env = append(slices.Clip(env), "NIX_REMOTE=unix://"+socket)
	out, err := client.CombinedOutput()
	return string(out), err
}
