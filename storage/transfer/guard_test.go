package transfer

import (
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
