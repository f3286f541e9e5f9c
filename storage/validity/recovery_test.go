package validity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"troupe/storage/storepath"
)

// A crash at any write or sync of the database's files, with any part of what
// was not synced on disk, leaves what the database held after some step: none
// before the last that was acknowledged, and none that was not begun. That is
// held against a model, over all that can be asked. Then it goes on from there,
// and crashes again.
func TestRecovery(t *testing.T) {
	for seed := range uint64(recoverySeeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := &recovery{t: t, rng: rand.New(rand.NewPCG(seed, 2)), now: newModel(), disk: vfs.NewCrashableMem()}
			for n := range 8 {
				r.pool = append(r.pool, fmt.Sprint("p", n), fmt.Sprintf("d%d.drv", n), fmt.Sprintf("d%d", n), fmt.Sprintf("d%d-dev", n))
			}
			for range lives {
				r.live()
			}
		})
	}
}

const (
	recoverySeeds = 6
	lives         = 4
	stepsOfALife  = 60
)

// recovery is one database through several lives.
type recovery struct {
	t    *testing.T
	rng  *rand.Rand
	pool []string
	disk *vfs.MemFS

	mu     sync.Mutex // what follows is also for who crashes in the background
	now    model
	states []state // that a crash now may leave: from the last acknowledged on
	left   []remains
}

// state is what is durable in a model, and how that reads.
type state struct {
	model
	text string
}

func (r *recovery) state() state {
	durable := r.now.clone(true)
	return state{durable, durable.text(r.pool)}
}

// remains is what a crash left, and what it may be.
type remains struct {
	disk   *vfs.MemFS
	states []state
}

// live works on the database until it is closed or forgotten, looks at what all
// its crashes have left, and goes on with one of those.
func (r *recovery) live() {
	r.now.pending = nil
	r.states, r.left = []state{r.state()}, nil
	db, err := Open("/state/db", Options{FS: &crashingFS{r.disk, r}})
	must(r.t, err)
	for range stepsOfALife {
		r.step(db)
		if r.number(10) == 0 {
			r.crash()
		}
	}
	must(r.t, db.Close())
	r.crash()
	for n, rest := range r.left {
		found := r.look(rest)
		if n == len(r.left)*2/3 {
			r.disk, r.now = rest.disk, found.model
		}
	}
}

func (r *recovery) crash() {
	r.mu.Lock()
	defer r.mu.Unlock()
	config := vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 0, 30, 70, 100}[r.rng.IntN(5)], RNG: rand.New(rand.NewPCG(r.rng.Uint64(), 0))}
	r.left = append(r.left, remains{r.disk.CrashClone(config), slices.Clone(r.states)})
}

// crashingFS crashes at some writes and syncs, before or after.
type crashingFS struct {
	vfs.FS
	r *recovery
}

func (c *crashingFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(name, category)
	return crashingFile{f, c.r}, err
}

type crashingFile struct {
	vfs.File
	r *recovery
}

func (f crashingFile) maybe() {
	f.r.mu.Lock()
	now := f.r.rng.IntN(25) == 0
	f.r.mu.Unlock()
	if now {
		f.r.crash()
	}
}

func (f crashingFile) Write(b []byte) (int, error) { f.maybe(); return f.File.Write(b) }
func (f crashingFile) Sync() error                 { f.maybe(); defer f.maybe(); return f.File.Sync() }
func (f crashingFile) SyncData() error             { f.maybe(); defer f.maybe(); return f.File.SyncData() }

// do takes a step in the model, then in the database; from the first on a crash
// may leave it, and when it was acknowledged a crash leaves nothing older.
func (r *recovery) do(inModel func(*model) (synced bool, err error), inDB func() error) {
	r.t.Helper()
	r.mu.Lock()
	next := r.now.clone(false)
	synced, want := inModel(&next)
	if want == nil {
		r.now = next
		r.states = append(r.states, r.state())
	}
	r.mu.Unlock()
	if err := inDB(); (err != nil) != (want != nil) {
		r.t.Fatalf("error is %v, the model's %v", err, want)
	}
	if synced && want == nil {
		r.mu.Lock()
		r.states = r.states[len(r.states)-1:]
		r.mu.Unlock()
	}
}

func (r *recovery) pick() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pool[r.rng.IntN(len(r.pool))]
}

func (r *recovery) number(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rng.IntN(n)
}

