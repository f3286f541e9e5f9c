package simulation

import (
	"fmt"
	"time"

	"troupe/messages"
	"troupe/storage/storepath"
)

// How long the database and the disk take at most.
const (
	queryTime  = 3 * time.Millisecond
	commitTime = 30 * time.Millisecond
)

// database answers what goals and the store ask.
func (w *World) database(m messages.Message) {
	switch m := m.(type) {
	case *messages.ReadDerivation:
		w.work(m.From, queryTime, func() { w.send(messages.Database, m.From, w.readDerivation(m.Drv)) })
	case *messages.QueryPaths:
		w.work(m.From, queryTime, func() { w.send(messages.Database, m.From, w.queryPaths(m)) })
	case *messages.ResolveDerivation:
		w.work(m.From, queryTime, func() { w.send(messages.Database, m.From, w.resolve(m)) })
	case *messages.RecordRealisations:
		w.work(m.From, queryTime, func() { w.send(messages.Database, m.From, w.record(m)) })
	case *messages.KeepPaths:
		w.disk.leases.add(m.Owner, m.Paths...)
	case *messages.ReleasePaths:
		w.disk.leases.release(m)
	case *messages.EpochsOver:
		w.disk.leases.over(m)
	case *messages.CommitPaths:
		w.commitPaths(m)
	case *messages.RecordFailure:
		w.work(messages.Database, queryTime, func() {
			for _, p := range m.Paths {
				w.disk.failed[p] = true
			}
		})
	default:
		panic(fmt.Sprintf("database: unexpected %v", m))
	}
}

func (w *World) readDerivation(p storepath.Path) messages.Message {
	r := w.disk.records[p]
	if r == nil && (w.graph.made[p] || w.hit(DrvMissing)) || r != nil && !r.durable && w.hit(DrvGone) {
		return &messages.DerivationMissing{}
	}
	d, ok := w.graph.drv(p)
	if !ok || w.hit(Unreadable) {
		return &messages.DerivationUnreadable{Status: messages.InputRejected, Reason: "it cannot be read"}
	}
	d.Elsewhere = w.builders.elsewhere(d)
	return &messages.DerivationRead{Recipe: d.Recipe}
}

func (w *World) queryPaths(m *messages.QueryPaths) messages.Message {
	paths := m.Paths
	if w.hit(QueryFails) {
		return &messages.PathsQueried{Error: "the database cannot be read"}
	}
	a := &messages.PathsQueried{Valid: make([]bool, len(paths)), Failed: make([]bool, len(paths))}
	for i, p := range paths {
		if w.goesMissing(p) {
			w.disk.lose(p)
		}
		w.disk.leases.add(m.From, p)
		a.Valid[i] = w.disk.valid(p)
		a.Failed[i] = !a.Valid[i] && w.disk.failed[p]
		if a.Valid[i] && !w.disk.records[p].durable {
			a.Provisional = append(a.Provisional, p)
		}
	}
	if m.Drv.IsZero() {
		return a
	}
	a.Outputs = w.realised(m.Drv)
	for _, o := range a.Outputs {
		w.disk.leases.add(m.From, o.Path)
		if !w.disk.records[o.Path].durable {
			a.Provisional = append(a.Provisional, o.Path)
		}
	}
	return a
}

// goesMissing draws whether a source goes missing that nobody relies on.
func (w *World) goesMissing(p storepath.Path) bool {
	return w.graph.source[p] && w.hit(SourceMissing) && !w.disk.acked[p] && !w.disk.leases.keeps(p) && !w.disk.referred(p)
}

// commitPaths flushes contents, then writes records, then says so; the service
// may die before each.
func (w *World) commitPaths(m *messages.CommitPaths) {
	answer := func(text string) {
		w.send(messages.Database, messages.Store, &messages.PathsCommitted{Batch: m.Batch, Error: text})
	}
	w.work(messages.Store, commitTime, func() {
		if w.hit(CommitFails) {
			answer("no space left on device")
			return
		}
		paths := w.disk.pending(m.Paths)
		w.disk.flush(paths)
		w.work(messages.Store, commitTime, func() {
			w.disk.commit(paths)
			w.work(messages.Store, commitTime, func() { answer("") })
		})
	})
}

type timerKey struct {
	owner messages.Address
	name  string
}

// clock keeps timers.
func (w *World) clock(m messages.Message) {
	switch m := m.(type) {
	case *messages.StartTimer:
		k := timerKey{m.Owner, m.Name}
		if old := w.timers[k]; old != nil {
			w.ev.cancel(old)
		}
		w.timers[k] = w.ev.after(m.After, "", w.life, func() {
			delete(w.timers, k)
			w.send(messages.Clock, m.Owner, &messages.TimerFired{Name: m.Name, At: w.ev.now})
		})
	case *messages.CancelTimer:
		if m.Name == "" {
			for k, t := range w.timers {
				if k.owner == m.Owner {
					w.ev.cancel(t)
					delete(w.timers, k)
				}
			}
		}
		k := timerKey{m.Owner, m.Name}
		if old := w.timers[k]; old != nil {
			w.ev.cancel(old)
			delete(w.timers, k)
		}
	default:
		panic(fmt.Sprintf("clock: unexpected %v", m))
	}
}
