package simulation

import (
	"fmt"
	"slices"
	"time"

	"troupe/messages"
	"troupe/storage/storepath"
)

// others owns the locks that other processes of the machine hold.
const others messages.Address = "another process"

// locks are the lock files beside store paths.
type locks struct {
	w     *World
	owner map[storepath.Path]messages.Address
	asked map[messages.Address]*lockWant
	line  []*lockWant // those that wait, in order
}

type lockWant struct {
	owner messages.Address
	paths []storepath.Path
	wait  bool
	held  bool
}

const (
	lockTime   = 3 * time.Millisecond
	slowUnlock = 300 * time.Millisecond
)

func newLocks(w *World) *locks {
	return &locks{w: w, owner: map[storepath.Path]messages.Address{}, asked: map[messages.Address]*lockWant{}}
}

func (l *locks) take(m messages.Message) {
	switch m := m.(type) {
	case *messages.TryLock:
		l.ask(&lockWant{owner: m.Owner, paths: m.Paths})
	case *messages.AwaitLock:
		l.ask(&lockWant{owner: m.Owner, paths: m.Paths, wait: true})
	case *messages.Unlock:
		most := lockTime
		if l.w.rng.IntN(16) == 0 {
			most = slowUnlock
		}
		l.w.work(messages.Locks, most, func() {
			l.give(m.Owner)
			l.w.send(messages.Locks, messages.PathLocks, &messages.FilesUnlocked{Owner: m.Owner})
		})
		delete(l.asked, m.Owner)
	default:
		panic(fmt.Sprintf("locks: unexpected %v", m))
	}
}

func (l *locks) ask(x *lockWant) {
	l.asked[x.owner] = x
	l.w.work(messages.Locks, lockTime, func() { l.try(x) })
}

// try takes all locks or none. An owner that has given up meanwhile is not
// answered.
func (l *locks) try(x *lockWant) {
	if l.asked[x.owner] != x {
		return
	}
	if l.w.hit(LockFails) {
		delete(l.asked, x.owner)
		l.tell(x, &messages.FilesFailed{Owner: x.owner, Reason: "permission denied"})
		return
	}
	for _, p := range x.paths {
		if _, taken := l.owner[p]; taken {
			if x.wait {
				l.line = append(l.line, x)
				return
			}
			l.tell(x, &messages.FilesBusy{Owner: x.owner, Path: p})
			return
		}
	}
	for _, p := range x.paths {
		l.owner[p] = x.owner
	}
	x.held = true
	l.tell(x, &messages.FilesLocked{Owner: x.owner})
}

func (l *locks) tell(x *lockWant, m messages.Message) {
	l.w.send(messages.Locks, messages.PathLocks, m)
}

// give frees what an owner has; those who wait try again.
func (l *locks) give(owner messages.Address) {
	for p, o := range l.owner {
		if o == owner {
			delete(l.owner, p)
		}
	}
	line := l.line
	l.line = nil
	for _, x := range line {
		l.try(x)
	}
}

// free reports whether a goal could have a lock: nobody else has it or is about
// to.
func (l *locks) free(goal messages.Address, p storepath.Path) bool {
	if o, taken := l.owner[p]; taken && o != goal {
		return false
	}
	for _, x := range l.asked {
		if x.owner != goal && slices.Contains(x.paths, p) {
			return false
		}
	}
	return true
}

// othersCome lets other processes take locks for a while.
func (l *locks) othersCome() {
	l.w.ev.after(time.Duration(l.w.rng.IntN(3000))*time.Millisecond, "", 0, func() {
		if l.w.hit(LockTaken) {
			d := l.w.graph.Drvs[l.w.rng.IntN(len(l.w.graph.Drvs))]
			p := d.locks()[l.w.rng.IntN(len(d.Outputs))]
			if _, taken := l.owner[p]; !taken {
				l.owner[p] = others
				l.w.ev.after(time.Duration(l.w.rng.IntN(30_000))*time.Millisecond, "", 0, func() { l.otherGoes(p) })
			}
		}
		if l.w.busy() {
			l.othersCome()
		}
	})
}

func (l *locks) otherGoes(p storepath.Path) {
	delete(l.owner, p)
	line := l.line
	l.line = nil
	for _, x := range line {
		l.try(x)
	}
}

// crash frees what the service had.
func (l *locks) crash() {
	for p, o := range l.owner {
		if o != others {
			delete(l.owner, p)
		}
	}
	l.asked, l.line = map[messages.Address]*lockWant{}, nil
}
