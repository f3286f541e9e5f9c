package simulation

import (
	"fmt"
	"slices"
	"time"

	"troupe/messages"
	"troupe/storage/storepath"
)

// binaryCache is one substituter: what it has, and what that refers to. Not all
// of what is referred to is in it.
type binaryCache struct {
	name  string
	paths map[storepath.Path][]storepath.Path
	// traces say where outputs without a path lie, by [lockOf]. What lies there may
	// not be in the cache.
	traces map[storepath.Path]storepath.Path
}

// fetch is what the caches port has for one goal.
type fetch struct {
	path    storepath.Path
	cache   int
	refs    []storepath.Path
	running bool
	dying   bool // it is killed, and not over yet
	repair  bool // it takes the place of what is valid
}

const (
	lookUpTime = 100 * time.Millisecond
	fetchTime  = 4 * time.Second
	slowFetch  = 5 * time.Minute
)

// stockCaches puts part of what can be built into caches.
func (w *World) stockCaches() {
	rng := stream(w.Seed, "caches")
	for i := range w.Caches {
		c := &binaryCache{name: fmt.Sprintf("cache%d", i), paths: map[storepath.Path][]storepath.Path{}, traces: map[storepath.Path]storepath.Path{}}
		for _, d := range w.graph.Drvs {
			var refs []storepath.Path
			for _, in := range d.Inputs {
				if from, ok := w.graph.drv(in.Path); ok && rng.IntN(2) == 0 {
					refs = append(refs, from.outputs(in.Outputs)...)
				}
			}
			refs = slices.DeleteFunc(refs, storepath.Path.IsZero) // of outputs that have no path
			for _, o := range d.Outputs {
				if rng.IntN(3) > 0 && !o.Path.IsZero() {
					c.paths[o.Path] = refs
				}
			}
			c.paths[d.Drv] = d.Sources
		}
		for _, s := range w.graph.Sources {
			if rng.IntN(2) == 0 {
				c.paths[s] = nil
			}
		}
		w.caches = append(w.caches, c)
	}
}

// traceCaches puts into caches where some of the outputs lie that have no path, and
// most of what lies there. It draws from numbers of its own.
func (w *World) traceCaches() {
	rng := stream(w.Seed, "traces")
	for _, c := range w.caches {
		for _, d := range w.graph.Drvs {
			for _, o := range d.made {
				if d.Impure || rng.IntN(2) == 0 {
					continue
				}
				c.traces[lockOf(d.Drv, o.Name)] = o.Path
				if rng.IntN(4) > 0 {
					c.paths[o.Path] = d.Sources
				}
			}
		}
	}
}

// lookUpRealisations answers where outputs lie.
func (w *World) lookUpRealisations(m *messages.LookUpRealisations) messages.Message {
	a := &messages.RealisationsFound{}
	for _, name := range m.Outputs {
		for _, c := range w.caches {
			if w.hit(LookUpFails) {
				a.Failed = "HTTP error 500"
				break
			}
			if p, known := c.traces[lockOf(m.Drv, name)]; known {
				a.Outputs = append(a.Outputs, messages.Output{Name: name, Path: p})
				a.Signatures = append(a.Signatures, []string{c.name})
				break
			}
		}
	}
	return a
}

// cachesPort looks paths up and fetches them.
func (w *World) cachesPort(m messages.Message) {
	switch m := m.(type) {
	case *messages.LookUpPath:
		f := &fetch{path: m.Path, cache: m.Cache}
		w.look(m.From, f, func() messages.Message { return w.lookUp(f) })
	case *messages.LookUpRealisations:
		f := &fetch{}
		w.look(m.From, f, func() messages.Message {
			delete(w.fetches, m.From)
			return w.lookUpRealisations(m)
		})
	case *messages.FetchPath:
		w.fetch(m)
	case *messages.KillFetch:
		w.killFetch(m)
	default:
		panic(fmt.Sprintf("caches: unexpected %v", m))
	}
}

// look answers a goal after a while.
func (w *World) look(goal messages.Address, f *fetch, answer func() messages.Message) {
	w.fetches[goal] = f
	w.work(goal, lookUpTime, func() {
		if w.fetches[goal] == f {
			w.send(messages.Caches, goal, answer())
		}
	})
}

// killFetch ends a fetch. One that runs takes a moment, in which it may still be
// done.
func (w *World) killFetch(m *messages.KillFetch) {
	f := w.fetches[m.Goal]
	if f == nil || !f.running {
		delete(w.fetches, m.Goal)
		f = nil
	} else {
		f.dying = true
	}
	if f == nil && m.From == "" {
		return
	}
	w.work(m.Goal, killTime, func() {
		if w.fetches[m.Goal] == f {
			delete(w.fetches, m.Goal)
		}
		if m.From != "" {
			w.send(messages.Caches, m.From, &messages.FetchKilled{})
		}
	})
}

func (w *World) lookUp(f *fetch) messages.Message {
	more := f.cache+1 < len(w.caches)
	if w.hit(LookUpFails) {
		return &messages.LookUpFailed{More: more, Reason: "HTTP error 500"}
	}
	if f.cache >= len(w.caches) {
		return &messages.PathNotFound{}
	}
	c := w.caches[f.cache]
	refs, has := c.paths[f.path]
	if !has {
		return &messages.PathNotFound{More: more}
	}
	f.refs = slices.Clone(refs)
	if w.hit(CacheLies) { // about what it refers to, perhaps in a circle
		f.refs = append(f.refs, w.graph.Drvs[w.rng.IntN(len(w.graph.Drvs))].Outputs[0].Path)
	}
	f.refs = slices.DeleteFunc(f.refs, func(p storepath.Path) bool { return p == f.path || p.IsZero() })
	return &messages.PathFound{Name: c.name, References: f.refs, NarSize: 1000, Download: 100}
}

func (w *World) fetch(m *messages.FetchPath) {
	f := w.fetches[m.From]
	if f == nil || f.path != m.Path || f.running {
		w.fail("fetches", fmt.Sprintf("%s fetches %v and was not told of it", m.From, m.Path))
		return
	}
	f.running, f.repair = true, m.Repair
	most := fetchTime
	if w.hit(CacheIsSlow) {
		most = slowFetch
	}
	w.work(m.From, most, func() {
		if w.fetches[m.From] == f && !(f.dying && w.rng.IntN(2) == 0) {
			f.running = false
			w.send(messages.Caches, m.From, w.fetched(f))
		}
	})
}

func (w *World) fetched(f *fetch) messages.Message {
	more := f.cache+1 < len(w.caches)
	switch {
	case w.hit(NARIsGone):
		return &messages.FetchFailed{Gone: true, More: more, Reason: "it does not exist any more"}
	case w.hit(NARIsBad):
		return &messages.FetchFailed{More: more, Reason: "hash mismatch"}
	}
	if !w.disk.valid(f.path) { // one without a path before has been built to the same meanwhile
		w.disk.register(f.path, f.refs)
	}
	return &messages.PathFetched{}
}
