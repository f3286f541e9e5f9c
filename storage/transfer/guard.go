package transfer

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

var errRedirect = errors.New("redirect refused")

// guard adds credentials to requests: those in the first URL itself, or else those that netrc has for its host.
// No other host is ever sent any, and neither is the same host when a redirect leads from https to http
// or to another port. Over a connection whose certificate does not hold nothing is sent at all.
type guard struct {
	next           http.RoundTripper
	first          *url.URL
	user, password string
	has            bool
	sign           func(*http.Request) (*http.Request, error) // nil for nothing
}

func newGuard(next http.RoundTripper, first *url.URL, netrc []byte) *guard {
	g := &guard{next: next, first: first}
	if first.User != nil {
		g.user, g.has = first.User.Username(), true
		g.password, _ = first.User.Password()
		return g
	}
	if m, ok := netrcLogin(parseNetrc(string(netrc)), first.Hostname()); ok {
		g.user, g.password, g.has = m.user, m.password, true
	}
	return g
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	r.Header.Del("Referer") // a URL may hold a secret in its query
	if g.has && g.trusts(r.URL) {
		r.SetBasicAuth(g.user, g.password)
	}
	if g.sign != nil && g.trusts(r.URL) {
		var err error
		if r, err = g.sign(r); err != nil {
			return nil, err
		}
	}
	return g.next.RoundTrip(r)
}

// trusts says whether a URL leads to the server of the first one, or to the same over https instead of http.
func (g *guard) trusts(u *url.URL) bool {
	if u.Hostname() != g.first.Hostname() {
		return false
	}
	if u.Scheme == g.first.Scheme {
		return port(u) == port(g.first)
	}
	return u.Scheme == "https" && port(u) == "443" && port(g.first) == "80"
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// WithoutUser is the URL without the credentials in it, which [New]'s client sends by itself.
func WithoutUser(u *url.URL) *url.URL {
	plain := *u
	plain.User = nil
	return &plain
}

// maxRedirects is how many are followed, one after the other.
const maxRedirects = 10

// checkRedirect follows to http and https only: never to a file of the machine.
func checkRedirect(r *http.Request, via []*http.Request) error {
	switch {
	case len(via) >= maxRedirects:
		return fmt.Errorf("%w: more than %d", errRedirect, maxRedirects)
	case r.URL.Scheme != "http" && r.URL.Scheme != "https":
		return fmt.Errorf("%w: to scheme %q", errRedirect, r.URL.Scheme)
	}
	return nil
}
