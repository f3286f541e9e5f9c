package simulation

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"troupe/actors/journal"
	"troupe/actors/machines"
	"troupe/actors/slots"
	"troupe/messages"
	"troupe/storage/storepath"
)

// Demand is what was asked of a service once: who asked when for what, what
// there was to build, and how long each build held its slot. It can be met
// again, by another policy, in virtual time.
type Demand struct {
	Settings machines.Settings // of the recorded run
	Arrivals []Arrival
	Graph    *Graph
	Valid    []storepath.Path        // from the start
	Failed   []storepath.Path        // known to fail from the start
	Fails    map[storepath.Path]bool // derivations whose build failed
	Unknown  int                     // derivations without a recorded build; see [Drv]
	Cut      error                   // why the journal ends early, if it does
	recorded *meter
}

// Arrival is one request, and whether it was withdrawn.
type Arrival struct {
	At        time.Duration
	Withdrawn time.Duration // when; 0 if it was not
	messages.RealiseTargets
}

// ReadDemand takes the demand out of a journal. Of one that is cut it has what
// was asked up to there.
func ReadDemand(j *journal.Reader) (*Demand, error) {
	if j.Header.Segment > 0 {
		return nil, errors.New("read the demand of a journal: the flight recorder has not kept the beginning of the run")
	}
	d := &Demand{Fails: map[storepath.Path]bool{}, recorded: newMeter("")}
	if err := json.Unmarshal(j.Header.Settings, &d.Settings); err != nil {
		return nil, fmt.Errorf("read the journal's settings: %w", err)
	}
	if _, err := slots.ParsePolicy(string(d.policy())); err != nil {
		return nil, fmt.Errorf("read the journal's settings: %w", err)
	}
	r := newDemandReader(d)
	err := r.all(j)
	if err == nil && len(d.Arrivals) == 0 {
		err = errors.New("read the demand of a journal: nothing was asked for in it")
	}
	r.finish()
	return d, err
}

// policy is the one that was recorded.
func (d *Demand) policy() slots.Policy { return cmp.Or(d.Settings.Slots, slots.Shares) }

type demandReader struct {
	d       *Demand
	recipes []messages.Recipe // as they were read
	known   map[storepath.Path]bool
	took    map[storepath.Path]time.Duration
	valid   map[storepath.Path]bool // by the first answer to a question for it
	failed  map[storepath.Path]bool
	fetched []storepath.Path // what goals found there, or fetched
	asked   map[messages.Address][]storepath.Path
	goals   map[messages.Address]*demandGoal
}

// demandGoal is one goal of the recorded run.
type demandGoal struct {
	target messages.Target
	slot   time.Duration // since when it holds one
	built  bool
}

func newDemandReader(d *Demand) *demandReader {
	return &demandReader{d: d, known: map[storepath.Path]bool{}, took: map[storepath.Path]time.Duration{},
		valid: map[storepath.Path]bool{}, failed: map[storepath.Path]bool{},
		asked: map[messages.Address][]storepath.Path{}, goals: map[messages.Address]*demandGoal{}}
}

// all reads a journal to its end, or to where it is cut.
func (r *demandReader) all(j *journal.Reader) error {
	for {
		rec, err := j.Next()
		var cut *journal.CutError
		var lost *journal.LostError
		switch {
		case err == io.EOF:
			return nil
		case errors.As(err, &cut):
			r.d.Cut = err
			return nil
		case errors.As(err, &lost):
			r.d.Cut = err
			continue
		case err != nil:
			return err
		}
		r.take(rec)
		r.d.recorded.Record(rec.Step)
	}
}

