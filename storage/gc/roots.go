package gc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"troupe/storage/storepath"
)

// Root is a reason why a path is needed.
type Root struct {
	Link    string // a file, or what Nix writes instead: "{temp:<pid>}"
	Path    storepath.Path
	Private bool // the link tells of somebody's process, which is not for everybody
}

// Censored is what those who are not trusted see of a private link.
const Censored = "{censored}"

// FindRoots returns every root, sorted by link and path: links below the state
// directory's gcroots and profiles, what running processes use, and what is
// leased. Indirect roots whose link is gone are removed. talk, which may be nil,
// hears what Nix says of them.
func (c *Collector) FindRoots(ctx context.Context, talk func(string)) ([]Root, error) {
	roots, err := c.findRoots(ctx, Options{Talk: talk}.say)
	if err != nil {
		return nil, err
	}
	for _, p := range c.Roots.Kept() {
		roots = append(roots, tempRoot(os.Getpid(), p))
	}
	slices.SortFunc(roots, func(a, b Root) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), a.Path.Compare(b.Path))
	})
	return slices.Compact(roots), nil
}

func tempRoot(pid int, p storepath.Path) Root {
	return Root{Link: fmt.Sprintf("{temp:%d}", pid), Path: p, Private: true}
}

// findRoots leaves out what this process keeps.
func (c *Collector) findRoots(ctx context.Context, say func(string, ...any)) ([]Root, error) {
	f := &finder{c: c, say: say, valid: map[storepath.Path]bool{}}
	for _, dir := range []string{"gcroots", "profiles"} {
		if err := f.tree(filepath.Join(c.Layout.StateDir, dir)); err != nil {
			return nil, fmt.Errorf("find garbage collector roots: %w", err)
		}
	}
	if err := f.processes(ctx); err != nil {
		return nil, fmt.Errorf("find garbage collector roots: %w", err)
	}
	err := c.Layout.OtherTempRoots(func(pid int, p storepath.Path) { f.roots = append(f.roots, tempRoot(pid, p)) })
	return f.roots, err
}

type finder struct {
	c     *Collector
	say   func(string, ...any)
	valid map[storepath.Path]bool // of those that were asked for
	roots []Root
}

// storeDirs are the names of the store: what its paths read as, and where it is.
func (f *finder) storeDirs() []storepath.Dir {
	l := f.c.Layout
	if l.Root == "" {
		return []storepath.Dir{l.Dir}
	}
	return []storepath.Dir{l.Dir, storepath.Dir(l.RealStoreDir())}
}

func (f *finder) inStore(path string) (storepath.Path, bool) {
	for _, dir := range f.storeDirs() {
		if p, _, err := dir.ParseInside(path); err == nil {
			return p, true
		}
	}
	return storepath.Path{}, false
}

func (f *finder) isValid(p storepath.Path) (bool, error) {
	if valid, asked := f.valid[p]; asked {
		return valid, nil
	}
	valid, err := f.c.DB.Valid(p)
	if err == nil {
		f.valid[p] = valid
	}
	return valid, err
}

// found adds a root if its target is valid.
func (f *finder) found(link, target string) error {
	p, ok := f.inStore(target)
	if !ok {
		return nil
	}
	valid, err := f.isValid(p)
	if err != nil {
		return err
	}
	if !valid {
		f.say("skipping invalid root from '%s' to '%s'", link, f.c.Layout.Dir.Join(p))
		return nil
	}
	f.roots = append(f.roots, Root{Link: link, Path: p})
	return nil
}

// tree looks at everything below a directory. Users own parts of it, so that
// each directory is opened below the first one and through no link.
func (f *finder) tree(top string) error {
	fd, err := unix.Open(top, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return f.unreadable(top, err)
	}
	defer unix.Close(fd)
	todo := []string{"."}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		below, err := f.directory(fd, top, at)
		if err != nil {
			return err
		}
		todo = append(todo, below...)
	}
	return nil
}

// directory returns the directories in one.
func (f *finder) directory(top int, shown, at string) (below []string, err error) {
	shown = filepath.Join(shown, at)
	fd, err := openBelow(top, at)
	if err != nil {
		return nil, f.unreadable(shown, err)
	}
	dir := os.NewFile(uintptr(fd), shown)
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, f.unreadable(shown, err)
	}
	for _, e := range entries {
		path := filepath.Join(shown, e.Name())
		switch {
		case e.IsDir():
			below = append(below, filepath.Join(at, e.Name()))
		case e.Type()&fs.ModeSymlink != 0:
			err = f.link(fd, e.Name(), path)
		case e.Type().IsRegular():
			err = f.named(path)
		}
		if err != nil {
			return nil, err
		}
	}
	return below, nil
}

func openBelow(top int, at string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	return unix.Openat2(top, at, &how)
}

// unreadable passes over what may vanish, be another's, or be longer than a
// name can be; anything else ends the collection, which might delete what it
// could not read of.
func (f *finder) unreadable(path string, err error) error {
	for _, harmless := range []error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EACCES, unix.ENAMETOOLONG} {
		if errors.Is(err, harmless) {
			if harmless != unix.ENOENT {
				f.say("cannot read potential root '%s'", path)
			}
			return nil
		}
	}
	return &os.PathError{Op: "read", Path: path, Err: err}
}

// link looks at a link to a store path, or at one to such a link.
func (f *finder) link(dir int, name, shown string) error {
	target, err := readLink(dir, name)
	if errors.Is(err, unix.EINVAL) { // swapped for something else meanwhile
		return nil
	}
	if err != nil {
		return f.unreadable(shown, err)
	}
	if _, ok := f.inStore(target); ok {
		return f.found(shown, target)
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(shown), target)
	}
	target = filepath.Clean(target)
	st, err := os.Lstat(target)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return f.dangling(dir, name, shown, target)
	}
	if err != nil {
		return f.unreadable(target, reason(err))
	}
	if st.Mode()&fs.ModeSymlink == 0 {
		return nil
	}
	second, err := os.Readlink(target)
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	if err != nil {
		return f.unreadable(target, reason(err))
	}
	return f.found(target, second)
}

// dangling removes an indirect root that leads nowhere.
func (f *finder) dangling(dir int, name, shown, target string) error {
	if !strings.HasPrefix(shown, autoRoots(f.c.Layout)+"/") {
		return nil
	}
	f.say("removing stale link from '%s' to '%s'", shown, target)
	if err := unix.Unlinkat(dir, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove", Path: shown, Err: err}
	}
	return nil
}

// named is a file that is a root by its name.
func (f *finder) named(path string) error {
	p, err := storepath.ParseBase(filepath.Base(path))
	if err != nil {
		return nil // as any other file
	}
	valid, err := f.isValid(p)
	if valid {
		f.roots = append(f.roots, Root{Link: path, Path: p})
	}
	return err
}

func readLink(dir int, name string) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// reason is the error without the path, which the caller names.
func reason(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
