package localstore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
)

// tempDir goes when the test ends, also where an ordinary user cannot write to
// what is in it.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "localstore-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := localstore.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func layout(t *testing.T) localstore.Layout {
	t.Helper()
	l := layoutIn(tempDir(t))
	if err := localstore.Prepare(l, ""); err != nil {
		t.Fatal(err)
	}
	return l
}

func layoutIn(root string) localstore.Layout {
	return localstore.Layout{Dir: "/nix/store", Root: root, StateDir: root + "/nix/var/nix", LogDir: root + "/nix/var/log/nix"}
}

// tree makes a directory of files; a value that begins with "->" is a link, and
// one that is "/" a directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	top := filepath.Join(tempDir(t), "top")
	treeAt(t, top, files)
	return top
}

func treeAt(t *testing.T, top string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		p := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch target, link := strings.CutPrefix(content, "->"); {
		case link:
			err = os.Symlink(target, p)
		case content == "/":
			err = os.MkdirAll(p, 0o755)
		default:
			err = os.WriteFile(p, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func stat(t *testing.T, p string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		t.Fatal(p, err)
	}
	return st
}

// missing skips a test, where nobody has promised that it can run.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("missing: ", what)
	}
	t.Skip("missing: ", what)
}

// insideVar is set in the environment of a test that runs again.
const insideVar = "LOCALSTORE_TEST_INSIDE"

// quickExit spares a second for each program, which the race detector waits.
const quickExit = "GORACE=atexit_sleep_ms=0"

// withMounts runs the calling test again where its mounts are nobody else's and
// go when it ends. It says true inside.
func withMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVar) == t.Name() {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			missing(t, "mounts: "+err.Error())
		}
		return true
	}
	c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), insideVar+"="+t.Name(), quickExit)
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := c.CombinedOutput()
	if len(out) == 0 && err != nil {
		missing(t, "mount namespaces: "+err.Error())
	}
	if _, what, ok := strings.Cut(string(out), "missing: "); ok {
		missing(t, what)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("inside: %v\n%s", err, out)
	}
	return false
}

func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		t.Fatalf("mount %s: %v", target, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// tries is how often an attack is repeated; the second run, as an ordinary
// user, makes fewer.
func tries() int {
	if os.Geteuid() != 0 {
		return 200
	}
	return 1000
}

// nobody is a user without rights, and without files where tests run.
const nobody = 65534

// Every test, as an ordinary user.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this is one")
	}
	dir, err := os.MkdirTemp("", "localstore-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	self := dir + "/localstore.test"
	for _, err := range []error{os.Chmod(dir, 0o755), os.WriteFile(self, program, 0o755), os.Mkdir(dir+"/tmp", 0o700), os.Chown(dir+"/tmp", nobody, nobody)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(self)
	c.Dir = dir + "/tmp"
	c.Env = append(os.Environ(), "TMPDIR="+dir+"/tmp", "HOME="+dir+"/tmp", "CI=", quickExit) // what is missing, we say ourselves
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("as user %d: %v\n%s", nobody, err, out)
	}
	if left, err := os.ReadDir(dir + "/tmp"); err != nil || len(left) > 0 {
		t.Error("left behind:", left, err)
	}
}
