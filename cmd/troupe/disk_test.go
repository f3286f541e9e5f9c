package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// disk is a model of a file system below a directory: what programs see of it,
// and what a crash leaves in the worst case. That is what was flushed: the
// contents of a file when the file was, a name when its directory was.
type disk struct {
	root   string // which was there before, and on disk
	top    *inode
	open   map[string]*position // by descriptor
	synced map[int]func()       // what a flush under way makes durable, by its first line
}

// inode has what programs see, and after the bar what a crash leaves.
type inode struct {
	kind   fs.FileMode // 0, [fs.ModeDir] or [fs.ModeSymlink]
	target string      // of a link

	data  []byte
	mode  fs.FileMode // permissions
	names map[string]*inode

	kept durable
}

type durable struct {
	data  []byte
	mode  fs.FileMode
	names map[string]*inode
}

type position struct {
	file   *inode
	offset int
}

// newDisk is a disk that has a copy of top, all of it flushed.
func newDisk(root string, top *inode) *disk {
	top = top.clone()
	top.keepAll()
	return &disk{root: root, top: top, open: map[string]*position{}, synced: map[int]func(){}}
}

func (n *inode) clone() *inode {
	c := *n
	c.data, c.names = bytes.Clone(n.data), maps.Clone(n.names)
	for name, child := range c.names {
		c.names[name] = child.clone()
	}
	return &c
}

// readInode reads what is there, as if nothing of it were flushed.
func readInode(path string) (*inode, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	n := &inode{kind: st.Mode().Type(), mode: st.Mode().Perm()}
	switch n.kind {
	case fs.ModeSymlink:
		n.target, err = os.Readlink(path)
	case fs.ModeDir:
		n.names = map[string]*inode{}
		var entries []fs.DirEntry
		entries, err = os.ReadDir(path)
		for _, e := range entries {
			child, err := readInode(filepath.Join(path, e.Name()))
			if err != nil {
				return nil, err
			}
			n.names[e.Name()] = child
		}
	default:
		n.data, err = os.ReadFile(path)
	}
	return n, err
}

func (n *inode) keepAll() {
	n.now()()
	for _, child := range n.names {
		child.keepAll()
	}
}

// now returns what makes durable what n is now.
func (n *inode) now() func() {
	d := durable{bytes.Clone(n.data), n.mode, maps.Clone(n.names)}
	return func() { n.kept = d }
}

// find returns nil for what is not there, or not known.
func (d *disk) find(path string) *inode {
	rest, below := strings.CutPrefix(path, d.root)
	if !below {
		return nil
	}
	n := d.top
	for _, name := range strings.FieldsFunc(rest, func(r rune) bool { return r == '/' }) {
		if n = n.names[name]; n == nil {
			return nil
		}
	}
	return n
}

// put gives an inode a name, where the directory is known.
func (d *disk) put(path string, n *inode) {
	if dir := d.find(filepath.Dir(path)); dir != nil {
		dir.names[filepath.Base(path)] = n
	}
}

func (d *disk) drop(path string) {
	if dir := d.find(filepath.Dir(path)); dir != nil {
		delete(dir.names, filepath.Base(path))
	}
}

// start takes what a flush finds when it begins; what comes later it may miss.
func (d *disk) start(c call) {
	_, path := c.file()
	n := d.find(path)
	switch c.name {
	case "fsync", "fdatasync":
		if n != nil {
			d.synced[c.begin] = n.now()
		}
	case "syncfs", "sync":
		d.synced[c.begin] = d.all()
	}
}

func (d *disk) all() func() {
	var keep []func()
	var walk func(*inode)
	walk = func(n *inode) {
		keep = append(keep, n.now())
		for _, child := range n.names {
			walk(child)
		}
	}
	walk(d.top)
	return func() {
		for _, k := range keep {
			k()
		}
	}
}

// finish does what a call does. An error is a call that the model does not
// know.
func (d *disk) finish(c call) error {
	places := c.places()
	fd, path := c.file()
	switch c.name {
	case "fsync", "fdatasync", "syncfs", "sync":
		if keep := d.synced[c.begin]; keep != nil {
			keep()
		}
	case "open", "openat", "openat2", "creat":
		d.opened(c)
	case "close":
		delete(d.open, fd)
	case "write", "pwrite64":
		return d.write(c)
	case "mkdirat":
		d.put(places[0], &inode{kind: fs.ModeDir, mode: lastMode(c.args), names: map[string]*inode{}})
	case "symlinkat":
		d.put(places[0], &inode{kind: fs.ModeSymlink, target: c.texts()[0]})
	case "unlinkat":
		d.drop(places[0])
	case "renameat", "renameat2":
		return d.rename(places[0], places[1])
	case "linkat":
		if n := d.find(places[0]); n != nil {
			d.put(places[1], n)
		}
	case "fchmodat":
		return d.chmod(places[0], c.args)
	case "fchmod":
		return d.chmod(path, c.args)
	case "ftruncate":
		if n := d.find(path); n != nil {
			return n.truncate(c.args)
		}
	default:
		if strings.Contains(c.args, d.root) {
			return fmt.Errorf("the model does not know %s(%.200s)", c.name, c.args)
		}
	}
	return nil
}

