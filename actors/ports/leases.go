package ports

import (
	"slices"
	"sync"

	"troupe/messages"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
)

// leases keep paths from the collector for goals and clients.
type leases struct {
	roots *localstore.TempRoots

	mu      sync.Mutex // guards what follows
	asking  map[messages.Address]int
	gone    map[messages.Address]bool // owners that let go while they were asking
	waiting []messages.ReleasePaths   // for an epoch to be over, the oldest first
}

func newLeases(roots *localstore.TempRoots) *leases {
	return &leases{roots: roots, asking: map[messages.Address]int{}, gone: map[messages.Address]bool{}}
}

// begin announces that an owner's question is being answered; done ends that.
func (l *leases) begin(owner messages.Address) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asking[owner]++
	return func() { l.end(owner) }
}

func (l *leases) end(owner messages.Address) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asking[owner]--; l.asking[owner] > 0 {
		return
	}
	delete(l.asking, owner)
	if l.gone[owner] {
		delete(l.gone, owner)
		l.roots.Drop(string(owner))
	}
}

func (l *leases) add(owner messages.Address, paths ...storepath.Path) error {
	return l.roots.Add(string(owner), paths...)
}

func (l *leases) release(m *messages.ReleasePaths) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.Epoch > 0 {
		l.waiting = append(l.waiting, *m)
		return
	}
	l.drop(m.Owner)
}

// drop is called with the lock held. An answer under way may still add to what
// its owner has.
func (l *leases) drop(owner messages.Address) {
	if l.asking[owner] > 0 {
		l.gone[owner] = true
		return
	}
	l.roots.Drop(string(owner))
}

// over lets go of what waited for an epoch. Epochs never fall, but for 0.
func (l *leases) over(m *messages.EpochsOver) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, _ := slices.BinarySearchFunc(l.waiting, m.Before, func(r messages.ReleasePaths, before uint64) int {
		if r.Epoch < before {
			return -1
		}
		return 1
	})
	for _, r := range l.waiting[:n] {
		l.drop(r.Owner)
	}
	l.waiting = slices.Delete(l.waiting, 0, n)
}
