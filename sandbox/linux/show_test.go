package linux_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
	"troupe/sandbox/linux"
)

// showing starts a builder with a store of its own, in which it runs a script.
func showing(t *testing.T, script string) (p *linux.Process, places linux.Places, object string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root mounts into a sandbox")
	}
	spec, places := boxed(t, script)
	places.Store = t.TempDir()
	if err := os.Chmod(places.Store, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(places.Root, "store"), 0o755); err != nil {
		t.Fatal(err)
	}
	spec.Mounts = append(spec.Mounts, sandbox.Mount{Kind: sandbox.Scratch, Target: "/store"})
	object = filepath.Join(t.TempDir(), "object")
	for _, err := range []error{os.Mkdir(object, 0o755), os.WriteFile(object+"/file", []byte("contents"), 0o666), os.Chmod(object+"/file", 0o666)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := launcher(t).Start(spec, places, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p, places, object
}

// TestShow lets a running builder see a directory, a file and a link, none of which
// it can change.
func TestShow(t *testing.T) {
	p, places, object := showing(t, `
while ! [ -L /store/link ]; do sleep 0.01; done
cat /store/dir/file /store/file
echo; ls -l /store/link
echo more > /store/dir/file || echo read-only
echo more > /store/file || echo read-only
`)
	link := filepath.Join(filepath.Dir(object), "link")
	if err := os.Symlink("somewhere", link); err != nil {
		t.Fatal(err)
	}
	for _, shown := range [][2]string{{object, "/store/dir"}, {object + "/file", "/store/file"}, {link, "/store/link"}} {
		if err := p.Show(shown[0], shown[1], places); err != nil {
			t.Fatal(err)
		}
	}
	out := drain(t, p)
	p.Wait()
	if !strings.Contains(out, "contentscontents") || strings.Count(out, "\nread-only") != 2 || !strings.Contains(out, "/store/link -> somewhere") {
		t.Errorf("the builder says:\n%s", out)
	}
	if text, err := os.ReadFile(object + "/file"); err != nil || string(text) != "contents" {
		t.Errorf("%q, %v", text, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), places.Store) {
		t.Errorf("a mount is left here (%v)", err)
	}
}

// TestShowFollowsNothing: a builder that has put something at the mount point gets
// nothing mounted, and nowhere else either.
func TestShowFollowsNothing(t *testing.T) {
	p, places, object := showing(t, "mkdir /store/mine; mkdir /store/made; while ! [ -e /store/end ]; do sleep 0.01; done; ls /store/mine /tmp")
	if err := os.Symlink("/tmp", filepath.Join(places.Store, "linked")); err != nil {
		t.Fatal(err)
	}
	for made := false; !made; made = linux.Look(filepath.Join(places.Store, "made")).Kind == sandbox.Directory {
		time.Sleep(time.Millisecond)
	}
	for _, name := range []string{"linked", "mine"} {
		if err := p.Show(object, "/store/"+name, places); err == nil || !strings.Contains(err.Error(), unix.EEXIST.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// As if the builder had put its own in the place of what was made.
	elsewhere := linux.Places{Root: places.Root, Store: t.TempDir()}
	for _, name := range []string{"mine", "linked"} {
		if err := p.Show(object, "/store/"+name, elsewhere); err == nil || !strings.Contains(err.Error(), "something else") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(places.Store, "end"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if out := drain(t, p); strings.Contains(out, "file") {
		t.Errorf("the builder sees it:\n%s", out)
	}
	p.Wait()
}
