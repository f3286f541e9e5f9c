package localstore

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Stage makes a new directory in the staging directory.
func (l Layout) Stage(prefix string) (string, error) { return l.stage(l.StagingDir(), prefix) }

// StageRoot makes a new directory among the roots of sandboxes.
func (l Layout) StageRoot(prefix string) (string, error) { return l.stage(l.SandboxesDir(), prefix) }

// stage makes the directory above again where [Layout.TidyStaging] has removed
// it, which may happen again before it is used.
func (l Layout) stage(above, prefix string) (dir string, err error) {
	for range stageAttempts {
		dir, err = os.MkdirTemp(above, prefix)
		if !errors.Is(err, fs.ErrNotExist) {
			return dir, err
		}
		if err := l.makeStaging(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", err
}

const stageAttempts = 100

// makeStaging makes what is not there, the store itself too: programs that have
// emptied it remove it.
func (l Layout) makeStaging() error {
	err := makeDir(l.RealStoreDir())
	for _, dir := range []string{l.StagingDir(), l.SandboxesDir()} {
		if err == nil {
			err = privateDir(dir)
		}
	}
	return err
}

// TidyStaging removes the staging directory if nothing is in it, so that an
// empty store is an empty directory. Where others may make files in the store it
// stays: one of them could make it in our stead.
func (l Layout) TidyStaging() error {
	var st unix.Stat_t
	if err := unix.Stat(l.RealStoreDir(), &st); err != nil {
		return &os.PathError{Op: "stat", Path: l.RealStoreDir(), Err: err}
	}
	if st.Mode&0o022 != 0 {
		return nil
	}
	for _, dir := range []string{l.SandboxesDir(), l.StagingDir()} {
		err := unix.Rmdir(dir)
		if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
			return nil
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return &os.PathError{Op: "remove", Path: dir, Err: err}
		}
	}
	return nil
}
