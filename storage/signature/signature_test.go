package signature_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"troupe/storage/nixhash"
	"troupe/storage/signature"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// The keys are of nix key generate-secret, the signatures of nix store sign
// 2.8.0.
const (
	secret = "test-1:j1Ar2aNjYzLHzeaRpGU0GtSgyQHJhF2olkwQmEHEmZSheXfUI1ykr9MMBdXCjjE3vtShaVGtq85Ggzg9+Znlhw=="
	public = "test-1:oXl31CNcpK/TDAXVwo4xN77UoWlRravORoM4PfmZ5Yc="
)

type signed struct {
	dir  storepath.Dir
	info validity.Info
}

func byNix(t *testing.T) []signed {
	t.Helper()
	make := func(dir storepath.Dir, base, hash string, size uint64, sig string) signed {
		p, err := storepath.ParseBase(base)
		if err != nil {
			t.Fatal(err)
		}
		h, err := nixhash.Parse(hash, 0)
		if err != nil {
			t.Fatal(err)
		}
		return signed{dir, validity.Info{Path: p, NarHash: h, NarSize: size, Signatures: []string{"test-1:" + sig}}}
	}
	plain := make("/nix/store", "481aym1vhwg5sgrwzflgv0gz5a0h17r3-tree", "sha256-e5asbq0jX3cMJRDDO966+fiyGiVnXGxFSUGIbnIGVk4=", 456,
		"0jGt566UxVWYVrRWSbOp1avSgh1ehCGpZgTaE/OZLP03K+zl5N8tT71lCHymKen0naQbzPcK0Vye7MzI8ts0Aw==")
	own := make("/tmp/svc-t/n/store", "ikj0iw08c4dalvnsmd55abxhv8f5ci76-x", "sha256-aBBNq1uBST+3qbVHXsJsJrwZppxYUT1mwrWIVAjAioc=", 224,
		"P2PLnCh5yOYXBDOf+vtA+SgFTbGkwIccXgWjsuJvGFoCaoFHJfzn+pY145egDOwECZX+aprMgcHaz6DLSsFkAA==")
	own.info.References = []storepath.Path{own.info.Path}
	return []signed{plain, own}
}

func keys(t *testing.T, file string) signature.SecretKeys {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := signature.ReadSecretKeys([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSignsAsNix(t *testing.T) {
	for _, file := range []string{secret, secret + "\n"} {
		for _, s := range byNix(t) {
			want := s.info.Signatures
			s.info.Signatures = nil
			if got, err := keys(t, file).Sign(s.dir, s.info); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %q %v, Nix makes %q", s.info.Path, got, err, want)
			}
		}
	}
}

// What is signed cannot be changed; what is not can.
func TestVerify(t *testing.T) {
	trusted, err := signature.ParsePublicKeys([]string{"cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=", public})
	if err != nil {
		t.Fatal(err)
	}
	other, err := storepath.ParseBase(strings.Repeat("0", 32) + "-other")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range byNix(t) {
		for what, c := range map[string]struct {
			change func(*signed)
			want   int
		}{
			"nothing":     {func(*signed) {}, 1},
			"deriver":     {func(s *signed) { s.info.Deriver, s.info.Ultimate, s.info.RegistrationTime = other, true, 7 }, 1},
			"given twice": {func(s *signed) { s.info.Signatures = append(s.info.Signatures, s.info.Signatures...) }, 2},
			"others too": {func(s *signed) {
				s.info.Signatures = append(s.info.Signatures, "", "x", "x:y", "test-1:", "test-1:AAAA")
			}, 1},
			"path":         {func(s *signed) { s.info.Path = other }, 0},
			"store":        {func(s *signed) { s.dir += "x" }, 0},
			"hash":         {func(s *signed) { s.info.NarHash = nixhash.Sum(nixhash.SHA256, nil) }, 0},
			"size":         {func(s *signed) { s.info.NarSize++ }, 0},
			"unknown size": {func(s *signed) { s.info.NarSize = 0 }, 0},
			"references":   {func(s *signed) { s.info.References = []storepath.Path{other} }, 0},
			"key's name":   {func(s *signed) { s.info.Signatures[0] = "test-2" + s.info.Signatures[0][6:] }, 0},
			"other key's":  {func(s *signed) { s.info.Signatures[0] = "cache.nixos.org-1" + s.info.Signatures[0][6:] }, 0},
			"signature":    {func(s *signed) { s.info.Signatures[0] = strings.Replace(s.info.Signatures[0], "+", "/", 1) }, 0},
		} {
			changed := s
			changed.info.Signatures = slices.Clone(s.info.Signatures)
			c.change(&changed)
			if got := trusted.Valid(changed.dir, changed.info); got != c.want {
				t.Errorf("%s of %s: %d are valid, want %d", what, s.info.Path, got, c.want)
			}
		}
		if got := keys(t, secret).Public().Valid(s.dir, s.info); got != 1 {
			t.Errorf("the public half says %d", got)
		}
		if got := (signature.PublicKeys)(nil).Valid(s.dir, s.info); got != 0 {
			t.Errorf("nobody is trusted, and %d are valid", got)
		}
	}
}

func TestRefusesKeys(t *testing.T) {
	for _, text := range []string{"", ":", "name", "name:", ":oXl31CNcpK/TDAXVwo4xN77UoWlRravORoM4PfmZ5Yc=", "name:AAAA", secret, "name:%%%%"} {
		if k, err := signature.ParsePublicKeys([]string{public, text}); err == nil {
			t.Errorf("%q is read as %v", text, k)
		}
		name := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(name, []byte(strings.Replace(text, secret, public, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := signature.ReadSecretKeys([]string{name}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q is a secret key: %v", text, err)
		}
	}
}

// No text makes a signature that was not made.
func FuzzValid(f *testing.F) {
	f.Add(public, "test-1:0jGt566UxVWYVrRWSbOp1avSgh1ehCGpZgTaE/OZLP03K+zl5N8tT71lCHymKen0naQbzPcK0Vye7MzI8ts0Aw==")
	f.Add("a:b", "c")
	f.Fuzz(func(t *testing.T, key, sig string) {
		k, err := signature.ParsePublicKeys([]string{key})
		if err != nil {
			return
		}
		s := byNix(t)[0]
		right := s.info.Signatures[0]
		s.info.Signatures = []string{sig}
		if n := k.Valid(s.dir, s.info); n > 0 && !strings.HasPrefix(strings.NewReplacer("\n", "", "\r", "").Replace(sig), right[:len(right)-4]) {
			t.Fatalf("key %q takes %q", key, sig)
		}
	})
}
