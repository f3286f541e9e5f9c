package binarycache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"troupe/storage/nar"
	"troupe/storage/narinfo"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// sample is a cache with one path, made once: a directory that a server with faults stands before.
type sample struct {
	dir     string
	archive []byte
	info    narinfo.Info
}

const sampleSize = 3 << 20

func parsePath(t testing.TB, base string) storepath.Path {
	t.Helper()
	p, err := storepath.ParseBase(base)
	must(t, err)
	return p
}

// newSample uploads a tree with a file of random bytes, or of zeros.
func newSample(t *testing.T, compression string, random bool) *sample {
	t.Helper()
	s := &sample{dir: t.TempDir()}
	tree := t.TempDir()
	contents := make([]byte, sampleSize)
	if random {
		rand.NewChaCha8([32]byte{1}).Read(contents)
	}
	must(t, os.WriteFile(tree+"/file", contents, 0o644))
	var archive bytes.Buffer
	must(t, nar.Dump(&archive, tree))
	s.archive = archive.Bytes()
	c, err := NewPool(Settings{StoreDir: "/nix/store"}).Open("file://" + s.dir + "?compression=" + compression)
	must(t, err)
	s.info, err = c.Upload(context.Background(), narinfo.Info{Path: parsePath(t, "i1kx9g2zbfgblhg37zik3s0vy4clkbzd-top"),
		NarHash: nixhash.Sum(nixhash.SHA256, s.archive), NarSize: uint64(len(s.archive))}, &archive)
	must(t, err)
	return s
}

// rewrite changes what the cache says.
func (s *sample) rewrite(t *testing.T, change func(*narinfo.Info)) {
	t.Helper()
	info := s.info
	change(&info)
	must(t, os.WriteFile(filepath.Join(s.dir, narinfo.FileName(s.info.Path)), info.Print("/nix/store"), 0o644))
}

// fault answers a request wrongly, and says so; n counts the requests from 1.
type fault func(w http.ResponseWriter, r *http.Request, n int) bool

// proxy stands between us and the cache: a server on a network of pipes, so that time is the test's own.
type proxy struct {
	mu     sync.Mutex
	asked  []string // "METHOD host/path [range]" of each request
	times  []time.Duration
	start  time.Time
	faults fault
	files  http.Handler
	conns  chan net.Conn
	once   sync.Once
	busy   sync.WaitGroup // handlers
	over   bool           // nobody is served any more
	down   bool           // connections are refused
	atOnce int
	most   int
}

func newProxy(s *sample, f fault) *proxy {
	return &proxy{faults: f, files: http.FileServer(http.Dir(s.dir)), conns: make(chan net.Conn), start: time.Now()}
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	if p.over {
		p.mu.Unlock()
		return
	}
	p.busy.Add(1)
	defer p.busy.Done()
	line := r.Method + " " + r.Host + r.URL.Path
	if span := r.Header.Get("Range"); span != "" {
		line += " " + span
	}
	if _, _, ok := r.BasicAuth(); ok {
		line += " with password"
	}
	p.asked, p.times = append(p.asked, line), append(p.times, time.Since(p.start))
	n := len(p.asked)
	p.atOnce++
	p.most = max(p.most, p.atOnce)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.atOnce--
		p.mu.Unlock()
	}()
	if p.faults == nil || !p.faults(w, r, n) {
		p.files.ServeHTTP(w, r)
	}
}

// requests are those that came so far, and when.
func (p *proxy) requests() (asked []string, times []time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked), slices.Clone(p.times)
}

// end waits for all handlers.
func (p *proxy) end() {
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	p.busy.Wait()
}

// fall refuses connections, or takes them again.
func (p *proxy) fall(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

func (p *proxy) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p *proxy) Close() error   { p.once.Do(func() { close(p.conns) }); return nil }
func (p *proxy) Addr() net.Addr { return &net.TCPAddr{} }

func (p *proxy) dial(context.Context, string, string) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours, nil
}

// through runs a test on a clock of its own, with a cache behind a server with faults.
func through(t *testing.T, s *sample, f fault, test func(t *testing.T, c *Cache, p *proxy), change ...func(*Settings)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newProxy(s, f)
		server := &http.Server{Handler: p, ErrorLog: silent}
		served := make(chan struct{})
		go func() { server.Serve(p); close(served) }()
		settings := Settings{StoreDir: "/nix/store", Attempts: 3, StallTimeout: 10 * time.Second}
		settings.Dial, settings.Netrc = p.dial, []byte("machine cache.example login u password p")
		for _, c := range change {
			c(&settings)
		}
		pool := NewPool(settings)
		c, err := pool.Open("http://cache.example/x")
		must(t, err)
		test(t, c, p)
		pool.Close()
		server.Close()
		<-served
		p.end()
	})
}

// get looks the sample's path up and reads its NAR.
func get(c *Cache, s *sample) ([]byte, error) {
	info, found, err := c.Info(context.Background(), s.info.Path)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errors.New("it is not there")
	}
	r, err := c.Fetch(context.Background(), info)
	if err != nil {
		return nil, err
	}
	archive, err := io.ReadAll(r)
	return archive, errors.Join(err, r.Close())
}
