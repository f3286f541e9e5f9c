package builtin

import (
	"net/http"
	"strings"
	"testing"
)

// What is one file of a known hash is asked of the mirrors in their order, and then of its URL.
func TestHashedMirrors(t *testing.T) {
	const hash = "sha256/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	has := newServer(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/m/"+hash {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		say("hello")(w, r)
	})
	lacks := newServer(t, false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	broken := newServer(t, false, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		say("hel")(w, nil)
	})
	origin := newServer(t, false, say("of the origin"))
	for _, c := range []struct {
		mirrors []*server
		hash    string
		want    string
		asked   string // of the origin
	}{
		{[]*server{has}, hash, "hello", ""},
		{[]*server{lacks, broken, has}, hash, "hello", ""},
		{[]*server{has}, "", "of the origin", "/file"},
		{[]*server{lacks, broken}, hash, "of the origin", "/file; /file"},
		{nil, hash, "of the origin", "/file; /file; /file"},
	} {
		in := Input{Env: urlOf(origin.URL + "/file"), Hash: c.hash, Attempts: 3}
		for i, m := range c.mirrors {
			in.Mirrors = append(in.Mirrors, m.URL+"/m"+strings.Repeat("/", i%2))
		}
		out, _, err := fetchTo(t, in)
		if err != nil {
			t.Errorf("%v: %v", in.Mirrors, err)
		}
		checkFile(t, out, c.want, 0o644)
		if got := origin.requests(); got != c.asked {
			t.Errorf("%v: the origin was asked %q, want %q", in.Mirrors, got, c.asked)
		}
	}
	if got := broken.requests(); got != "/m/"+hash+"; /m/"+hash {
		t.Errorf("a mirror that breaks off was asked %q", got)
	}
}
