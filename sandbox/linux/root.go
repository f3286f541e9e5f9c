package linux

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
)

// MakeRoot makes the directories, files and links that a spec wants in its
// root, which must be an empty directory that only the service can enter.
func MakeRoot(s sandbox.Spec) error {
	for _, d := range s.Dirs {
		p := filepath.Join(s.Root, d.Path)
		if err := os.Mkdir(p, 0o700); err != nil {
			return fmt.Errorf("make sandbox: %w", err)
		}
		if err := finishDir(p, d, s.Identity); err != nil {
			return fmt.Errorf("make sandbox: %w", err)
		}
	}
	for _, f := range s.Files {
		if err := os.WriteFile(filepath.Join(s.Root, f.Path), []byte(f.Content), 0o644); err != nil {
			return fmt.Errorf("make sandbox: %w", err)
		}
	}
	for _, l := range s.Links {
		if err := os.Symlink(l.Target, filepath.Join(s.Root, l.Path)); err != nil {
			return fmt.Errorf("make sandbox: %w", err)
		}
	}
	return nil
}

// finishDir sets owner and mode, in this order as the former clears bits of the
// latter.
func finishDir(p string, d sandbox.Dir, id sandbox.Identity) error {
	if d.Owned && id.Change {
		if err := os.Chown(p, id.OutsideUID, id.OutsideGID); err != nil {
			return err
		}
	}
	return os.NewSyscallError("chmod", unix.Chmod(p, d.Mode))
}

// Look says what is at a path of the host.
func Look(hostPath string) sandbox.Found {
	st, err := os.Lstat(hostPath)
	if err != nil {
		return sandbox.Found{Kind: sandbox.Missing}
	}
	if st.Mode()&os.ModeSymlink != 0 {
		target, err := os.Readlink(hostPath)
		if err != nil {
			return sandbox.Found{Kind: sandbox.Missing}
		}
		return sandbox.Found{Kind: sandbox.Symlink, Target: target}
	}
	if st.IsDir() {
		return sandbox.Found{Kind: sandbox.Directory}
	}
	return sandbox.Found{Kind: sandbox.Other}
}
