package storepath

import (
	"strings"
	"testing"

	"troupe/storage/nixhash"
)

// The values are those of nix-hash and nix-store 2.8.0.
func TestFixedPathsAreThoseOfNix(t *testing.T) {
	h := nixhash.Sum(nixhash.SHA256, []byte("abc"))
	if got := h.Base32(); got != "1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s" {
		t.Errorf("base 32: %s", got)
	}
	for m, want := range map[Method]string{
		Flat: "/nix/store/wg5dqh07jh5lgg9nvzq5skm9i3qkhl00-x",
		NAR:  "/nix/store/pc9cg5mrl4hpb00d4mb64abffprgs1rh-x",
	} {
		if p, err := Dir("/nix/store").MakeFixed("x", m, h, nil, false); err != nil || Dir("/nix/store").Join(p) != want {
			t.Errorf("%v: %v, %v", m, p, err)
		}
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		strings.Repeat("a", 211): true, strings.Repeat("a", 212): false, "": false, ".": false, "..": false,
		".-x": false, "..-x": false, ".x": true, "...": true, "a/b": false, "a b": false, "ä": false, "a+-._?=Z9": true,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func FuzzParseBase(f *testing.F) {
	f.Add("j76if9fyh6aw41qvc8nqr9c8ha4azayn-a")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParseBase(s); err == nil && (p.Base() != s || p.HashPart()+"-"+p.Name() != s) {
			t.Errorf("%q reads as %v", s, p)
		}
	})
}
