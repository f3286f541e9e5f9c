package ports

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
	"troupe/sandbox/linux"
	"troupe/storage/localstore"
)

// box is the directories that builders in a sandbox can write to: one with the
// build directory and /tmp in it, and the store, with the mount points of what
// it is to see. A box whose builder has left nothing in it is another's after it:
// where some thousand files were deleted a while ago, ext4 takes 0.2 ms to make
// one, and a box has a name for each input.
type box struct {
	dir, store string
	build      *shell
	tmp        *shell
	outputs    *shell // of the store
}

// hostTmp is the sandbox's /tmp as the host sees it.
func (b *build) hostTmp() string { return filepath.Join(b.dir, "tmp") }

// makeBoxDirs gives a build a box; b.dir is its directory.
func (p *Builds) makeBoxDirs(b *build) (err error) {
	for _, dir := range []string{b.hostBuild(), b.hostTmp()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	if b.places.Store, err = p.s.Layout.StageRoot("store-"); err != nil {
		return err
	}
	b.box = &box{dir: b.dir, store: b.places.Store}
	for dir, sh := range map[string]**shell{b.hostBuild(): &b.box.build, b.hostTmp(): &b.box.tmp, b.places.Store: &b.box.outputs} {
		if *sh, err = newShell(dir); err != nil {
			return err
		}
	}
	return nil
}

// makeBox fills in the sandbox.
func (p *Builds) makeBox(b *build) (err error) {
	if err := b.box.tmp.fill(b.hostTmp(), b.spec.Tmp); err != nil {
		return err
	}
	if err := unix.Chmod(b.hostTmp(), 0o1777); err != nil {
		return os.NewSyscallError("chmod", err)
	}
	if err := b.box.outputs.fill(b.places.Store, b.spec.Store); err != nil {
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

// spareBoxes bounds how many are kept for later builds.
const spareBoxes = 16

// takeBox gives a build a box that is ready. It reports whether there is one.
func (p *Builds) takeBox(b *build) (bool, error) {
	p.mu.Lock()
	i := len(p.boxes) - 1 // the newest, which has most of what an input of the build saw
	for i >= 0 && filepath.Dir(p.boxes[i].dir) != filepath.Clean(b.policy.BuildDir) {
		i--
	}
	if i < 0 {
		p.mu.Unlock()
		return false, nil
	}
	x := p.boxes[i]
	p.boxes = slices.Delete(p.boxes, i, i+1)
	p.mu.Unlock()
	b.box, b.dir, b.places.Store = x, x.dir, x.store
	if err := x.rename(b.path.Name()); err != nil {
		return true, err
	}
	b.dir = x.dir
	for _, dir := range []string{b.hostBuild(), b.hostTmp(), x.store} {
		if err := refresh(dir); err != nil {
			return true, err
		}
	}
	return true, os.Chmod(b.hostBuild(), 0o700)
}

// rename gives a box the name of another build, by which a person knows it.
func (x *box) rename(drv string) error {
	to := filepath.Join(filepath.Dir(x.dir), fmt.Sprintf("nix-build-%s-%d", drv, rand.Uint32()))
	if err := localstore.Rename(x.dir, to); err != nil {
		return err
	}
	x.dir = to
	return nil
}

// recycle takes a box back, or removes it where it cannot be as new.
func (p *Builds) recycle(x *box) {
	if x.restore() != nil {
		p.removeBox(x)
		return
	}
	p.mu.Lock()
	full := p.closed || len(p.boxes) >= spareBoxes
	if !full {
		p.boxes = append(p.boxes, x)
	}
	p.mu.Unlock()
	if full {
		p.removeBox(x)
	}
}

// restore removes what a builder has left, and checks that nothing of what it could
// change of the rest is changed.
func (x *box) restore() error {
	if err := x.build.restore(filepath.Join(x.dir, "build")); err != nil {
		return err
	}
	if err := x.tmp.restore(filepath.Join(x.dir, "tmp")); err != nil {
		return err
	}
	return x.outputs.restore(x.store)
}

// recyclable reports whether a build's box may be another's. A builder that can
// reach a process outside of its sandbox could have sent it an open directory of
// its box, which would be a way into the sandbox of the next; and one without a
// user namespace can set what we do not look at, as the project of a directory.
func (b *build) recyclable(store string) bool {
	if b.box == nil || b.nest != nil || !b.spec.Spaces.PID || !b.spec.Spaces.Net || !b.spec.Spaces.User {
		return false
	}
	for _, m := range b.spec.Mounts {
		input := m.ReadOnly && filepath.Dir(m.Source) == store
		if m.Kind == sandbox.Bind && !input && m.Source != b.hostBuild() && m.Source != b.hostTmp() && leadsOut(m.Source) {
			return false
		}
	}
	return true
}

// leadsOut reports whether a path of the host may let a builder reach somebody:
// it is a socket, also where it cannot be written to, a directory in which there
// may be one, or a device that may carry descriptors. Files do not.
func leadsOut(path string) bool {
	st, err := os.Stat(path)
	return err != nil || !st.Mode().IsRegular() && !sandbox.Harmless(path)
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
		err = linux.MakeTree(dir, t, "")
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
