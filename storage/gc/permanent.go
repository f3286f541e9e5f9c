package gc

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// autoRoots is where indirect roots are: links to links elsewhere, each called
// by the hash of what it links to.
func autoRoots(l localstore.Layout) string { return filepath.Join(l.StateDir, "gcroots", "auto") }

// AddIndirectRoot makes a link anywhere on the machine a root for as long as it
// is there. The link, an absolute path, need not be there yet.
func AddIndirectRoot(l localstore.Layout, link string) error {
	if !filepath.IsAbs(link) {
		return fmt.Errorf("add indirect root '%s': it is not an absolute path", link)
	}
	link = filepath.Clean(link)
	name := nixhash.EncodeBase32(nixhash.Sum(nixhash.SHA1, []byte(link)).Bytes())
	if err := putLink(filepath.Join(autoRoots(l), name), link); err != nil {
		return fmt.Errorf("add indirect root '%s': %w", link, err)
	}
	return nil
}

// AddPermRoot makes the link, an absolute path outside the store, to a store path,
// and an indirect root of it; it returns the link. A link into the store that is
// there is replaced, and nothing else is. The caller keeps the path until then.
func AddPermRoot(l localstore.Layout, p storepath.Path, link string) (string, error) {
	if !filepath.IsAbs(link) {
		return "", fmt.Errorf("add root '%s': it is not an absolute path", link)
	}
	link = filepath.Clean(link)
	if inside(string(l.Dir), link) || inside(l.RealStoreDir(), link) {
		return "", fmt.Errorf("creating a garbage collector root (%q) in the Nix store is forbidden (are you running nix-build inside the store?)", link)
	}
	target, err := os.Readlink(link)
	if !errors.Is(err, fs.ErrNotExist) && (err != nil || !inside(string(l.Dir), target) && !inside(l.RealStoreDir(), target)) {
		return "", fmt.Errorf("cannot create symlink %q; already exists", link)
	}
	if err := putLink(link, l.Dir.Join(p)); err != nil {
		return "", fmt.Errorf("add root '%s': %w", link, err)
	}
	return link, AddIndirectRoot(l, link)
}

func inside(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != "." && filepath.IsLocal(rel)
}

// putLink makes a link, or replaces one at once, and the directories above it.
func putLink(link, target string) error {
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return err
	}
	if have, err := os.Readlink(link); err == nil && have == target {
		return nil
	}
	made := fmt.Sprintf("%s.tmp-%d-%s", link, os.Getpid(), rand.Text())
	if err := os.Symlink(target, made); err != nil {
		return err
	}
	if err := unix.Rename(made, link); err != nil {
		return errors.Join(&os.PathError{Op: "rename", Path: link, Err: err}, os.Remove(made))
	}
	return nil
}