func (d *disk) opened(c call) {
	fd, path := c.opened()
	n := d.find(path)
	if n == nil && strings.Contains(c.args, "O_CREAT") {
		n = &inode{mode: lastMode(c.args)}
		d.put(path, n)
	}
	if n == nil {
		n = &inode{} // elsewhere, or what a builder made
	}
	p := &position{file: n}
	if strings.Contains(c.args, "O_TRUNC") {
		n.data = nil
	}
	if strings.Contains(c.args, "O_APPEND") {
		p.offset = len(n.data)
	}
	d.open[fd] = p
}

func (d *disk) write(c call) error {
	fd, path := c.file()
	p := d.open[fd]
	if p == nil || d.find(path) == nil {
		return nil
	}
	size, err := strconv.Atoi(c.result)
	if err != nil {
		return err
	}
	at, texts := &p.offset, c.texts()
	if c.name == "pwrite64" {
		offset, err := strconv.Atoi(c.args[strings.LastIndex(c.args, " ")+1:])
		if err != nil {
			return err
		}
		at = &offset
	}
	if missing := *at + size - len(p.file.data); missing > 0 {
		p.file.data = append(p.file.data, make([]byte, missing)...)
	}
	copy(p.file.data[*at:], texts[len(texts)-1][:size])
	*at += size
	return nil
}

// rename also takes what the model has not seen being made: what a builder has
// made is on no disk yet, and what it is now is what it was when it was moved. A
// socket is no loss.
func (d *disk) rename(from, to string) error {
	if filepath.Base(filepath.Dir(to)) == "daemon-socket" {
		return nil
	}
	n := d.find(from)
	if n == nil && d.find(filepath.Dir(to)) != nil {
		var err error
		if n, err = readInode(to); err != nil {
			return fmt.Errorf("renamed, and not there: %w", err)
		}
	}
	d.drop(from)
	d.put(to, n)
	return nil
}

func (d *disk) chmod(path, args string) error {
	n := d.find(path)
	if fd, ok := strings.CutPrefix(path, "/proc/self/fd/"); ok {
		if d.open[fd] == nil {
			return fmt.Errorf("descriptor %s is not known", fd)
		}
		n = d.open[fd].file
	}
	if n != nil {
		n.mode = lastMode(args)
	}
	return nil
}

// lastMode is the last number in octal among the arguments of a call.
func lastMode(args string) (mode fs.FileMode) {
	for _, word := range strings.Split(args, ", ") {
		if n, err := strconv.ParseUint(word, 8, 12); err == nil && strings.HasPrefix(word, "0") {
			mode = fs.FileMode(n)
		}
	}
	return mode
}

func (n *inode) truncate(args string) error {
	size, err := strconv.Atoi(args[strings.LastIndex(args, " ")+1:])
	if err == nil {
		n.data = append(n.data, make([]byte, max(0, size-len(n.data)))...)[:size]
	}
	return err
}

// survivor finds what a crash leaves of a path.
func (d *disk) survivor(path string) *inode {
	n := d.top
	for _, name := range strings.FieldsFunc(strings.TrimPrefix(path, d.root), func(r rune) bool { return r == '/' }) {
		if n = n.kept.names[name]; n == nil {
			return nil
		}
	}
	return n
}

// lost names what is in a tree and not in what a crash leaves of it.
func lost(want, got *inode, shown string) []string {
	switch {
	case got == nil:
		return []string{shown + " is lost"}
	case got.kind != want.kind || got.target != want.target:
		return []string{shown + " is something else"}
	case want.kind == 0 && !bytes.Equal(got.kept.data, want.data):
		return []string{fmt.Sprintf("%s has %d bytes of %d", shown, len(got.kept.data), len(want.data))}
	case want.kind != fs.ModeSymlink && got.kept.mode != want.mode:
		return []string{fmt.Sprintf("%s has mode %o", shown, got.kept.mode)}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(want.names)) {
		all = append(all, lost(want.names[name], got.kept.names[name], shown+"/"+name)...)
	}
	return all
}
