package buildmachines

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
)

// List is the machines of a setting. Files that it names are read again when they
// have changed.
type List struct {
	text, system string

	mu    sync.Mutex // guards what follows
	read  bool
	files map[string]version
	last  []Machine
	err   error
}

// version tells a file from what it was.
type version struct {
	inode uint64
	size  int64
	time  syscall.Timespec
}

// NewList is the list of a setting's text; system is what machines are that do not
// say it.
func NewList(text, system string) *List { return &List{text: text, system: system} }

// Machines are those that there are now. A file that is missing has none. Anew says
// that they were read now, so that an error need be told only once.
func (l *List) Machines() (all []Machine, anew bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.read && l.current() {
		return l.last, false, l.err
	}
	l.files, l.last, l.read = map[string]version{}, nil, true
	l.err = l.expand(l.text, 0)
	if l.err != nil {
		l.last = nil
	}
	return l.last, true, l.err
}

func (l *List) current() bool {
	for name, was := range l.files {
		if look(name) != was {
			return false
		}
	}
	return true
}

// look is zero for a file that is not there.
func look(name string) version {
	info, err := os.Stat(name)
	if err != nil {
		return version{}
	}
	v := version{size: info.Size()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		v.inode, v.time = st.Ino, st.Mtim
	}
	return v
}

// maxDepth bounds files that name files.
const maxDepth = 8

// expand reads lines, of which each may have several machines. "#" begins a
// comment, which ends with the line.
func (l *List) expand(text string, depth int) error {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for entry := range strings.SplitSeq(line, ";") {
			if err := l.entry(strings.TrimSpace(entry), depth); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *List) entry(entry string, depth int) error {
	if entry == "" {
		return nil
	}
	file, named := strings.CutPrefix(entry, "@")
	if !named {
		m, err := parseLine(entry, l.system)
		l.last = append(l.last, m)
		return err
	}
	file = strings.TrimSpace(file)
	if depth == maxDepth {
		return fmt.Errorf("read machines file '%s': files name each other more than %d deep", file, maxDepth)
	}
	l.files[file] = look(file) // before it is read: what changes now is seen next time
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read machines file: %w", err)
	}
	return l.expand(string(b), depth+1)
}
