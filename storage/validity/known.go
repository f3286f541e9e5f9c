package validity

import (
	"sync"

	"troupe/storage/storepath"
)

// known remembers what durable paths refer to, as far as walks have read it: the
// inputs of one build are mostly those of the one before, and to read a record costs
// ten times as much as to remember it. A record that is changed or deleted is
// forgotten once that can be seen, and by then no walk may add what it read before.
type known struct {
	mu    sync.Mutex // guards what follows
	paths map[string]*knownPath
	count int    // of paths and references
	age   uint64 // counts what was forgotten
}

type knownPath struct {
	path       storepath.Path
	references []storepath.Path
}

// knownMost bounds how many paths and references are remembered: some 5 MB. What is
// more begins anew.
const knownMost = 100_000

// now is the age for [known.add].
func (k *known) now() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.age
}

// find returns a path by its name, or nil.
func (k *known) find(base []byte) *knownPath {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.paths[string(base)]
}

// add remembers what was read since an age.
func (k *known) add(age uint64, p storepath.Path, references []storepath.Path) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if age != k.age || k.paths[p.Base()] != nil {
		return
	}
	size := 1 + len(references)
	if k.paths == nil || k.count+size > knownMost {
		k.paths, k.count = map[string]*knownPath{}, 0
	}
	k.paths[p.Base()] = &knownPath{p, references}
	k.count += size
}

func (k *known) forget(paths ...storepath.Path) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.age++
	for _, p := range paths {
		if at := k.paths[p.Base()]; at != nil {
			k.count -= 1 + len(at.references)
			delete(k.paths, p.Base())
		}
	}
}
