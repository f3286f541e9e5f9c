package linux_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"troupe/sandbox"
	"troupe/sandbox/linux"
	"troupe/storage/derivation"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

const (
	testStore = storepath.Dir("/nix/store")
	testUID   = 872415231 // of nobody
)

func storeName(t testing.TB, name string) storepath.Path {
	t.Helper()
	p, err := storepath.ParseBase(strings.Repeat("0", 32) + "-" + name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// boxRequest is a build as the program's ports ask for one. Its only input is a
// directory with busybox and more.
func boxRequest(t testing.TB, more map[string]string) sandbox.Request {
	t.Helper()
	input, work := openDir(t), openDir(t)
	copyFile(t, static(t), filepath.Join(input, "busybox"))
	for name, from := range more {
		copyFile(t, from, filepath.Join(input, name))
	}
	for _, d := range []string{"build", "tmp"} {
		if err := os.Mkdir(filepath.Join(work, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	in := storeName(t, "input")
	r := sandbox.Request{
		Policy: sandbox.Policy{BuildDir: "/build", ShmSize: "50%", System: "x86_64-linux", FilterSyscalls: true, UserNamespaces: true,
			Certificates: certificates(t)},
		StoreDir:   testStore,
		Derivation: &derivation.Derivation{Name: "x", Platform: "x86_64-linux", Outputs: []derivation.Output{{Name: "out", Path: storeName(t, "out")}}},
		Path:       storeName(t, "x.drv"), Builder: testStore.Join(in) + "/busybox",
		HostBuild: filepath.Join(work, "build"), HostTmp: filepath.Join(work, "tmp"),
		Inputs: []storepath.Path{in}, Real: func(storepath.Path) string { return input }, Look: linux.Look, Follow: linux.Follow,
		Text: func(file string) string {
			return map[string]string{"/etc/resolv.conf": "nameserver 192.0.2.1\n", "/etc/services": "http 80/tcp\n", "/etc/hosts": "127.0.0.1 localhost\n"}[file]
		},
		OutsideUID: os.Getuid(), OutsideGID: os.Getgid(), Shared: os.Getuid() != 0,
	}
	if !r.Shared {
		r.OutsideUID, r.OutsideGID = testUID, testUID
	}
	return r
}

// certificates is a link to a file, as distributions have it.
func certificates(t testing.TB) string {
	dir := openDir(t)
	link := filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "file"), []byte("the authorities\n"), 0o644), os.Symlink("file", link)); err != nil {
		t.Fatal(err)
	}
	return link
}

func makeFixed(r *sandbox.Request) {
	r.Derivation.Outputs[0].Kind = derivation.Fixed
	r.Derivation.Outputs[0].Hash = nixhash.Sum(nixhash.SHA256, nil)
}

// openDir is a directory that every user can see.
func openDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err == nil {
		err = os.Chmod(to, 0o777) // so that only the mount protects it
	}
	if err != nil {
		t.Fatal(err)
	}
}

// runRequest runs a build to its end.
func runRequest(t testing.TB, r sandbox.Request) (string, linux.Exit) {
	t.Helper()
	p := startRequest(t, launcher(t), r)
	out := drain(t, p)
	return out, p.Wait()
}

func startRequest(t testing.TB, l *linux.Launcher, r sandbox.Request) *linux.Process {
	t.Helper()
	spec, err := sandbox.Make(r)
	if err != nil {
		t.Fatal(err)
	}
	at := linux.Places{Root: openDir(t), Store: openDir(t)}
	for dir, tree := range map[string]sandbox.Tree{at.Root: spec.Root, at.Store: spec.Store, r.HostTmp: spec.Tmp} {
		if err := linux.MakeTree(dir, tree, ""); err != nil {
			t.Fatal(err)
		}
	}
	for dir, mode := range map[string]os.FileMode{at.Store: 0o775 | os.ModeSticky, r.HostTmp: 0o777 | os.ModeSticky, r.HostBuild: 0o700} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if dir == r.HostTmp || r.Shared {
			continue
		}
		if err := os.Chown(dir, r.OutsideUID, r.OutsideGID); err != nil {
			t.Fatal(err)
		}
	}
	p, err := l.Start(spec, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// compiled builds a program of testdata, which needs no other file to run.
func compiled(t testing.TB, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-o", file, "./testdata/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}