func (r *recovery) step(db *DB) {
	r.t.Helper()
	switch name := r.pick(); r.number(10) {
	case 0, 1, 2:
		u := r.unit(name)
		r.do(func(m *model) (bool, error) { return false, m.register(u) }, func() error { return db.RegisterProvisional(u.registration()) })
	case 3, 4, 5:
		r.do(func(m *model) (bool, error) { return m.commit(name) }, func() error { return db.Commit(context.Background(), named(name)) })
	case 6:
		gone := []string{name, r.pick(), r.pick()}[:1+r.number(3)]
		r.do(func(m *model) (bool, error) { return m.unregister(gone...) }, func() error { return db.Unregister(paths(gone)...) })
	case 7:
		class := fmt.Sprint("class-", r.number(100))
		r.do(func(m *model) (bool, error) { m.failed[name] = class; return false, nil },
			func() error { return db.RegisterFailed(Failure{Class: class}, named(name)) })
	case 8:
		r.do(func(m *model) (bool, error) { delete(m.failed, name); return false, nil },
			func() error { return db.ClearFailed(named(name)) })
	case 9:
		r.sign(db, name, fmt.Sprint("key:", r.number(100)))
		if r.number(4) == 0 {
			must(r.t, db.pebble.Flush())
		}
	}
}

// unit is what an addition, a build that succeeded or one that failed teaches.
func (r *recovery) unit(name string) modelUnit {
	u := modelUnit{paths: map[string]modelInfo{name: {refs: r.refs()}}}
	base := strings.TrimSuffix(strings.TrimSuffix(name, ".drv"), "-dev")
	if name[0] != 'd' {
		return u
	}
	u.drv, u.outputs = base+".drv", map[string]string{"out": base, "dev": base + "-dev"}
	switch {
	case name == base:
		u.paths[base+"-dev"] = modelInfo{refs: r.refs()}
		u.build = "-"
	case name != u.drv:
		u.paths, u.build = nil, fmt.Sprint("failure-", r.number(100))
	}
	return u
}

// refs are mostly to what is valid.
func (r *recovery) refs() (refs []string) {
	for range r.number(4) {
		if name := r.pick(); r.now.valid(name) || r.number(8) == 0 {
			refs = append(refs, name)
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

func (r *recovery) sign(db *DB, name, signature string) {
	r.t.Helper()
	signed := func(i modelInfo) modelInfo {
		if !slices.Contains(i.signatures, signature) {
			i.signatures = append(slices.Clone(i.signatures), signature)
			slices.Sort(i.signatures)
		}
		return i
	}
	r.do(func(m *model) (bool, error) {
		if n := m.pendingAt(name); n >= 0 {
			u := m.pending[n]
			changed := modelUnit{paths: map[string]modelInfo{}, drv: u.drv, outputs: u.outputs, build: u.build}
			for p, i := range u.paths {
				if changed.paths[p] = i; p == name {
					changed.paths[p] = signed(i)
				}
			}
			m.pending[n] = changed
			return false, nil
		}
		i, ok := m.durable[name]
		if !ok {
			return false, errModel
		}
		m.durable[name] = signed(i)
		return true, nil
	}, func() error { return db.AddSignatures(named(name), signature) })
}

func paths(names []string) (all []storepath.Path) {
	for _, n := range names {
		all = append(all, named(n))
	}
	return all
}

func (u modelUnit) registration() (reg Registration) {
	for name, i := range u.paths {
		reg.Paths = append(reg.Paths, info(name, i.refs...))
		if u.drv != "" && name != u.drv {
			reg.Paths[len(reg.Paths)-1].Deriver = named(u.drv)
		}
	}
	if u.drv == "" {
		return reg
	}
	reg.Drv, reg.Outputs = named(u.drv), map[string]storepath.Path{}
	for output, name := range u.outputs {
		reg.Outputs[output] = named(name)
	}
	if u.build != "" {
		reg.Build = &Build{Failure: strings.TrimPrefix(u.build, "-")}
	}
	return reg
}

// look opens what a crash left and says which state it is.
func (r *recovery) look(rest remains) state {
	r.t.Helper()
	db, err := Open("/state/db", Options{FS: rest.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(0, 0))})})
	must(r.t, err)
	defer func() { must(r.t, db.Close()) }()
	must(r.t, errors.Join(checkClosed(db), checkIndexes(db)))
	got := textOf(r.t, db, r.pool)
	for _, s := range slices.Backward(rest.states) {
		if s.text == got {
			return s
		}
	}
	r.t.Fatalf("a crash left\n%s\nwhich is none of %d states, the oldest\n%s\nand the newest\n%s", got, len(rest.states),
		rest.states[0].text, rest.states[len(rest.states)-1].text)
	panic("not reached")
}

