package binarycache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"troupe/storage/narinfo"
)

// A dead cache costs its first callers some seconds and all others nothing; when it is back, a probe finds out.
func TestOutage(t *testing.T) {
	s := newSample(t, "xz", false)
	through(t, s, nil, func(t *testing.T, c *Cache, p *proxy) {
		p.files = below(p.files)
		p.fall(true)
		if _, err := get(c, s); !is(err, Transient) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("the first: %v", err)
		}
		if c.Status().State != Closed {
			t.Error("three failures opened the breaker")
		}
		for calls := 2; c.Status().State == Closed && calls < 10; calls++ {
			if _, err := get(c, s); !is(err, Transient) {
				t.Errorf("call %d: %v", calls, err)
			}
		}
		took, status := time.Since(p.start), c.Status()
		if status.State != Open || time.Until(status.Until) > firstOpen || took > 5*time.Second {
			t.Errorf("the breaker is %+v after %v", status, took)
		}
		_, err := get(c, s)
		var e *Error
		if !errors.As(err, &e) || e.Class != Disabled || e.Status != status || !strings.Contains(err.Error(), "substituter 'http://cache.example/x' is disabled until ") {
			t.Errorf("while it is open: %v", err)
		}
		if time.Since(p.start) != took {
			t.Error("while it is open a call takes time")
		}
		// Another cache of the same place has the same breaker, one of another place its own.
		same, err := c.pool.Open("http://cache.example/x/?priority=3")
		must(t, err)
		other, err := c.pool.Open("http://cache.example/y")
		must(t, err)
		if same.Status() != status || other.Status().State != Closed {
			t.Errorf("the same place: %+v, another: %+v", same.Status(), other.Status())
		}
		time.Sleep(time.Until(status.Until))
		if _, err := get(c, s); !is(err, Transient) { // the probe
			t.Errorf("the probe: %v", err)
		}
		again := c.Status()
		if again.State != Open || again.Since != status.Since || time.Until(again.Until) != 2*firstOpen {
			t.Errorf("after the probe it is %+v", again)
		}
		p.fall(false)
		time.Sleep(time.Until(again.Until))
		if archive, err := get(c, s); err != nil || !bytes.Equal(archive, s.archive) {
			t.Errorf("when it is back: %v", err)
		}
		if c.Status() != (Status{}) {
			t.Errorf("then it is %+v", c.Status())
		}
	})
}

// is says whether an error is one of a cache, of that class.
func is(err error, class Class) bool {
	var e *Error
	return errors.As(err, &e) && e.Class == class
}

// A cache that answers and then sends nothing is as dead as one that does not answer.
func TestOutageOfNARs(t *testing.T) {
	s := newSample(t, "none", true)
	stops := func(w http.ResponseWriter, r *http.Request, n int) bool {
		if isNAR(r) {
			begin(w, len(s.archive), s.archive[:100])
			<-r.Context().Done()
		}
		return isNAR(r)
	}
	through(t, s, stops, func(t *testing.T, c *Cache, p *proxy) {
		p.files = below(p.files)
		info, _, err := c.Info(context.Background(), s.info.Path)
		must(t, err)
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				r, err := c.Fetch(context.Background(), info)
				if err == nil {
					err = errors.Join(r.Unpack(t.TempDir()+"/x"), r.Close())
				}
				if !is(err, Transient) {
					t.Errorf("%v", err)
				}
			})
		}
		readers.Wait()
		if c.Status().State != Open {
			t.Errorf("it is %+v", c.Status())
		}
	})
}

// The server says when to come back, in seconds.
func TestServerSaysWhen(t *testing.T) {
	s := newSample(t, "xz", false)
	busy := func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n <= 2 {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		}
		return n <= 2
	}
	through(t, s, busy, func(t *testing.T, c *Cache, p *proxy) {
		p.files = below(p.files)
		if _, err := get(c, s); err != nil {
			t.Error(err)
		}
		_, times := p.requests()
		for i := range 2 {
			if pause := times[i+1] - times[i]; pause < 7*time.Second || pause > 9*time.Second {
				t.Errorf("pause %d is %v", i+1, pause)
			}
		}
	})
}

// Whoever gives up is told so, and it says nothing about the cache.
func TestCancelled(t *testing.T) {
	s := newSample(t, "none", true)
	stops := func(w http.ResponseWriter, r *http.Request, n int) bool {
		<-r.Context().Done()
		return true
	}
	gone := errors.New("nobody wants it any more")
	through(t, s, stops, func(t *testing.T, c *Cache, p *proxy) {
		for range 20 {
			ctx, cancel := context.WithCancelCause(context.Background())
			go func() { time.Sleep(time.Second); cancel(gone) }()
			if _, _, err := c.Info(ctx, s.info.Path); !errors.Is(err, gone) {
				t.Errorf("%v", err)
			}
		}
		if got := c.place.breaker.String(); got != "closed, 0 failures" {
			t.Errorf("the breaker is %s", got)
		}
	})
}

