package transfer

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
)

func TestTrusts(t *testing.T) {
	for _, c := range []struct {
		first, next string
		want        bool
	}{
		{"https://a.org/x", "https://a.org/y", true},
		{"https://a.org/x", "https://a.org:443/y", true},
		{"https://a.org/x", "https://a.org:444/y", false},
		{"https://a.org/x", "http://a.org/y", false},
		{"https://a.org/x", "http://a.org:443/y", false},
		{"https://a.org/x", "https://b.a.org/y", false},
		{"http://a.org/x", "https://a.org/y", true},
		{"http://a.org/x", "https://a.org:8443/y", false},
		{"http://a.org:8080/x", "https://a.org/y", false},
		{"http://a.org/x", "http://a.org:80/y", true},
		{"http://a.org/x", "http://b.org/y", false},
	} {
		first, err := url.Parse(c.first)
		if err != nil {
			t.Fatal(err)
		}
		next, err := url.Parse(c.next)
		if err != nil {
			t.Fatal(err)
		}
		if got := newGuard(nil, first, nil).trusts(next); got != c.want {
			t.Errorf("from %s to %s: %v", c.first, c.next, got)
		}
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What signs requests is asked for those to the first URL's server, as credentials are, and for no other.
func TestSigned(t *testing.T) {
	first, err := url.Parse("https://a.org/x")
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{"https://a.org/y": "signed Basic dTpw", "https://b.org/y": " ", "http://a.org/y": " "} {
		got := ""
		g := newGuard(tripper(func(r *http.Request) (*http.Response, error) {
			got = r.Header.Get("X-Signature") + " " + r.Header.Get("Authorization")
			return nil, errors.New("not sent")
		}), first, []byte("default login u password p"))
		g.sign = func(r *http.Request) (*http.Request, error) {
			r.Header.Set("X-Signature", "signed")
			return r, nil
		}
		r, err := http.NewRequest(http.MethodGet, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.RoundTrip(r); err == nil || got != want {
			t.Errorf("%s: %q, want %q", to, got, want)
		}
		if r.Header.Get("X-Signature") != "" {
			t.Errorf("%s: the caller's request was changed", to)
		}
	}
}
