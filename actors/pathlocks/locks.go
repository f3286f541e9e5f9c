// Package pathlocks gives goals the locks of the store paths that they are
// about to make.
package pathlocks

import (
	"fmt"
	"slices"

	"troupe/actors/host"
	"troupe/messages"
	"troupe/storage/storepath"
)

// Locks holds lock files that other Nix processes respect. Inside this process
// a path has one owner, and nobody polls for it.
//
// An UnlockPaths from a goal that has no locks means nothing. A LockPaths from one
// whose locks are being given back is taken up when that is done.
type Locks struct {
	owners map[messages.Address]*owner
	paths  map[storepath.Path]*owner // who has it in this process
	line   []*owner                  // in order of arrival
}

type owner struct {
	goal  messages.Address
	paths []storepath.Path
	state state
	again *messages.LockPaths // asked for while these are given back, or nil
}

type state uint8

const (
	inLine    state = iota // a goal of this process has one of the paths
	trying                 // the port tries the files
	awaiting               // another process holds one; the port waits
	holding                // the goal has them
	releasing              // the port gives them back
)

var stateNames = [...]string{"in-line", "trying", "awaiting", "holding", "releasing"}

func (s state) String() string { return stateNames[s] }

// New makes the path locks of a process.
func New() *Locks {
	return &Locks{owners: map[messages.Address]*owner{}, paths: map[storepath.Path]*owner{}}
}

func (l *Locks) String() string {
	return fmt.Sprintf("owners=%d paths=%d in-line=%d", len(l.owners), len(l.paths), len(l.line))
}

// Step implements [host.Machine].
func (l *Locks) Step(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.LockPaths:
		return l.onLock(m)
	case *messages.UnlockPaths:
		return l.onUnlock(m)
	case *messages.FilesLocked:
		return l.onLocked(l.find(m.Owner, m))
	case *messages.FilesBusy:
		return l.onBusy(l.find(m.Owner, m), m.Path)
	case *messages.FilesFailed:
		return l.onFailed(l.find(m.Owner, m), m.Reason)
	case *messages.FilesUnlocked:
		return l.onUnlocked(l.find(m.Owner, m))
	}
	panic(fmt.Sprintf("%v: unexpected %v", l, m))
}

func (l *Locks) onLock(m *messages.LockPaths) []host.Effect {
	if o := l.owners[m.Goal]; o != nil && o.state == releasing && o.again == nil {
		o.again = m
		return nil
	} else if o != nil {
		panic(fmt.Sprintf("%v: %s locks twice", l, m.Goal))
	}
	o := &owner{goal: m.Goal, paths: m.Paths}
	l.owners[m.Goal] = o
	if p, taken := l.taken(o); taken {
		o.state = inLine
		l.line = append(l.line, o)
		return []host.Effect{host.Send{To: o.goal, Msg: &messages.LocksBusy{Path: p}}}
	}
	return l.try(o)
}

func (l *Locks) taken(o *owner) (storepath.Path, bool) {
	for _, p := range o.paths {
		if l.paths[p] != nil {
			return p, true
		}
	}
	return storepath.Path{}, false
}

func (l *Locks) try(o *owner) []host.Effect {
	for _, p := range o.paths {
		l.paths[p] = o
	}
	o.state = trying
	return []host.Effect{host.Send{To: messages.Locks, Msg: &messages.TryLock{Owner: o.goal, Paths: o.paths}}}
}

func (l *Locks) onUnlock(m *messages.UnlockPaths) []host.Effect {
	o := l.owners[m.Goal]
	switch {
	case o == nil:
		return nil
	case o.state == releasing:
		o.again = nil
		return nil
	case o.state == inLine:
		l.line = slices.DeleteFunc(l.line, func(x *owner) bool { return x == o })
		delete(l.owners, o.goal)
		return nil
	}
	o.state = releasing
	return []host.Effect{host.Send{To: messages.Locks, Msg: &messages.Unlock{Owner: o.goal}}}
}

func (l *Locks) onLocked(o *owner) []host.Effect {
	switch o.state {
	case trying, awaiting:
		o.state = holding
		return []host.Effect{host.Send{To: o.goal, Msg: &messages.LocksHeld{}}}
	case releasing:
		return nil
	}
	panic(fmt.Sprintf("%v: %s is %v and locked again", l, o.goal, o.state))
}

func (l *Locks) onBusy(o *owner, p storepath.Path) []host.Effect {
	switch o.state {
	case trying:
		o.state = awaiting
		return []host.Effect{
			host.Send{To: o.goal, Msg: &messages.LocksBusy{Path: p}},
			host.Send{To: messages.Locks, Msg: &messages.AwaitLock{Owner: o.goal, Paths: o.paths}},
		}
	case releasing:
		return nil
	}
	panic(fmt.Sprintf("%v: %s is %v and busy", l, o.goal, o.state))
}

func (l *Locks) onFailed(o *owner, reason string) []host.Effect {
	switch o.state {
	case trying, awaiting:
		out := []host.Effect{host.Send{To: o.goal, Msg: &messages.LocksFailed{Reason: reason}}}
		return append(out, l.forget(o)...)
	case releasing:
		return nil
	}
	panic(fmt.Sprintf("%v: %s is %v and failed", l, o.goal, o.state))
}

func (l *Locks) onUnlocked(o *owner) []host.Effect {
	if o.state != releasing {
		panic(fmt.Sprintf("%v: %s is %v and unlocked", l, o.goal, o.state))
	}
	out := l.forget(o)
	if o.again != nil {
		out = append(out, l.onLock(o.again)...)
	}
	return out
}

// forget ends an owner; those in line whose paths are free now try.
func (l *Locks) forget(o *owner) (out []host.Effect) {
	delete(l.owners, o.goal)
	for _, p := range o.paths {
		delete(l.paths, p)
	}
	l.line = slices.DeleteFunc(l.line, func(x *owner) bool {
		if _, taken := l.taken(x); taken {
			return false
		}
		out = append(out, l.try(x)...)
		return true
	})
	return out
}

func (l *Locks) find(goal messages.Address, m messages.Message) *owner {
	if o := l.owners[goal]; o != nil {
		return o
	}
	panic(fmt.Sprintf("%v: unexpected %v", l, m))
}
