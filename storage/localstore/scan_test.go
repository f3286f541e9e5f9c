package localstore_test

import (
	"strings"
	"testing"

	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

func TestScan(t *testing.T) {
	a, err := storepath.ParseBase(strings.Repeat("a", 32) + "-a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := storepath.ParseBase(strings.Repeat("b", 32) + "-b")
	if err != nil {
		t.Fatal(err)
	}
	top := tree(t, map[string]string{"f": "see /nix/store/" + b.Base() + "/bin", "l": "->/elsewhere"})
	got, err := localstore.Scan(top, []storepath.Path{a, b})
	if err != nil || len(got.References) != 1 || got.References[0] != b {
		t.Fatal(got, err)
	}
	h, err := localstore.HashTree(top, storepath.NAR, nixhash.SHA256)
	if err != nil || h != got.NarHash {
		t.Fatal(h, got.NarHash, err)
	}
	if _, err := localstore.HashTree(top, storepath.Flat, nixhash.SHA256); err == nil {
		t.Fatal("a directory was hashed flat")
	}
	flat, err := localstore.HashTree(top+"/f", storepath.Flat, nixhash.SHA256)
	if err != nil || flat != nixhash.Sum(nixhash.SHA256, []byte("see /nix/store/"+b.Base()+"/bin")) {
		t.Fatal(flat, err)
	}
	if _, err := localstore.HashTree(top+"/l", storepath.Flat, nixhash.SHA256); err == nil {
		t.Fatal("a link was hashed flat")
	}
}
