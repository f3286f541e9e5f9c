package localstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
)

// twins has files that are equal and files that only look so.
var twins = map[string]string{"a": "same", "d/b": "same", "d/e/c": "same", "x": "#!same", "y": "#!same", "other": "else",
	"l1": "->a", "l2": "->a", "d/l3": "->other", "e1": "", "d/e2": ""}

// installed is a canonical tree in a store, under a name that is no matter here.
func installed(t *testing.T, l localstore.Layout, name string, files map[string]string) string {
	t.Helper()
	real := l.RealStoreDir() + "/" + name
	treeAt(t, real, files)
	if _, ok := files["x"]; ok {
		must(t, os.Chmod(real+"/x", 0o755))
	}
	must(t, localstore.Canonicalise(real, localstore.Options{BuilderUID: -1}))
	return real
}

func optimiser(t *testing.T, l localstore.Layout) (o *localstore.Optimiser, warnings *[]string) {
	t.Helper()
	warnings = &[]string{}
	o, err := localstore.OpenOptimiser(l, func(text string) { *warnings = append(*warnings, text) })
	must(t, err)
	t.Cleanup(func() { must(t, o.Close()) })
	return o, warnings
}

// links lists each link with the number of its names.
func links(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		st := stat(t, filepath.Join(dir, e.Name()))
		list = append(list, fmt.Sprintf("%s %o %d", e.Name(), st.Mode, st.Nlink))
	}
	return list
}

