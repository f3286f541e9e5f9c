package binarycache

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// heard is a server that writes down who asks it, and answers with f.
func heard(t *testing.T, tls bool, f http.HandlerFunc) (url string, who func() string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		mu.Lock()
		all = append(all, user+":"+password+strings.Join(r.Header["Cookie"], ""))
		mu.Unlock()
		f(w, r)
	}))
	server.Config.ErrorLog = silent
	if tls {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server.URL, func() string {
		mu.Lock()
		defer mu.Unlock()
		defer func() { all = nil }()
		return strings.Join(all, " ")
	}
}

// TestRedirectedNARs: a cache that leads elsewhere for its NARs is followed, without what
// netrc has for its own server: also to another port of the same machine, and back. A server
// whose certificate does not hold is sent nothing, be it the cache or where that leads.
func TestRedirectedNARs(t *testing.T) {
	s := newSample(t, "xz", false)
	files := http.FileServer(http.Dir(s.dir))
	other, othersHear := heard(t, false, files.ServeHTTP)
	selfSigned, itHears := heard(t, true, files.ServeHTTP)
	for _, c := range []struct{ to, err, others string }{
		{other, "", ":"},
		{strings.Replace(other, "http://", "http://me:too@", 1), "", ":"},
		{selfSigned, "certificate", ""},
	} {
		cache, cacheHears := heard(t, false, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/nar/") {
				http.Redirect(w, r, c.to+r.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			files.ServeHTTP(w, r)
		})
		settings := Settings{StoreDir: "/nix/store", Attempts: 1}
		settings.Netrc = []byte("machine 127.0.0.1 login u password p\ndefault login d password d")
		pool := NewPool(settings)
		at, err := pool.Open(cache)
		must(t, err)
		archive, err := get(at, s)
		pool.Close()
		if c.err == "" && (err != nil || string(archive) != string(s.archive)) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("to %s: %d bytes, %v", c.to, len(archive), err)
		}
		if got := cacheHears(); got != "u:p u:p u:p" { // itself, the narinfo, the NAR
			t.Errorf("to %s: the cache hears %q", c.to, got)
		}
		if got := othersHear(); got != c.others {
			t.Errorf("to %s: the other hears %q", c.to, got)
		}
		if got := itHears(); got != "" {
			t.Errorf("to %s: one whose certificate does not hold hears %q", c.to, got)
		}
	}
}
