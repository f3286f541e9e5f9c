package localstore_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
)

// Whoever prepares a store may find another at work there; whoever cleans it,
// after that and with the database in hand, may not.
func TestPrepareCleansUp(t *testing.T) {
	l := layout(t)
	for _, dir := range []string{l.StagingDir(), l.BuildsDir()} {
		if err := os.MkdirAll(dir+"/leftover/deep", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := localstore.Prepare(l, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.StagingDir()+"/lock-leftover", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{l.StagingDir(), l.BuildsDir()} {
		if _, err := os.Stat(dir + "/leftover/deep"); err != nil {
			t.Errorf("another's work is gone: %v", err)
		}
	}
	if err := l.CleanStaging(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{l.StagingDir(), l.BuildsDir(), l.SandboxesDir()} {
		if _, err := os.Stat(dir + "/leftover"); err == nil {
			t.Errorf("a leftover is still in %s", dir)
		}
		if _, err := os.Stat(dir + "/lock-leftover"); err == nil {
			t.Errorf("a file is still in %s", dir)
		}
		if st := stat(t, dir); st.Mode&0o777 != 0o700 {
			t.Errorf("%s: mode %o", dir, st.Mode)
		}
	}
}

// Row U4: as root the store belongs to root and the build group, and is sticky.
func TestStorePermissions(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the store's owner is only set by root")
	}
	l := layout(t)
	if err := localstore.Prepare(l, "nogroup"); err != nil {
		t.Fatal(err)
	}
	if st := stat(t, l.RealStoreDir()); st.Mode&0o7777 != 0o1775 || st.Uid != 0 || st.Gid != 65534 {
		t.Fatalf("mode %o, owner %d:%d", st.Mode, st.Uid, st.Gid)
	}
	if err := localstore.Prepare(l, "no-such-group"); err != nil {
		t.Fatal(err)
	}
}

// A store that is another user's is not taken from them.
func TestForeignStore(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving files away needs root")
	}
	l := layout(t)
	if err := os.Chown(l.RealStoreDir(), 1234, 1234); err != nil {
		t.Fatal(err)
	}
	err := localstore.Prepare(l, "nogroup")
	if want := "(run 'chown root:nogroup " + l.RealStoreDir() + " && chmod 1775 " + l.RealStoreDir() + "'): it belongs to user 1234"; err == nil || !strings.Contains(err.Error(), want) {
		t.Fatal(err)
	}
	if st := stat(t, l.RealStoreDir()); st.Uid != 1234 {
		t.Fatalf("owner %d", st.Uid)
	}
}

func TestStoreOfOrdinaryUser(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may use any store")
	}
	for mode, want := range map[uint32]string{0o755: "", 0o777: "chmod o-w", 0o555: "chmod u+rwx"} {
		l := layout(t)
		if err := unix.Chmod(l.RealStoreDir(), mode); err != nil {
			t.Fatal(err)
		}
		err := localstore.Prepare(l, "nogroup")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), "(run '"+want+" "+l.RealStoreDir()+"')") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := localstore.Prepare(localstore.Layout{Dir: "/usr", StateDir: tempDir(t), LogDir: tempDir(t)}, ""); err == nil || !strings.Contains(err.Error(), "it belongs to user 0") {
		t.Error(err)
	}
}

// Everybody can enter a new store, whatever mask its maker has; nobody the
// directories that are not for them.
func TestPrepareModes(t *testing.T) {
	old := unix.Umask(0o077)
	l := layout(t)
	unix.Umask(old)
	for dir, mode := range map[string]uint32{l.RealStoreDir(): 0o755, l.Root + "/nix": 0o755, l.StateDir: 0o755, l.LogDir: 0o755,
		l.StagingDir(): 0o700, l.SandboxesDir(): 0o700, l.BuildsDir(): 0o700} {
		if st := stat(t, dir); st.Mode&0o7777 != mode {
			t.Errorf("%s: mode %o", dir, st.Mode)
		}
	}
}

// A planted link does not become the directory of what is private.
func TestPrepareRefusesLinks(t *testing.T) {
	root, elsewhere := tempDir(t), tempDir(t)
	l := layoutIn(root)
	treeAt(t, root, map[string]string{"nix/store/.troupe-staging": "->" + elsewhere})
	if err := localstore.Prepare(l, ""); err == nil || !strings.Contains(err.Error(), "not a directory of ours") {
		t.Error(err)
	}
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}

func TestPrepareReadOnly(t *testing.T) {
	if !withMounts(t) {
		return
	}
	dir := tempDir(t)
	mount(t, "none", dir, "tmpfs", unix.MS_RDONLY, "")
	err := localstore.Prepare(layoutIn(dir), "")
	if !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "the store cannot be written to") {
		t.Error(err)
	}
}
