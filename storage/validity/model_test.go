package validity

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// model is what a database should hold, written down as simply as it goes:
// names instead of paths, and everything in maps that are copied whole.
type model struct {
	durable map[string]modelInfo
	outputs map[string]map[string]string // of derivations, by output name
	builds  map[string]string            // failure of a derivation's last build, "-" for none
	failed  map[string]string

	pending []modelUnit // in the order of registration
}

type modelInfo struct {
	refs, signatures []string // both sorted
}

type modelUnit struct {
	paths   map[string]modelInfo
	drv     string
	outputs map[string]string
	build   string // "" where there was none
}

func newModel() model {
	return model{durable: map[string]modelInfo{}, outputs: map[string]map[string]string{}, builds: map[string]string{}, failed: map[string]string{}}
}

// clone copies what is durable and, unless it crashes, what is not. What is
// inside an entry is never changed, but replaced.
func (m model) clone(crash bool) model {
	c := model{durable: maps.Clone(m.durable), outputs: maps.Clone(m.outputs), builds: maps.Clone(m.builds), failed: maps.Clone(m.failed)}
	if !crash {
		c.pending = slices.Clone(m.pending)
	}
	return c
}

func (m model) pendingAt(name string) int {
	return slices.IndexFunc(m.pending, func(u modelUnit) bool { _, ok := u.paths[name]; return ok })
}

func (m model) valid(name string) bool {
	_, ok := m.durable[name]
	return ok || m.pendingAt(name) >= 0
}

var errModel = errors.New("the model refuses that")

func (m *model) register(u modelUnit) error {
	fresh := maps.Clone(u.paths)
	maps.DeleteFunc(fresh, func(name string, _ modelInfo) bool { return m.valid(name) })
	for _, i := range fresh {
		for _, r := range i.refs {
			if _, ok := fresh[r]; !ok && !m.valid(r) {
				return errModel
			}
		}
	}
	u.paths = fresh
	if len(fresh) == 0 {
		m.write(u)
	} else {
		m.pending = append(m.pending, u)
	}
	return nil
}

func (m *model) write(u modelUnit) {
	for name, i := range u.paths {
		m.durable[name] = i
		delete(m.failed, name)
	}
	if len(u.outputs) > 0 {
		outputs := maps.Clone(m.outputs[u.drv])
		if outputs == nil {
			outputs = map[string]string{}
		}
		maps.Copy(outputs, u.outputs)
		m.outputs[u.drv] = outputs
	}
	if u.build != "" {
		m.builds[u.drv] = u.build
	}
}

// commit writes the units of the path and of all that they refer to, the oldest
// first.
func (m *model) commit(name string) (wrote bool, err error) {
	if !m.valid(name) {
		return false, errModel
	}
	var wanted []int
	for todo := []string{name}; len(todo) > 0; todo = todo[1:] {
		n := m.pendingAt(todo[0])
		if n < 0 || slices.Contains(wanted, n) {
			continue
		}
		wanted = append(wanted, n)
		for _, i := range m.pending[n].paths {
			todo = append(todo, i.refs...)
		}
	}
	slices.Sort(wanted)
	var rest []modelUnit
	for n, u := range m.pending {
		if slices.Contains(wanted, n) {
			m.write(u)
		} else {
			rest = append(rest, u)
		}
	}
	m.pending = rest
	return len(wanted) > 0, nil
}

// referrers are all valid paths that refer to one.
func (m model) referrers(name string) (all []string) {
	add := func(infos map[string]modelInfo) {
		for by, i := range infos {
			if slices.Contains(i.refs, name) {
				all = append(all, by)
			}
		}
	}
	add(m.durable)
	for _, u := range m.pending {
		add(u.paths)
	}
	slices.Sort(all)
	return all
}

func (m *model) unregister(gone ...string) (wrote bool, err error) {
	for _, name := range gone {
		for _, by := range m.referrers(name) {
			if !slices.Contains(gone, by) {
				return false, errModel
			}
		}
	}
	before := m.clone(false)
	for _, name := range gone {
		if _, ok := m.durable[name]; ok {
			wrote = true
			m.forget(before, name, gone)
		}
	}
	for n, u := range m.pending {
		u.paths = maps.Clone(u.paths)
		for _, name := range gone {
			delete(u.paths, name)
		}
		m.pending[n] = u
	}
	m.pending = slices.DeleteFunc(m.pending, func(u modelUnit) bool { return len(u.paths) == 0 })
	return wrote, nil
}

func (m *model) forget(before model, name string, gone []string) {
	delete(m.durable, name)
	drop := func(drv string) { delete(m.outputs, drv); delete(m.builds, drv) }
	if strings.HasSuffix(name, ".drv") {
		drop(name)
	}
	for drv, outputs := range before.outputs {
		made := slices.Contains(slices.Collect(maps.Values(outputs)), name)
		if made && !before.valid(drv) && !slices.Contains(gone, drv) {
			drop(drv)
		}
	}
}

// text renders what is durable, for comparing.
func (m model) text(pool []string) string {
	durable := m.clone(true)
	var b strings.Builder
	for _, name := range pool {
		if i, ok := durable.durable[name]; ok {
			fmt.Fprintf(&b, "%s: references %q signatures %q\n", name, i.refs, i.signatures)
		}
		if by := durable.referrers(name); len(by) > 0 {
			fmt.Fprintf(&b, "%s: referrers %q\n", name, by)
		}
		var derivers []string
		for drv, outputs := range durable.outputs {
			if slices.Contains(slices.Collect(maps.Values(outputs)), name) && durable.valid(drv) {
				derivers = append(derivers, drv)
			}
		}
		if slices.Sort(derivers); len(derivers) > 0 {
			fmt.Fprintf(&b, "%s: derivers %q\n", name, derivers)
		}
		if outputs := durable.outputs[name]; len(outputs) > 0 {
			fmt.Fprintf(&b, "%s: outputs %v\n", name, outputs)
		}
		if build, ok := durable.builds[name]; ok {
			fmt.Fprintf(&b, "%s: build %s\n", name, build)
		}
		if class, ok := durable.failed[name]; ok {
			fmt.Fprintf(&b, "%s: failed %s\n", name, class)
		}
	}
	return b.String()
}
