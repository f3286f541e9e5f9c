package builtin

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	ulxz "github.com/ulikunitz/xz"

	"troupe/storage/nar"
)

// server records what it is asked, one line a request: path and authorization.
type server struct {
	*httptest.Server
	mutex sync.Mutex
	asked []string
}

func (s *server) requests() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return strings.Join(s.asked, "; ")
}

func newServer(t *testing.T, encrypted bool, handle http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		s.mutex.Lock()
		s.asked = append(s.asked, strings.TrimSuffix(fmt.Sprintf("%s %s:%s", r.URL.Path, user, password), " :"))
		s.mutex.Unlock()
		if r.Header.Get("Referer") != "" {
			t.Errorf("a Referer was sent: %q", r.Header.Get("Referer"))
		}
		handle(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if encrypted {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func (s *server) authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

// fetchTo fills in what most tests do not care about and runs the builder.
func fetchTo(t *testing.T, in Input) (out, log string, err error) {
	t.Helper()
	out = t.TempDir() + "/out"
	var b strings.Builder
	in.Log, in.FixedOrImpure, in.RetryDelay = &b, true, time.Millisecond
	if in.Outputs == nil {
		in.Outputs = map[string]string{"out": out}
	}
	err = Run("builtin:fetchurl", in)
	return out, b.String(), err
}

func urlOf(url string) map[string]string { return map[string]string{"url": url} }

func checkFile(t *testing.T, path, want string, mode os.FileMode) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil || string(text) != want {
		t.Errorf("got %q, %v", text, err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != mode {
		t.Errorf("got %v, %v", info, err)
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("want %q, got %v", want, err)
	}
}

func TestFetchFile(t *testing.T) {
	s := newServer(t, false, say("hello"))
	out, _, err := fetchTo(t, Input{Env: map[string]string{"url": s.URL + "/x", "executable": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, out, "hello", 0o755)

	local := t.TempDir() + "/local file"
	writeFile(t, local, "local")
	out, _, err = fetchTo(t, Input{Env: urlOf("file://" + strings.ReplaceAll(local, " ", "%20"))})
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, out, "local", 0o644)
}

// TestFetchUnpack gets a tree as an archive, plain and compressed; the name decides which it is taken for.
func TestFetchUnpack(t *testing.T) {
	source := t.TempDir() + "/tree"
	makePackage(t, source, "bin/x = text\nempty/\nlink -> ../nowhere")
	var plain, compressed bytes.Buffer
	if err := nar.Dump(&plain, source); err != nil {
		t.Fatal(err)
	}
	w, err := ulxz.NewWriter(&compressed)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(plain.Bytes())
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	bodies := map[string][]byte{"/a.nar": plain.Bytes(), "/a.nar.xz": compressed.Bytes(), "/short.nar": plain.Bytes()[:plain.Len()-8], "/not.xz": plain.Bytes()}
	s := newServer(t, false, func(w http.ResponseWriter, r *http.Request) {
		if _, err := w.Write(bodies[r.URL.Path]); err != nil {
			t.Error(err)
		}
	})
	for name, whole := range map[string]bool{"/a.nar": true, "/a.nar.xz": true, "/short.nar": false, "/not.xz": false} {
		out, _, err := fetchTo(t, Input{Env: map[string]string{"url": s.URL + name, "unpack": "1"}, Restore: nar.Restore, Attempts: 3})
		if !whole {
			if err == nil {
				t.Errorf("%s was unpacked", name)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if want, got := tree(t, source), tree(t, out); got != want {
			t.Errorf("%s became\n%s", name, got)
		}
	}
	if got := strings.Count(s.requests(), "/short.nar") + strings.Count(s.requests(), "/not.xz"); got != 2 {
		t.Errorf("a bad archive was asked for again: %d", got)
	}
}

func TestFetchRefusals(t *testing.T) {
	for url, want := range map[string]string{
		"ftp://127.0.0.1/x":             "unable to download 'ftp://127.0.0.1/x': unsupported scheme \"ftp\"",
		"file:///nonexistent/x":         "no such file",
		"/etc/passwd":                   "unsupported scheme \"\"",
		"http://user:secret\x7f@[::1/x": "'url' is not a URL",
	} {
		_, _, err := fetchTo(t, Input{Env: urlOf(url)})
		checkError(t, err, want)
	}
	_, _, err := fetchTo(t, Input{Env: urlOf("http://x"), Outputs: map[string]string{"lib": "/x"}})
	checkError(t, err, "'builtin:fetchurl' requires an 'out' output")
	checkError(t, Run("fetchurl", Input{Outputs: map[string]string{"out": "/x"}}), "'builtin:fetchurl' must be a fixed-output or impure derivation")
	checkError(t, Run("builtin:foo", Input{}), "unsupported builtin builder 'foo'")
}

func TestFetchTriesAgain(t *testing.T) {
	tries := 0
	s := newServer(t, false, func(w http.ResponseWriter, r *http.Request) {
		switch tries++; tries {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2: // breaks off
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "hell")
		default:
			fmt.Fprint(w, "hello")
		}
	})
	out, log, err := fetchTo(t, Input{Env: urlOf(s.URL), Attempts: 3})
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, out, "hello", 0o644)
	if strings.Count(log, "\n") != 2 || !strings.Contains(log, "HTTP error 503; retrying in") || !strings.Contains(log, "unexpected EOF") {
		t.Errorf("log: %s", log)
	}
}

func TestFetchGivesUp(t *testing.T) {
	for code, want := range map[int]int{404: 1, 403: 1, 400: 1, 501: 1, 500: 3, 429: 3, 408: 3} {
		s := newServer(t, false, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) })
		_, _, err := fetchTo(t, Input{Env: urlOf(s.URL + "/x"), Attempts: 3})
		checkError(t, err, fmt.Sprintf("unable to download '%s/x': HTTP error %d", s.URL, code))
		if got := strings.Count(s.requests(), "/x"); got != want {
			t.Errorf("%d: %d attempts, want %d", code, got, want)
		}
	}
}

// TestFetchNoSpace sees that a fault of ours is not put to the server again.
func TestFetchNoSpace(t *testing.T) {
	s := newServer(t, false, say("hello"))
	_, _, err := fetchTo(t, Input{Env: urlOf(s.URL), Outputs: map[string]string{"out": t.TempDir() + "/no/out"}, Attempts: 5})
	checkError(t, err, "no such file or directory")
	if got := s.requests(); got != "/" {
		t.Errorf("asked %q", got)
	}
}

func TestFetchStalled(t *testing.T) {
	gone := make(chan struct{})
	s := newServer(t, false, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hel")
		w.(http.Flusher).Flush()
		<-gone
	})
	defer close(gone)
	_, _, err := fetchTo(t, Input{Env: urlOf(s.URL), Attempts: 2, StallTimeout: 50 * time.Millisecond})
	checkError(t, err, "nothing came for 50ms")
	if got := s.requests(); got != "/; /" {
		t.Errorf("asked %q", got)
	}
}

// TestFetchBytes sees that what is hashed is what the server has, compressed or not.
func TestFetchBytes(t *testing.T) {
	s := newServer(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("we accept %q", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Encoding", "gzip")
		fmt.Fprint(w, "not gzip")
	})
	out, _, err := fetchTo(t, Input{Env: urlOf(s.URL)})
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, out, "not gzip", 0o644)
}

func TestFetchTLS(t *testing.T) {
	s := newServer(t, true, say("hello"))
	netrc := []byte("machine 127.0.0.1 login u password p")
	out, _, err := fetchTo(t, Input{Env: urlOf(s.URL), CA: s.authority(), Netrc: netrc})
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, out, "hello", 0o644)
	if got := s.requests(); got != "/ u:p" {
		t.Errorf("asked %q", got)
	}
}

