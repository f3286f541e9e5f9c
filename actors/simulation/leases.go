package simulation

import (
	"slices"

	"troupe/messages"
	"troupe/storage/storepath"
)

// leases are what the service keeps from the collector, and for whom.
type leases struct {
	held    map[messages.Address][]storepath.Path
	gone    map[messages.Address]bool // owners that have let go for good
	waiting []messages.ReleasePaths   // for an epoch to be over
}

func newLeases() leases {
	return leases{held: map[messages.Address][]storepath.Path{}, gone: map[messages.Address]bool{}}
}

func (l *leases) add(owner messages.Address, paths ...storepath.Path) {
	if !l.gone[owner] {
		l.held[owner] = append(l.held[owner], paths...)
	}
}

func (l *leases) release(m *messages.ReleasePaths) {
	if m.Epoch > 0 {
		l.waiting = append(l.waiting, *m)
		return
	}
	delete(l.held, m.Owner)
	l.gone[m.Owner] = true
}

func (l *leases) over(m *messages.EpochsOver) {
	l.waiting = slices.DeleteFunc(l.waiting, func(r messages.ReleasePaths) bool {
		over := r.Epoch < m.Before
		if over {
			l.release(&messages.ReleasePaths{Owner: r.Owner})
		}
		return over
	})
}

// keeps reports whether anybody has leased a path.
func (l *leases) keeps(p storepath.Path) bool {
	for _, paths := range l.held {
		if slices.Contains(paths, p) {
			return true
		}
	}
	return false
}
