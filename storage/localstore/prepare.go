package localstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Prepare makes the directories of a store that are not there. As root, where
// the group of build users exists, the store belongs to root and that group and
// is sticky, so that a builder without a sandbox can make its outputs and
// touch nobody else's. The caller holds the database, so that nobody else is at
// work here: what a crash left in the staging directory is removed.
func Prepare(l Layout, buildGroup string) error {
	for _, dir := range []string{l.RealStoreDir(), l.StateDir, l.LogDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make store: %w", readOnly(err))
		}
	}
	if err := storePermissions(l.RealStoreDir(), buildGroup); err != nil {
		return err
	}
	if _, err := Remove(l.StagingDir()); err != nil {
		return fmt.Errorf("clean store: %w", readOnly(err))
	}
	for _, dir := range []string{l.StagingDir(), l.SandboxesDir(), l.BuildsDir()} {
		if err := privateDir(dir); err != nil {
			return fmt.Errorf("make store: %w", readOnly(err))
		}
	}
	return removeContents(l.BuildsDir())
}

// privateDir makes a directory that only we can enter, or makes sure of one.
func privateDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !st.IsDir() || int(st.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		return fmt.Errorf("'%s' is not a directory of ours", dir)
	}
	return os.Chmod(dir, 0o700)
}

func removeContents(dir string) error {
	names, err := os.ReadDir(dir)
	for _, n := range names {
		_, rerr := Remove(filepath.Join(dir, n.Name()))
		err = errors.Join(err, rerr)
	}
	return err
}

func readOnly(err error) error {
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%w; the store cannot be written to", err)
	}
	return err
}

// storeMode lets the build group make files and nobody remove another's.
const storeMode = 0o1775

func storePermissions(dir, buildGroup string) error {
	if os.Geteuid() != 0 || buildGroup == "" {
		return nil
	}
	g, err := user.LookupGroup(buildGroup)
	if err != nil {
		return nil // there are no build users; whoever needs one says so
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return fmt.Errorf("group '%s': %w", buildGroup, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if st.Uid == 0 && int(st.Gid) == gid && st.Mode&0o7777 == storeMode {
		return nil
	}
	err = os.Chown(dir, 0, gid)
	if err == nil {
		err = unix.Chmod(dir, storeMode)
	}
	if err != nil {
		return fmt.Errorf("the store '%s' must belong to root and group '%s' with mode 1775 (run 'chown root:%s %s; chmod 1775 %s'): %w",
			dir, buildGroup, buildGroup, dir, dir, err)
	}
	return nil
}
