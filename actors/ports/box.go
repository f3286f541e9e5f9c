package ports

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
	"troupe/sandbox/linux"
)

// makeBoxDirs makes the directories that a builder in a sandbox can write to:
// /tmp, and the store, where its outputs will be.
func (p *Builds) makeBoxDirs(b *build) (err error) {
	if err := os.Mkdir(b.hostTmp(), 0o700); err != nil {
		return err
	}
	if err := unix.Chmod(b.hostTmp(), 0o1777); err != nil {
		return os.NewSyscallError("chmod", err)
	}
	b.places.Store, err = p.s.Layout.StageRoot(b.path.Name() + "-")
	return err
}

// hostTmp is the sandbox's /tmp as the host sees it.
func (b *build) hostTmp() string { return filepath.Join(b.dir, "tmp") }

// makeBox fills in the sandbox.
func (p *Builds) makeBox(b *build) (err error) {
	if err := linux.MakeTree(b.hostTmp(), b.spec.Tmp); err != nil {
		return err
	}
	if err := linux.MakeTree(b.places.Store, b.spec.Store); err != nil {
		return err
	}
	if id := b.spec.Identity; id.Change {
		if err := os.Chown(b.places.Store, id.OutsideUID, id.OutsideGID); err != nil {
			return err
		}
	}
	if err := unix.Chmod(b.places.Store, 0o1775); err != nil {
		return os.NewSyscallError("chmod", err)
	}
	b.places.Root, err = p.root(b.spec.Root)
	return err
}

// root is a directory that holds a tree. Builds share it: it is read-only to
// them.
func (p *Builds) root(t sandbox.Tree) (string, error) {
	text := t.String()
	p.mu.Lock()
	defer p.mu.Unlock()
	if dir, ok := p.roots[text]; ok {
		return dir, nil
	}
	dir, err := p.s.Layout.StageRoot("root-")
	if err == nil {
		err = linux.MakeTree(dir, t)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		return "", err
	}
	p.roots[text] = dir
	return dir, nil
}
