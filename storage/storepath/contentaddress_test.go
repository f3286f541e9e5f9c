package storepath

import (
	"testing"

	"troupe/storage/nixhash"
)

// The forms are those that Nix 2.8.0 and 2.34.8 send; the digest is that of "abc"
// by nix-hash 2.8.0.
func TestContentAddresses(t *testing.T) {
	const digest = "1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s"
	h, err := nixhash.Parse(digest, nixhash.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]ContentAddress{
		"text:sha256:" + digest:      {Text, h},
		"fixed:sha256:" + digest:     {Flat, h},
		"fixed:r:sha256:" + digest:   {NAR, h},
		"fixed:git:sha256:" + digest: {Git, h},
	} {
		got, err := ParseContentAddress(s)
		if err != nil || got != want || want.String() != s {
			t.Errorf("%s reads as %v, %v, and is written %v", s, got, err, want)
		}
	}
	if s := (ContentAddress{}).String(); s != "" {
		t.Errorf("none is written %q", s)
	}
	for _, s := range []string{"", "text:", "text:md5:900150983cd24fb0d6963f7d28e17f72", "fixed:text:sha256:" + digest,
		"fixed:sha256-" + digest, "fixed:r:" + digest, "nar:sha256:" + digest, "fixed:sha256:00"} {
		if got, err := ParseContentAddress(s); err == nil {
			t.Errorf("%q reads as %v", s, got)
		}
	}
}

func TestMethods(t *testing.T) {
	for s, want := range map[string]struct {
		m Method
		a nixhash.Algorithm
	}{"text:sha256": {Text, nixhash.SHA256}, "fixed:md5": {Flat, nixhash.MD5}, "fixed:r:sha512": {NAR, nixhash.SHA512}, "fixed:git:sha1": {Git, nixhash.SHA1}} {
		m, a, err := ParseMethod(s)
		if err != nil || m != want.m || a != want.a || FormatMethod(want.m, want.a) != s {
			t.Errorf("%s reads as %v %v, %v", s, m, a, err)
		}
	}
	for _, s := range []string{"", "text:md5", "fixed:", "r:sha256", "fixed:r:r:sha256"} {
		if m, a, err := ParseMethod(s); err == nil {
			t.Errorf("%q reads as %v %v", s, m, a)
		}
	}
}

func FuzzParseContentAddress(f *testing.F) {
	f.Add("fixed:r:sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := ParseContentAddress(s); err == nil {
			if again, err := ParseContentAddress(c.String()); err != nil || again != c {
				t.Errorf("%q: %v, %v", s, again, err)
			}
		}
	})
}
