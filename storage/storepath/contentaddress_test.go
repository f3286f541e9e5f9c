package storepath_test

import (
	"testing"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// The texts are Nix's, of paths that it made.
func TestContentAddress(t *testing.T) {
	for text, want := range map[string]storepath.Method{
		"text:sha256:1gbcgchksm421m9f5xd7bg646iqi9n2mvdn3f0q0x33jgm23x7wy":    storepath.Text,
		"fixed:sha256:00xyyr3fi8l6hb839bv3f7yb86yjv7xi1cgh1xnhipym4asvb4aq":   storepath.Flat,
		"fixed:r:sha256:0kjn0rr6x221952nqp374ldb5y7rpbg3phqh4l67fpr3mmpar5kv": storepath.NAR,
		"fixed:git:sha1:0kjn0rr6x221952nqp374ldb5y7rpbg3":                     storepath.Git,
		"fixed:r:sha1:7b9b8a7cb3b1e5f6a7b8c9d0e1f2a3b4c5d6e7f8":               storepath.NAR,
		"fixed:md5:3cvjjz1c9bb0gnmc3kyhhzsb2a":                                storepath.Flat,
		"fixed:blake3:1gbcgchksm421m9f5xd7bg646iqi9n2mvdn3f0q0x33jgm23x7wy":   storepath.Flat,
		"fixed:r:sha256:e5asbq0jX3cMJRDDO966+fiyGiVnXGxFSUGIbnIGVk4=":         storepath.NAR,
	} {
		got, err := storepath.ParseContentAddress(text)
		if err != nil || got.Method != want {
			t.Errorf("%s: %v %v", text, got, err)
			continue
		}
		if again, err := storepath.ParseContentAddress(got.String()); err != nil || again != got {
			t.Errorf("%s is written %s: %v", text, got, err)
		}
	}
	const nix = "fixed:r:sha256:0kjn0rr6x221952nqp374ldb5y7rpbg3phqh4l67fpr3mmpar5kv"
	if got, err := storepath.ParseContentAddress(nix); err != nil || got.String() != nix {
		t.Errorf("%s is written %s: %v", nix, got, err)
	}
	for _, bad := range []string{"", "text:", "fixed:", "sha256:00xyyr3fi8l6hb839bv3f7yb86yjv7xi1cgh1xnhipym4asvb4aq", "fixed:r:", "fixed:r:sha256",
		"fixed:r:sha256:", "fixed:x:sha256:00xyyr3fi8l6hb839bv3f7yb86yjv7xi1cgh1xnhipym4asvb4aq", "text:sha256:zz", "fixed:sha3:00"} {
		if got, err := storepath.ParseContentAddress(bad); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

func TestMethod(t *testing.T) {
	for text, want := range map[string]storepath.ContentAddress{
		"text:sha256":    {Method: storepath.Text, Hash: nixhash.Sum(nixhash.SHA256, nil)},
		"fixed:sha1":     {Method: storepath.Flat, Hash: nixhash.Sum(nixhash.SHA1, nil)},
		"fixed:r:sha512": {Method: storepath.NAR, Hash: nixhash.Sum(nixhash.SHA512, nil)},
		"fixed:git:sha1": {Method: storepath.Git, Hash: nixhash.Sum(nixhash.SHA1, nil)},
	} {
		m, a, err := storepath.ParseMethod(text)
		if err != nil || m != want.Method || a != want.Hash.Algorithm() {
			t.Errorf("%s: %v %v %v", text, m, a, err)
		}
	}
	for _, bad := range []string{"", "text", "text:", "fixed:", "fixed:r", "fixed:r:", "r:sha256", "fixed:r:sha256:", "fixed:git:git:sha1"} {
		if m, a, err := storepath.ParseMethod(bad); err == nil {
			t.Errorf("%q is read as %v %v", bad, m, a)
		}
	}
}

func FuzzContentAddress(f *testing.F) {
	f.Add("text:sha256:1gbcgchksm421m9f5xd7bg646iqi9n2mvdn3f0q0x33jgm23x7wy")
	f.Add("fixed:git:sha1:0kjn0rr6x221952nqp374ldb5y7rpbg3")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := storepath.ParseContentAddress(text)
		if err != nil {
			return
		}
		if again, err := storepath.ParseContentAddress(a.String()); err != nil || again != a {
			t.Fatalf("%q became %v, and that %v, %v", text, a, again, err)
		}
	})
}