// TestFetchSelfSigned: a server that the given authorities do not vouch for gets no request, so no credentials.
func TestFetchSelfSigned(t *testing.T) {
	s := newServer(t, true, say("hello"))
	for name, in := range map[string]Input{
		"not among the system's": {Env: urlOf(s.URL)},
		"of another name":        {Env: urlOf(strings.Replace(s.URL, "127.0.0.1", "localhost", 1)), CA: s.authority()},
	} {
		in.Netrc, in.Attempts = []byte("default login u password p"), 3
		_, log, err := fetchTo(t, in)
		checkError(t, err, "certificate")
		if log != "" {
			t.Errorf("%s: tried again: %s", name, log)
		}
	}
	nobody := []byte("nonsense")
	_, _, err := fetchTo(t, Input{Env: urlOf(s.URL), CA: nobody})
	checkError(t, err, "no certificate in them")
	if _, _, err := fetchTo(t, Input{Env: urlOf(newServer(t, false, say("hello")).URL), CA: nobody}); err != nil {
		t.Errorf("by http, which asks for none: %v", err)
	}
	led := newServer(t, false, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, s.URL, http.StatusFound) })
	_, _, err = fetchTo(t, Input{Env: urlOf(led.URL), CA: nobody})
	checkError(t, err, "certificate")
	if got := s.requests(); got != "" {
		t.Errorf("asked %q", got)
	}
}

