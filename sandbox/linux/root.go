package linux

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
)

// MakeTree makes a tree in a directory that only the service can enter, where
// nothing of it is yet. Files without contents are names of one, which may be
// there already, as empty: a name costs a tenth of a file.
func MakeTree(dir string, t sandbox.Tree, empty string) error {
	if err := makeTree(dir, t, empty); err != nil {
		return fmt.Errorf("make sandbox: %w", err)
	}
	return nil
}

func makeTree(dir string, t sandbox.Tree, empty string) error {
	for _, d := range t.Dirs {
		p := filepath.Join(dir, d.Path)
		if err := os.Mkdir(p, 0o700); err != nil {
			return err
		}
		if err := unix.Chmod(p, d.Mode); err != nil { // whatever the umask is
			return &os.PathError{Op: "chmod", Path: p, Err: err}
		}
	}
	for _, f := range t.Files {
		p := filepath.Join(dir, f.Path)
		if f.Content == "" && empty != "" && os.Link(empty, p) == nil {
			continue // there is a bound on a file's names, and then it is made
		}
		if err := os.WriteFile(p, []byte(f.Content), 0o644); err != nil {
			return err
		}
		if err := os.Chmod(p, 0o644); err != nil {
			return err
		}
		if f.Content == "" {
			empty = p
		}
	}
	for _, l := range t.Links {
		if err := os.Symlink(l.Target, filepath.Join(dir, l.Path)); err != nil {
			return err
		}
	}
	return nil
}

// Text is what a file of the host says, where it can be read.
func Text(hostPath string) string {
	text, err := os.ReadFile(hostPath)
	if err != nil {
		return ""
	}
	return string(text)
}

// Follow is where a path of the host leads, "" where nothing is there.
func Follow(hostPath string) string {
	real, err := filepath.EvalSymlinks(hostPath)
	if err != nil {
		return ""
	}
	return real
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
