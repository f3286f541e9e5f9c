package binarycache

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"troupe/storage/narinfo"
)

func isNAR(r *http.Request) bool { return strings.Contains(r.URL.Path, "/nar/") }

// below is the path in the cache, whose URL has a path of its own.
func below(next http.Handler) http.Handler { return http.StripPrefix("/x", next) }

// begin sends the head of an answer and its first bytes.
func begin(w http.ResponseWriter, length int, first []byte) {
	w.Header().Set("Content-Length", fmt.Sprint(length))
	w.Write(first)
	w.(http.Flusher).Flush()
}

// cut ends the connection in the middle of an answer.
func cut(w http.ResponseWriter, length int, first []byte) {
	begin(w, length, first)
	panic(http.ErrAbortHandler)
}

// Whatever the server does, the NAR is right, or there is an error of the right class that names the cause; and never
// does it take longer than is promised.
func TestFaults(t *testing.T) {
	s := newSample(t, "none", true)
	whole := len(s.archive)
	for _, c := range []struct {
		name  string
		fault fault
		class Class
		want  string // of the error; "" for none
	}{
		{"none", nil, 0, ""},
		{"every third request fails", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if n%3 == 0 {
				w.WriteHeader(http.StatusInternalServerError)
			}
			return n%3 == 0
		}, 0, ""},
		{"every request fails", func(w http.ResponseWriter, r *http.Request, n int) bool {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}, Transient, "unable to download 'http://cache.example/x/nix-cache-info': HTTP error 502"},
		{"it wants a password", func(w http.ResponseWriter, r *http.Request, n int) bool {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}, Permanent, "HTTP error 401"},
		{"it has nothing", func(w http.ResponseWriter, r *http.Request, n int) bool {
			w.WriteHeader(http.StatusForbidden)
			return true
		}, Permanent, "'http://cache.example/x' does not appear to be a binary cache"},
		{"the NAR has gone", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if isNAR(r) {
				w.WriteHeader(http.StatusNotFound)
			}
			return isNAR(r)
		}, Gone, "no such file in the cache"},
		{"no answer comes", func(w http.ResponseWriter, r *http.Request, n int) bool {
			<-r.Context().Done()
			return true
		}, Transient, "fewer than 1280 bytes came in 10s"},
		{"the NAR stops", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if isNAR(r) {
				begin(w, whole, s.archive[:100])
				<-r.Context().Done()
			}
			return isNAR(r)
		}, Transient, "fewer than 1280 bytes came in 10s"},
		{"one byte a second", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if !isNAR(r) {
				return false
			}
			begin(w, whole, nil)
			for _, b := range s.archive {
				time.Sleep(time.Second)
				if _, err := w.Write([]byte{b}); err != nil || r.Context().Err() != nil {
					break
				}
				w.(http.Flusher).Flush()
			}
			return true
		}, Transient, "fewer than 1280 bytes came in 10s"},
		{"one byte a second of a narinfo", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if !strings.HasSuffix(r.URL.Path, narinfo.Suffix) {
				return false
			}
			begin(w, 10_000, nil)
			for r.Context().Err() == nil {
				time.Sleep(time.Second)
				w.Write([]byte("x"))
				w.(http.Flusher).Flush()
			}
			return true
		}, Transient, "came in 10s"},
		{"a narinfo without end", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if !strings.HasSuffix(r.URL.Path, narinfo.Suffix) {
				return false
			}
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					break
				}
			}
			return true
		}, Permanent, "it has more than 4194304 bytes"},
		{"a huge length", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if isNAR(r) {
				cut(w, 1<<60, s.archive[:100])
			}
			return false
		}, Corrupt, "the file has 1152921504606846976 bytes, not"},
		{"a huge file of unknown length", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if !isNAR(r) {
				return false
			}
			for r.Context().Err() == nil {
				if _, err := w.Write(s.archive); err != nil {
					break
				}
			}
			return true
		}, Corrupt, "the file has more than 3146008 bytes"},
		{"another file", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if isNAR(r) {
				other := bytes.Clone(s.archive)
				other[whole/2]++
				w.Write(other)
			}
			return isNAR(r)
		}, Corrupt, "hash mismatch importing path '/nix/store/i1kx9g2zbfgblhg37zik3s0vy4clkbzd-top'"},
		{"a shorter file", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if isNAR(r) {
				w.(http.Flusher).Flush()
				w.Write(s.archive[:whole-8])
			}
			return isNAR(r)
		}, Corrupt, "it has 3146000 bytes, not 3146008"},
		{"cut once", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if isNAR(r) && r.Header.Get("Range") == "" {
				cut(w, whole, s.archive[:whole/2])
			}
			return false
		}, 0, ""},
		{"cut once by a server that knows no ranges", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if isNAR(r) && r.Header.Get("Range") == "" {
				cut(w, whole, s.archive[:whole/2])
			}
			r.Header.Del("Range")
			return false
		}, 0, ""},
		{"cut after every 600 kB", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if !isNAR(r) {
				return false
			}
			from := 0
			if span := r.Header.Get("Range"); span != "" {
				fmt.Sscanf(span, "bytes=%d-", &from)
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, whole-1, whole))
				w.Header().Set("Content-Length", fmt.Sprint(whole-from))
				w.WriteHeader(http.StatusPartialContent)
			}
			to := min(from+600_000, whole)
			if w.Write(s.archive[from:to]); to < whole {
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			return true
		}, 0, ""},
		{"always cut at the same byte", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if isNAR(r) {
				cut(w, whole, s.archive[:1000])
			}
			return false
		}, Transient, "unexpected EOF"},
		{"another part than was asked for", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if !isNAR(r) {
				return false
			}
			if r.Header.Get("Range") == "" {
				cut(w, whole, s.archive[:1000])
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 2000-%d/%d", whole-1, whole))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(s.archive[2000:])
			return true
		}, Permanent, "the server went on at byte 2000, not 1000"},
		{"redirected", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if r.Host == "cache.example" {
				http.Redirect(w, r, "http://other.example"+r.URL.Path, http.StatusFound)
			}
			return r.Host == "cache.example"
		}, 0, ""},
		{"redirected to a file", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if isNAR(r) {
				w.Header().Set("Location", "file:///etc/passwd")
				w.WriteHeader(http.StatusFound)
			}
			return isNAR(r)
		}, Permanent, `redirect refused: to scheme "file"`},
		{"redirected in a circle", func(w http.ResponseWriter, r *http.Request, n int) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return true
		}, Permanent, "redirect refused: more than 10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			through(t, s, c.fault, func(t *testing.T, cache *Cache, p *proxy) {
				p.files = below(p.files)
				archive, err := get(cache, s)
				took := time.Since(p.start)
				var e *Error
				switch {
				case c.want == "" && err != nil:
					t.Errorf("it failed: %v", err)
				case c.want == "" && !bytes.Equal(archive, s.archive):
					t.Error("another NAR came")
				case c.want != "" && (!errors.As(err, &e) || e.Class != c.class || !strings.Contains(err.Error(), c.want)):
					t.Errorf("%v, want %v: %s", err, c.class, c.want)
				}
				if len(archive) > whole {
					t.Errorf("%d bytes came out", len(archive))
				}
				if limit := 3*10*time.Second + 2*time.Second; took > limit {
					t.Errorf("it took %v, more than %v", took, limit)
				}
				asked, _ := p.requests()
				for _, line := range asked {
					if strings.Contains(line, "other.example") && strings.Contains(line, "password") {
						t.Errorf("a password went elsewhere: %s", line)
					}
				}
			})
		})
	}
}
