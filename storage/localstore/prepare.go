package localstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"troupe/storage/buildlog"
)

// Prepare makes the directories of a store that are not there, and looks at who
// owns the store. It removes nothing: others may be at work in this store.
func Prepare(l Layout, buildGroup string) error {
	made := !exists(l.RealStoreDir())
	for _, dir := range []string{l.RealStoreDir(), l.StateDir, l.LogDir} {
		if err := makeDir(dir); err != nil {
			return fmt.Errorf("make store: %w", readOnly(err))
		}
	}
	if err := l.makeLogs(); err != nil {
		return fmt.Errorf("make store: %w", readOnly(err))
	}
	if err := checkStoreDir(l.RealStoreDir(), buildGroup, made); err != nil {
		return err
	}
	if err := l.makeRootDirs(); err != nil {
		return fmt.Errorf("make store: %w", readOnly(err))
	}
	if !exists(l.StagingDir()) { // which says that this was done
		if err := errors.Join(flushName(l.RealStoreDir()), flushName(l.StateDir)); err != nil {
			return fmt.Errorf("make store: %w", err)
		}
	}
	for _, dir := range []string{l.StagingDir(), l.SandboxesDir(), l.BuildsDir()} {
		if err := privateDir(dir); err != nil {
			return fmt.Errorf("make store: %w", readOnly(err))
		}
	}
	return nil
}

// makeLogs makes the directory of the logs, which all builds make files in, in a part
// of the disk of its own.
func (l Layout) makeLogs() error {
	dir := buildlog.Root(l.LogDir)
	if exists(dir) {
		return nil
	}
	spread(l.LogDir)
	return makeDir(dir)
}

// makeRootDirs makes the directories in which programs of Nix expect to be able to
// make roots and profiles, as Nix itself does.
func (l Layout) makeRootDirs() error {
	roots, profiles := filepath.Join(l.StateDir, "gcroots"), filepath.Join(l.StateDir, "profiles")
	for _, dir := range []string{roots, profiles, filepath.Join(roots, "per-user"), filepath.Join(profiles, "per-user")} {
		if err := makeDir(dir); err != nil {
			return err
		}
	}
	err := os.Symlink(profiles, filepath.Join(roots, "profiles"))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// CleanStaging removes what a crash left in the staging directory, among the
// build directories and of locks. The caller holds the database, so that nobody
// else is at work in this store, and ends with [Layout.Leave].
func (l Layout) CleanStaging() error {
	if exists(l.heldFile()) {
		if err := l.removeStaleLocks(); err != nil {
			return fmt.Errorf("clean store: %w", readOnly(err))
		}
	}
	for _, dir := range []string{l.StagingDir(), l.BuildsDir()} {
		if err := removeContents(dir); err != nil {
			return fmt.Errorf("clean store: %w", readOnly(err))
		}
	}
	if err := errors.Join(l.makeStaging(), l.hold()); err != nil {
		return fmt.Errorf("clean store: %w", readOnly(err))
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// makeDir makes a directory, and those above it, that everybody may look into,
// whatever mask this process was started with.
func makeDir(dir string) error {
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		return nil
	}
	if above := filepath.Dir(dir); above != dir {
		if err := makeDir(above); err != nil {
			return err
		}
	}
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		if st, serr := os.Stat(dir); serr == nil && st.IsDir() { // somebody was faster
			return nil
		}
		return err
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// flushName flushes the directories above one: a store whose own name is lost in
// a crash is lost. Those that we may not read we have not made.
func flushName(dir string) error {
	for above := filepath.Dir(dir); ; above = filepath.Dir(above) {
		d, err := os.Open(above)
		if errors.Is(err, fs.ErrPermission) {
			return nil
		}
		if err != nil {
			return err
		}
		err = d.Sync()
		if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EINVAL) { // it cannot be flushed, nor changed
			err = nil
		}
		if err := errors.Join(err, d.Close()); err != nil || above == filepath.Dir(above) {
			return err
		}
	}
}

// privateDir makes a directory that only we can enter, or makes sure of one. In it are
// directories that come and go.
func privateDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if owner := st.Sys().(*syscall.Stat_t).Uid; !st.IsDir() || int(owner) != os.Geteuid() {
		return fmt.Errorf("'%s' is not a directory of ours (run 'rm -r %s')", dir, dir)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	spread(dir)
	return nil
}

// KeptName is a file in a directory that is kept, among those that would be
// removed when a process takes hold of the store.
const KeptName = ".kept"

func removeContents(dir string) error {
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, n := range names {
		if n.IsDir() && exists(filepath.Join(dir, n.Name(), KeptName)) {
			continue
		}
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