// checkIndexes fails where a record of an index has no record that it is of.
func checkIndexes(db *DB) error {
	var errs []error
	for _, kind := range []byte{keyReferrer, keyDeriver} {
		errs = append(errs, db.scan([]byte{kind}, func(k, _ []byte) error {
			first, second, _ := strings.Cut(string(k[1:]), "\x00")
			of, err := storepath.ParseBase(second)
			if err != nil {
				return err
			}
			at, err := storepath.ParseBase(first)
			if err != nil {
				return err
			}
			if kind == keyReferrer {
				i, _, err := db.Get(of)
				if err == nil && !slices.Contains(i.References, at) {
					err = fmt.Errorf("%s is a referrer of %s and does not refer to it", of.Name(), at.Name())
				}
				return err
			}
			outputs, err := db.Outputs(of)
			for _, p := range outputs {
				if p == at {
					return err
				}
			}
			return errors.Join(err, fmt.Errorf("%s is a deriver of %s, which is none of its outputs", of.Name(), at.Name()))
		}))
	}
	return errors.Join(append(errs, checkNeeds(db))...)
}

// checkNeeds fails where the indexes of collections lack something, or know of what a
// derivation made that it did not make.
func checkNeeds(db *DB) error {
	needs, made, heads := map[storepath.Path][]storepath.Path{}, map[[2]storepath.Path]bool{}, map[storepath.Path]bool{}
	err := db.scan([]byte{keyInfo}, func(k, v []byte) error {
		p, err := pairPath(k, []byte{keyInfo})
		if err != nil {
			return err
		}
		i, err := decodeInfo(p, v)
		needs[p] = append(i.References, i.Deriver)
		if !i.Deriver.IsZero() {
			made[[2]storepath.Path{i.Deriver, p}] = true
		}
		heads[p] = true
		return err
	})
	for p, all := range needs {
		for _, r := range all[:len(all)-1] {
			if r != p {
				delete(heads, r)
			}
		}
	}
	err = errors.Join(err, db.scan([]byte{keyMade}, func(k, _ []byte) error {
		drv, p, _ := strings.Cut(string(k[1:]), "\x00")
		pair := [2]storepath.Path{must1(storepath.ParseBase(drv)), must1(storepath.ParseBase(p))}
		if !made[pair] {
			return fmt.Errorf("%s names %s as its deriver no more", pair[1].Name(), pair[0].Name())
		}
		delete(made, pair)
		return nil
	}))
	v, verr := db.View()
	if err = errors.Join(err, verr); err != nil {
		return err
	}
	known, herr := v.Heads()
	knots, kerr := v.Knots()
	for _, p := range known {
		delete(heads, p)
	}
	for _, p := range knots {
		delete(needs, p)
	}
	for pair := range made {
		err = errors.Join(err, fmt.Errorf("that %s made %s is not known", pair[0].Name(), pair[1].Name()))
	}
	for p := range heads {
		err = errors.Join(err, fmt.Errorf("%s is a head and not known as one", p.Name()))
	}
	return errors.Join(err, herr, kerr, v.Close(), checkAcyclic(needs))
}

// checkAcyclic takes away who needs nobody that is there, until nobody is.
func checkAcyclic(needs map[storepath.Path][]storepath.Path) error {
	for {
		before := len(needs)
		for p, all := range needs {
			if !slices.ContainsFunc(all, func(r storepath.Path) bool { _, there := needs[r]; return there && r != p }) {
				delete(needs, p)
			}
		}
		if len(needs) == 0 {
			return nil
		}
		if len(needs) == before {
			return fmt.Errorf("there is a cycle without a knot among %d paths", before)
		}
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// textOf asks a database for everything, and renders it as the model does.
func textOf(t *testing.T, db *DB, pool []string) string {
	t.Helper()
	var b strings.Builder
	sortedNames := func(paths []storepath.Path) (all []string) {
		for _, p := range paths {
			all = append(all, p.Name())
		}
		slices.Sort(all)
		return all
	}
	for _, name := range pool {
		p := named(name)
		i, ok, err := db.Get(p)
		must(t, err)
		slices.Sort(i.Signatures)
		if ok {
			fmt.Fprintf(&b, "%s: references %q signatures %q\n", name, sortedNames(i.References), i.Signatures)
		}
		referrers, err := db.Referrers(p)
		must(t, err)
		if len(referrers) > 0 {
			fmt.Fprintf(&b, "%s: referrers %q\n", name, sortedNames(referrers))
		}
		derivers, err := db.Derivers(p)
		must(t, err)
		if len(derivers) > 0 {
			fmt.Fprintf(&b, "%s: derivers %q\n", name, sortedNames(derivers))
		}
		outputs, err := db.Outputs(p)
		must(t, err)
		byName := map[string]string{}
		for output, path := range outputs {
			byName[output] = path.Name()
		}
		if len(byName) > 0 {
			fmt.Fprintf(&b, "%s: outputs %v\n", name, byName)
		}
		build, ok, err := db.LastBuild(p)
		must(t, err)
		if ok {
			fmt.Fprintf(&b, "%s: build %s\n", name, cmp.Or(build.Failure, "-"))
		}
		failure, ok, err := db.HasFailed(p)
		must(t, err)
		if ok {
			fmt.Fprintf(&b, "%s: failed %s\n", name, failure.Class)
		}
	}
	return b.String()
}
