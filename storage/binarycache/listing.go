package binarycache

import (
	"encoding/json"
	"io"
	"regexp"
	"strings"
)

// node is a file of a NAR listing, version 1, as Nix writes it beside a narinfo.
type node struct {
	Type       string           `json:"type"`
	Size       *uint64          `json:"size,omitempty"`
	Executable bool             `json:"executable,omitempty"`
	NarOffset  uint64           `json:"narOffset,omitempty"` // of the contents; never 0
	Target     string           `json:"target,omitempty"`
	Entries    map[string]*node `json:"entries,omitzero"`
}

// lister makes the listing of a NAR that is parsed.
type lister struct {
	in   *counter // what the parser reads
	root *node
	open []*node  // directories, from the root down
	path []string // their names

	debug map[string]string // build id with ".debug" -> the file's path
}

// counter counts what was read.
type counter struct {
	io.Reader
	n uint64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += uint64(n)
	return n, err
}

func (l *lister) add(name string, n *node) {
	if len(l.open) == 0 {
		l.root = n
		return
	}
	l.open[len(l.open)-1].Entries[name] = n
}

func (l *lister) Directory(name string) error {
	n := &node{Type: "directory", Entries: map[string]*node{}}
	l.add(name, n)
	l.open, l.path = append(l.open, n), append(l.path, name)
	return nil
}

func (l *lister) Up() error {
	l.open, l.path = l.open[:len(l.open)-1], l.path[:len(l.path)-1]
	return nil
}

func (l *lister) Symlink(name, target string) error {
	l.add(name, &node{Type: "symlink", Target: target})
	return nil
}

// debugFile is where files with debug information lie in an output.
var debugFile = regexp.MustCompile(`^lib/debug/\.build-id/([0-9a-f]{2})/([0-9a-f]{38}\.debug)$`)

func (l *lister) File(name string, executable bool, size uint64, contents io.Reader) error {
	l.add(name, &node{Type: "regular", Size: &size, Executable: executable, NarOffset: l.in.n})
	if len(l.path) > 0 {
		file := strings.Join(append(l.path[1:len(l.path):len(l.path)], name), "/")
		if m := debugFile.FindStringSubmatch(file); m != nil {
			l.debug[m[1]+m[2]] = file
		}
	}
	_, err := io.Copy(io.Discard, contents)
	return err
}

// encode writes JSON as Nix does: nothing escaped that need not be, no line end.
func encode(v any) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

func (l *lister) text() ([]byte, error) {
	return encode(struct {
		Version int   `json:"version"`
		Root    *node `json:"root"`
	}{1, l.root})
}

// debugText says in which archive the file of a build id is.
func debugText(archive, member string) ([]byte, error) {
	return encode(struct {
		Archive string `json:"archive"`
		Member  string `json:"member"`
	}{"../" + archive, member})
}
