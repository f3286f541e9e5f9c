package localstore_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"troupe/storage/localstore"
)

func TestRewrite(t *testing.T) {
	const from, to = "0123456789abcdfghijklmnpqrsvwxyz", "zyxwvsrqpnmlkjihgfdcba9876543210"
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	outside := filepath.Join(dir, "outside")
	big := bytes.Repeat([]byte("x"), 1<<18-10)
	big = append(big, from+strings.Repeat("y", 1<<18)+from...)
	write := func(name string, b []byte, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, mode); err != nil {
			t.Fatal(err)
		}
	}
	write(outside, []byte(from), 0o644)
	write(tree+"/sub/small", []byte("a"+from+from+"b"), 0o444)
	write(tree+"/sub/big", big, 0o555)
	write(tree+"/sub/none", []byte("nothing"), 0o444)
	write(tree+"/"+from+"-name", nil, 0o444)
	for name, target := range map[string]string{"link": "/nix/store/" + from + "-x", "out": outside, "up": ".."} {
		if err := os.Symlink(target, tree+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(tree+"/sub", 0o555); err != nil {
		t.Fatal(err)
	}
	if err := localstore.Rewrite(tree, map[string]string{from: to}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		outside: from, tree + "/sub/small": "a" + to + to + "b", tree + "/sub/none": "nothing", tree + "/" + to + "-name": "",
		tree + "/sub/big": strings.ReplaceAll(string(big), from, to),
	} {
		got, err := os.ReadFile(name)
		if err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	for name, want := range map[string]string{"link": "/nix/store/" + to + "-x", "out": outside} {
		if got, err := os.Readlink(tree + "/" + name); err != nil || got != want {
			t.Errorf("%s leads to %q, %v", name, got, err)
		}
	}
	if err := localstore.Rewrite(tree, map[string]string{"a": "bb"}); err == nil {
		t.Error("parts of different lengths are taken")
	}
}

// TestRewrittenLinks: a link that is made anew stays its builder's, whose outputs are
// taken.
func TestRewrittenLinks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving files away needs root")
	}
	const builder = 30997
	from, to := strings.Repeat("a", 32), strings.Repeat("b", 32)
	top := tree(t, map[string]string{"file": "x", "link": "->/nix/store/" + from + "-x/file"})
	for _, p := range []string{top, top + "/file", top + "/link"} {
		if err := os.Lchown(p, builder, builder); err != nil {
			t.Fatal(err)
		}
	}
	if err := localstore.Rewrite(top, map[string]string{from: to}); err != nil {
		t.Fatal(err)
	}
	if _, err := localstore.Take(top, localstore.Options{BuilderUID: builder}, nil, nil); err != nil {
		t.Error(err)
	}
	if got, err := os.Readlink(top + "/link"); err != nil || got != "/nix/store/"+to+"-x/file" {
		t.Errorf("it leads to %q, %v", got, err)
	}
}
