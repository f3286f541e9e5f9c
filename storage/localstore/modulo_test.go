package localstore

import (
	"os"
	"path/filepath"
	"testing"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// What Nix 2.34.8 named a floating output that refers to itself, and what follows
// from the same contents here.
func TestHashTreeModuloAsNix(t *testing.T) {
	const path = "/tmp/w/store/pg9v03snl66n8yh2ylb3wxasindnpcmg-self"
	tree := filepath.Join(t.TempDir(), "self")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "f"), []byte(path+" abc "+path+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path+"/f", filepath.Join(tree, "l")); err != nil {
		t.Fatal(err)
	}
	h, err := HashTreeModulo(tree, storepath.NAR, nixhash.SHA256, "pg9v03snl66n8yh2ylb3wxasindnpcmg")
	if err != nil || h.Base32() != "02pv8jlfxi9swm1c3ssna3q6yas8l8gm36psk84hzc4b3h4fyzfg" {
		t.Errorf("its hash is %s, %v", h.Base32(), err)
	}
	p, err := storepath.Dir("/tmp/w/store").MakeFixed("self", storepath.NAR, h, nil, true)
	if err != nil || "/tmp/w/store/"+p.Base() != path {
		t.Errorf("its path is %v, %v", p, err)
	}
}