// TestRedirects sends credentials for the first server around: who sees them?
func TestRedirects(t *testing.T) {
	other := newServer(t, false, say("hello"))
	secure := newServer(t, true, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+"/down", http.StatusFound) })
	first := newServer(t, false, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/file":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		case "/other":
			http.Redirect(w, r, other.URL+"/stolen", http.StatusFound)
		case "/user":
			http.Redirect(w, r, strings.Replace(other.URL, "http://", "http://me:too@", 1)+"/user", http.StatusFound)
		case "/secure":
			http.Redirect(w, r, secure.URL+"/", http.StatusFound)
		case "/here":
			http.Redirect(w, r, "/there", http.StatusMovedPermanently)
		default:
			fmt.Fprint(w, "hello")
		}
	})
	for _, c := range []struct{ path, problem, first, other, secure string }{
		{"/here", "", "/here u:p; /there u:p", "", ""},
		{"/other", "", "/other u:p", "/stolen", ""},
		{"/user", "", "/user u:p", "/user", ""},
		{"/file", "to scheme \"file\"", "/file u:p", "", ""},
		{"/loop", "more than 10", strings.Repeat("/loop u:p; ", 9) + "/loop u:p", "", ""},
		{"/secure", "", "/secure u:p", "/down", "/"},
	} {
		for _, s := range []*server{first, other, secure} {
			s.asked = nil
		}
		_, _, err := fetchTo(t, Input{Env: urlOf(first.URL + c.path), CA: secure.authority(), Attempts: 2, Netrc: []byte("machine 127.0.0.1 login u password p\ndefault login d password d")})
		if c.problem == "" && err != nil {
			t.Errorf("%s: %v", c.path, err)
		} else if c.problem != "" {
			checkError(t, err, c.problem)
		}
		if first.requests() != c.first || other.requests() != c.other || secure.requests() != c.secure {
			t.Errorf("%s: first was asked %q, other %q, secure %q", c.path, first.requests(), other.requests(), secure.requests())
		}
	}
}

// TestSecretsStayOut: neither errors nor the log show the password of a URL.
func TestSecretsStayOut(t *testing.T) {
	s := newServer(t, false, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	_, log, err := fetchTo(t, Input{Env: urlOf(strings.Replace(s.URL, "http://", "http://joe:hunter2@", 1)), Attempts: 2})
	if err == nil || strings.Contains(err.Error()+log, "hunter2") {
		t.Errorf("%v; %s", err, log)
	}
	if got := s.requests(); got != "/ joe:hunter2; / joe:hunter2" {
		t.Errorf("asked %q", got)
	}
}

func TestProxy(t *testing.T) {
	proxy := newServer(t, false, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "by proxy "+r.Host) })
	out, _, err := fetchTo(t, Input{Env: urlOf("http://example.invalid/x"), Proxy: map[string]string{"all_proxy": proxy.URL, "no_proxy": "other.invalid"}})
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, out, "by proxy example.invalid", 0o644)
}
