package rows

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"troupe/cmd/troupe-bench/graph"
	"troupe/cmd/troupe-bench/report"
	"troupe/cmd/troupe-bench/side"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// large is a store of a million valid paths, of which only the records are there. They
// are written into the daemon's database while it is stopped, which takes minutes.
type large struct {
	*Env
	paths  []storepath.Path
	opened time.Duration // from its start until it greets
}

// largeStore are the rows of a store with a million paths, of our own daemon alone.
func largeStore() []Row {
	return []Row{
		{Name: "G6", Work: "start with a million valid paths", Score: "s", New: func(e *Env) Task { return &opening{large{Env: e}} }},
		{Name: "G6", Work: "isValidPath among a million, each", New: func(e *Env) Task { return &asking{large{Env: e}} }},
		{Name: "G6", Work: "collect 1,000 dead of a million, each", New: func(e *Env) Task { return &sparing{large: large{Env: e}} }},
	}
}

// layer is how many paths refer to those before them; the last ones are roots.
const layer = 5000

// fill makes the store, once, and starts the daemon.
func (t *large) fill(ctx context.Context, s *side.Side) error {
	if err := s.Stop(); err != nil {
		return err
	}
	if t.paths == nil {
		if err := t.register(ctx, s); err != nil {
			return err
		}
	}
	begun := time.Now()
	err := s.Start(ctx, t.Work)
	t.opened = time.Since(begun)
	return err
}

func (t *large) register(ctx context.Context, s *side.Side) (err error) {
	dir := filepath.Join(s.StateDir(), "troupe", "db")
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("fill the store of the daemon '%s': it has no database of ours: %w", s.Name, err)
	}
	db, err := validity.Open(dir, validity.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var last []storepath.Path
	for n := t.n(1_000_000); n > 0; n -= layer {
		if last, err = t.registerLayer(ctx, s.Dir, db, min(n, layer), last); err != nil {
			return err
		}
		t.paths = append(t.paths, last...)
	}
	for i, p := range last {
		if err := os.Symlink(s.Dir.Join(p), filepath.Join(s.StateDir(), "gcroots", fmt.Sprint("large-", i))); err != nil {
			return err
		}
	}
	return nil
}

// registerLayer makes paths, each of which refers to five of those before, and all
// together to all.
func (t *large) registerLayer(ctx context.Context, dir storepath.Dir, db *validity.DB, n int, before []storepath.Path) (made []storepath.Path, err error) {
	var reg validity.Registration
	for i := range n {
		hash := nixhash.Sum(nixhash.SHA256, fmt.Append(nil, t.Salt, len(t.paths)+i))
		p, err := dir.MakeFixed(fmt.Sprintf("package-%d-1.0", len(t.paths)+i), storepath.NAR, hash, nil, false)
		if err != nil {
			return nil, err
		}
		info := validity.Info{Path: p, NarHash: hash, NarSize: 1000, RegistrationTime: 1}
		for k := 0; k < 5 && len(before) > 0; k++ {
			info.References = append(info.References, before[(i+k*(len(before)/n+131))%len(before)])
		}
		slices.SortFunc(info.References, storepath.Path.Compare)
		info.References = slices.Compact(info.References)
		reg.Paths, made = append(reg.Paths, info), append(made, p)
	}
	if err := db.RegisterProvisional(reg); err != nil {
		return nil, err
	}
	return made, db.Commit(ctx, made...)
}

// opening is how long it takes until a client is greeted.
type opening struct{ large }

// Prepare implements [Task].
func (t *opening) Prepare(ctx context.Context, s *side.Side, _ int) error { return t.fill(ctx, s) }

// Measure implements [Task].
func (t *opening) Measure(_ context.Context, _ *side.Side, sample *report.Sample) error {
	sample.Items, sample.Score = 1, t.opened.Seconds()
	return nil
}

// Check implements [Task].
func (t *opening) Check(ctx context.Context, s *side.Side) error {
	return s.CheckHash(ctx, t.paths[0], nixhash.Hash{})
}

// asking is questions to such a store.
type asking struct{ large }

// Prepare implements [Task].
func (t *asking) Prepare(ctx context.Context, s *side.Side, round int) error {
	if round > 0 {
		return nil
	}
	return t.fill(ctx, s)
}

// Measure implements [Task].
func (t *asking) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	q := questions{Env: t.Env, connections: 1, paths: t.paths}
	return q.Measure(ctx, s, sample)
}

// Check implements [Task]; every answer was looked at.
func (t *asking) Check(context.Context, *side.Side) error { return nil }

// sparing is a collection of a few dead paths.
type sparing struct {
	large
	dead []storepath.Path
}

// Prepare implements [Task].
func (t *sparing) Prepare(ctx context.Context, s *side.Side, round int) error {
	if round == 0 {
		if err := t.fill(ctx, s); err != nil {
			return err
		}
	}
	m := graph.Maker{Dir: s.Dir, Box: t.paths[0], Salt: fmt.Sprint(t.Salt, "-", round)}
	items, err := m.Make(graph.Independent(999))
	if err != nil {
		return err
	}
	t.dead = nil
	for _, i := range items {
		t.dead = append(t.dead, i.Path)
	}
	return s.AddDerivations(ctx, items)
}

// Measure implements [Task].
func (t *sparing) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	ran, err := s.Run(ctx, "nix-store", "--gc")
	sample.Items, sample.Wall = len(t.dead), ran.Took.Seconds()
	return err
}

// Check implements [Task]: what is dead is gone, and nothing else.
func (t *sparing) Check(ctx context.Context, s *side.Side) error {
	valid, err := s.ValidAmong(ctx, append(slices.Clone(t.dead), t.paths...))
	if err == nil && len(valid) != len(t.paths) {
		err = fmt.Errorf("check the collection of the daemon '%s': %d paths are valid, not %d", s.Name, len(valid), len(t.paths))
	}
	for _, p := range t.dead {
		if _, there := slices.BinarySearchFunc(valid, p, storepath.Path.Compare); there && err == nil {
			err = fmt.Errorf("check the collection of the daemon '%s': '%s' is left", s.Name, p)
		}
	}
	return err
}
