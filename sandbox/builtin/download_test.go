package builtin

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestStall runs on a clock of its own: what comes puts the end off, silence does not.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(context.Background())
		limit := newStall(10*time.Second, cancel)
		defer limit.stop()
		body := &watchedBody{body: strings.NewReader("ab"), stall: limit}
		for range 2 {
			time.Sleep(9 * time.Second)
			if _, err := body.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(9 * time.Second)
		if ctx.Err() != nil {
			t.Error("ended although something came")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if ctx.Err() == nil {
			t.Error("did not end although nothing came")
		}
	})
}

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