// Nix makes the same links of the same tree, says the same of it, and has
// nothing to do in a store of ours.
func TestOptimiseAsNix(t *testing.T) {
	if _, err := exec.LookPath("nix-store"); err != nil {
		missing(t, "nix-store")
	}
	dir := tempDir(t)
	nix := func(args ...string) string {
		t.Helper()
		c := exec.Command("nix-store", args...)
		c.Env = append(os.Environ(), "NIX_REMOTE=", "NIX_STORE_DIR="+dir+"/store", "NIX_STATE_DIR="+dir+"/state",
			"NIX_LOG_DIR="+dir+"/log", "NIX_CONF_DIR="+dir, "NIX_LOCALSTATE_DIR="+dir+"/state", "NIX_USER_CONF_FILES=", "HOME="+dir)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	must(t, os.WriteFile(dir+"/nix.conf", []byte("build-users-group =\n"), 0o644))
	source := tree(t, twins)
	must(t, os.Chmod(source+"/x", 0o755))
	theirs := nix("--add", source)
	said := nix("--optimise")
	l := layout(t)
	ours := installed(t, l, "top", twins)
	o, warnings := optimiser(t, l)
	before := listing(t, ours, false)
	saved, err := o.Tree(context.Background(), ours)
	if err != nil || len(*warnings) > 0 || saved.String() != said {
		t.Errorf("%v %q %v; Nix says %s", saved, *warnings, err, said)
	}
	if got, want := links(t, l.LinksDir()), links(t, dir+"/store/.links"); !slices.Equal(got, want) {
		t.Errorf("our links are\n%s\nNix's\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got, want := listing(t, ours, true), listing(t, theirs, true); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if after := listing(t, ours, false); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	// Theirs is found optimised by us, and has what we would link to.
	l = localstore.Layout{Dir: "/store", Root: dir, StateDir: dir + "/state"}
	must(t, os.Mkdir(l.StagingDir(), 0o700))
	o, _ = optimiser(t, l)
	if saved, err := o.Tree(context.Background(), theirs); err != nil || saved.Files != 0 {
		t.Errorf("%v %v", saved, err)
	}
}

// A second tree shares the files of the first; what is known needs no look.
func TestOptimiseTwice(t *testing.T) {
	ctx := context.Background()
	l := layout(t)
	o, _ := optimiser(t, l)
	one, two := installed(t, l, "one", twins), installed(t, l, "two", twins)
	_, err := o.Tree(ctx, one)
	must(t, err)
	saved, err := o.Tree(ctx, two)
	if err != nil || saved.Files != uint64(len(twins)) || saved.Bytes != 4+4+4+6+6+4+1+1+5 {
		t.Errorf("%+v %v", saved, err)
	}
	for name := range twins {
		if a, b := stat(t, one+"/"+name), stat(t, two+"/"+name); a.Ino != b.Ino {
			t.Errorf("%s is two files", name)
		}
	}
	must(t, o.Learn())
	if len(o.Known) != 7 {
		t.Errorf("%d files are known", len(o.Known))
	}
	if saved, err := o.Tree(ctx, two); err != nil || saved.Files != 0 {
		t.Errorf("%+v %v", saved, err)
	}
	if entries, err := os.ReadDir(l.StagingDir()); err != nil || len(entries) > 1 {
		t.Errorf("%v are left, %v", entries, err)
	}
}

// What somebody could write to is not shared, and a link that is not what its
// name says is not linked to.
func TestOptimiseLeavesAlone(t *testing.T) {
	ctx := context.Background()
	l := layout(t)
	o, warnings := optimiser(t, l)
	one := installed(t, l, "one", map[string]string{"a": "same", "b": "same"})
	_, err := o.Tree(ctx, one)
	must(t, err)
	two := installed(t, l, "two", map[string]string{"a": "same", "w": "same", "out": "->" + tempDir(t)})
	must(t, os.Chmod(two+"/w", 0o644))
	name := strings.Fields(links(t, l.LinksDir())[0])[0]
	must(t, errors.Join(os.Remove(l.LinksDir()+"/"+name), os.WriteFile(l.LinksDir()+"/"+name, []byte("corrupted"), 0o444)))
	saved, err := o.Tree(ctx, two)
	if err != nil || saved.Files != 0 {
		t.Errorf("%v %v", saved, err)
	}
	want := []string{"removing corrupted link '.links/" + name + "'", "skipping suspicious writable file '" + two + "/w'"}
	slices.Sort(*warnings)
	if !slices.Equal(*warnings, want) {
		t.Errorf("warned of %q, want %q", *warnings, want)
	}
	if a, w, link := stat(t, two+"/a"), stat(t, two+"/w"), stat(t, l.LinksDir()+"/"+name); a.Ino != link.Ino || w.Nlink != 1 {
		t.Errorf("%+v %+v %+v", a, w, link)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := o.Tree(done, two); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A file that has as many names as it can have gets no more, and that is all.
func TestOptimiseTooManyLinks(t *testing.T) {
	l := layout(t)
	o, _ := optimiser(t, l)
	one := installed(t, l, "one", map[string]string{"a": "same"})
	_, err := o.Tree(context.Background(), one)
	must(t, err)
	many := tempDir(t)
	for n := 0; ; n++ {
		err := os.Link(one+"/a", fmt.Sprint(many, "/", n))
		if errors.Is(err, unix.EMLINK) {
			break
		}
		must(t, err)
		if n > 70_000 {
			t.Skip("this file system has no such bound")
		}
	}
	two := installed(t, l, "two", map[string]string{"a": "same"})
	if saved, err := o.Tree(context.Background(), two); err != nil || saved.Files != 0 || stat(t, two+"/a").Nlink != 1 {
		t.Errorf("%+v %v", saved, err)
	}
	if entries, err := os.ReadDir(l.StagingDir()); err != nil || len(entries) > 1 {
		t.Errorf("%v are left, %v", entries, err)
	}
}

// Many do it at once, and each file is one in the end.
func TestOptimiseAtOnce(t *testing.T) {
	l := layout(t)
	var wg sync.WaitGroup
	var reals []string
	for n := range 8 {
		real := installed(t, l, fmt.Sprint("tree-", n), twins)
		reals = append(reals, real)
		o, _ := optimiser(t, l)
		wg.Go(func() {
			if _, err := o.Tree(context.Background(), real); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, real := range reals {
		for name := range twins {
			if a, b := stat(t, reals[0]+"/"+name), stat(t, real+"/"+name); a.Ino != b.Ino {
				t.Errorf("%s of %s is a file of its own", name, real)
			}
		}
	}
}