// What is not there is not there; it is no failure, and nobody waits.
func TestAbsent(t *testing.T) {
	s := newSample(t, "xz", false)
	through(t, s, nil, func(t *testing.T, c *Cache, p *proxy) {
		p.files = below(p.files)
		_, found, err := c.Info(context.Background(), parsePath(t, "rp73i1spasx5z3qd460yvwmy6gbdqc4d-dep"))
		if found || err != nil {
			t.Errorf("%v, %v", found, err)
		}
		if _, found, err := c.Log(context.Background(), s.info.Path); found || err != nil {
			t.Errorf("a log: %v, %v", found, err)
		}
		asked, _ := p.requests()
		if got := strings.Join(asked, "; "); got != "GET cache.example/x/nix-cache-info with password; "+
			"GET cache.example/x/rp73i1spasx5z3qd460yvwmy6gbdqc4d.narinfo with password; GET cache.example/x/log/"+s.info.Path.Base()+" with password" {
			t.Errorf("asked %s", got)
		}
	})
}

// However many ask at once, few requests are under way, and look-ups get past NARs that nobody reads.
func TestBounds(t *testing.T) {
	s := newSample(t, "none", true)
	slow := func(w http.ResponseWriter, r *http.Request, n int) bool {
		time.Sleep(100 * time.Millisecond)
		return false
	}
	few := func(s *Settings) { s.Connections = 8 }
	through(t, s, slow, func(t *testing.T, c *Cache, p *proxy) {
		p.files = below(p.files)
		info, _, err := c.Info(context.Background(), s.info.Path)
		must(t, err)
		nars := make(chan *NAR, 20)
		ctx, cancel := context.WithCancel(context.Background())
		for range cap(nars) {
			go func() {
				r, err := c.Fetch(ctx, info)
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				nars <- r
			}()
		}
		synctest.Wait()
		time.Sleep(time.Second)
		var askers sync.WaitGroup
		for i := range 200 {
			askers.Go(func() {
				p := parsePath(t, fmt.Sprintf("%032d-x", i))
				if _, found, err := c.Info(context.Background(), p); found || err != nil {
					t.Errorf("%v: %v, %v", p, found, err)
				}
			})
		}
		askers.Wait()
		if open := len(nars); open != 6 {
			t.Errorf("%d NARs are open", open)
		}
		p.mu.Lock()
		if p.most != 8 {
			t.Errorf("%d requests were under way at once", p.most)
		}
		p.mu.Unlock()
		cancel()
		for range cap(nars) {
			if r := <-nars; r != nil {
				must(t, r.Close())
			}
		}
		if len(c.place.requests)+len(c.place.nars) != 0 {
			t.Error("a token was lost")
		}
	}, few)
}

// Uploads are tried again too, whole; what is there is not sent twice, and a path whose references are not there is
// refused.
func TestUploadThroughFaults(t *testing.T) {
	s := newSample(t, "none", true)
	store := &putServer{dir: t.TempDir()}
	third := func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n%3 == 2 {
			w.WriteHeader(http.StatusInternalServerError)
		}
		return n%3 == 2
	}
	through(t, s, third, func(t *testing.T, c *Cache, p *proxy) {
		p.files = below(store)
		c.Config.Compression = "zstd"
		info := narinfo.Info{Path: s.info.Path, NarHash: s.info.NarHash, NarSize: s.info.NarSize}
		if _, err := c.Upload(context.Background(), info, bytes.NewReader(s.archive)); err != nil {
			t.Fatal(err)
		}
		if archive, err := get(c, s); err != nil || !bytes.Equal(archive, s.archive) {
			t.Errorf("it reads as %d bytes, %v", len(archive), err)
		}
		before, _ := p.requests()
		if _, err := c.Upload(context.Background(), info, nil); err != nil {
			t.Errorf("again: %v", err)
		}
		after, _ := p.requests()
		for _, line := range after[len(before):] {
			if strings.HasPrefix(line, "PUT ") {
				t.Errorf("sent again: %s", line)
			}
		}
		info.Path = parsePath(t, "rp73i1spasx5z3qd460yvwmy6gbdqc4d-dep")
		info.References = append(info.References, parsePath(t, "00000000000000000000000000000000-x"))
		_, err := c.Upload(context.Background(), info, bytes.NewReader(s.archive))
		const want = "cannot add '/nix/store/rp73i1spasx5z3qd460yvwmy6gbdqc4d-dep' to the binary cache because the reference '/nix/store/00000000000000000000000000000000-x' is not valid"
		if !is(err, Permanent) || err.Error() != want {
			t.Errorf("%v", err)
		}
		info.References, info.NarSize = nil, 8
		if _, err = c.Upload(context.Background(), info, bytes.NewReader(s.archive)); err == nil || !strings.Contains(err.Error(), "its NAR has hash") {
			t.Errorf("another NAR than was said: %v", err)
		}
	})
}