func (r *demandReader) take(rec journal.Record) {
	switch m := rec.Message.(type) {
	case *messages.RealiseTargets:
		a := Arrival{At: rec.At, RealiseTargets: *m}
		a.Terms.Limits = messages.Limits{} // what ran for too long fails when it did
		a.Terms.NoSubstitutes = true       // what was fetched is there from the start
		r.d.Arrivals = append(r.d.Arrivals, a)
	case *messages.CancelRequest:
		r.withdrawn(rec.At, func(a Arrival) bool { return a.Request == m.Request })
	case *messages.ForgetClient:
		r.withdrawn(rec.At, func(a Arrival) bool { return a.Client == m.Client })
	case *messages.Realise:
		r.goals[rec.Actor] = &demandGoal{target: m.Target}
	case *messages.DerivationRead:
		if !r.known[m.Recipe.Drv] {
			r.known[m.Recipe.Drv] = true
			r.recipes = append(r.recipes, m.Recipe)
		}
	case *messages.PathsQueried:
		r.answered(r.asked[rec.Actor], m)
	case *messages.SlotFree:
		if g := r.goals[rec.Actor]; g != nil {
			g.slot = rec.At
		}
	}
	for _, e := range rec.Effects {
		if q, ok := sent[*messages.QueryPaths](e); ok {
			r.asked[rec.Actor] = q.Paths
		}
		if _, ok := sent[*messages.PrepareBuild](e); ok && r.goals[rec.Actor] != nil {
			r.goals[rec.Actor].built = true
		}
		if f, ok := sent[*messages.GoalFinished](e); ok && r.goals[rec.Actor] != nil {
			r.finished(r.goals[rec.Actor], rec.At, f.Result)
		}
	}
}

// withdrawn notes that requests were, if they were not answered before.
func (r *demandReader) withdrawn(at time.Duration, which func(Arrival) bool) {
	for i := range r.d.Arrivals {
		if a := &r.d.Arrivals[i]; which(*a) && a.Withdrawn == 0 && !r.d.recorded.answered(a.Request) {
			a.Withdrawn = at
		}
	}
}

func (r *demandReader) answered(paths []storepath.Path, m *messages.PathsQueried) {
	for i, p := range paths {
		if _, seen := r.valid[p]; !seen && i < len(m.Valid) {
			r.valid[p], r.failed[p] = m.Valid[i], m.Failed[i]
		}
	}
}

// finished notes how long a build held its slot. One that was cancelled says
// nothing of how long it would have.
func (r *demandReader) finished(g *demandGoal, at time.Duration, res messages.Result) {
	drv := g.target.Path
	switch {
	case g.built && res.Status != messages.Cancelled:
		r.took[drv] = max(at-g.slot, time.Microsecond)
		r.d.Fails[drv] = !res.Status.OK()
	case g.built || !res.Status.OK():
	case g.target.IsBuild():
		for _, o := range res.Outputs {
			r.fetched = append(r.fetched, o.Path)
		}
	default:
		r.fetched = append(r.fetched, drv)
	}
}

func (r *demandReader) finish() {
	g := NewGraph(r.recipes)
	built := map[storepath.Path]bool{}
	for i, d := range g.Drvs {
		if took, ok := r.took[d.Drv]; ok {
			g.Drvs[i].Duration = took
			for _, o := range d.Outputs {
				built[o.Path] = true
			}
		}
	}
	for _, p := range r.fetched {
		r.valid[p] = r.valid[p] || !built[p]
	}
	for _, p := range g.Sources {
		if _, asked := r.valid[p]; !asked {
			r.valid[p] = true
		}
	}
	for _, d := range g.Drvs {
		_, known := r.took[d.Drv]
		if !known && slices.ContainsFunc(d.Outputs, func(o messages.Output) bool { return !r.valid[o.Path] && !r.failed[o.Path] && !built[o.Path] }) {
			r.d.Unknown++
		}
	}
	r.d.Graph, r.d.Valid, r.d.Failed = g, those(r.valid), those(r.failed)
}

// those lists the paths of a set, sorted.
func those(set map[storepath.Path]bool) (list []storepath.Path) {
	for p, in := range set {
		if in {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, storepath.Path.Compare)
	return list
}
