package ports

import (
	"slices"

	"troupe/messages"
	"troupe/storage/derivation"
	"troupe/storage/nixhash"
	"troupe/storage/realisation"
	"troupe/storage/storepath"
)

// Missing is what making targets valid would take.
type Missing struct {
	Build             []storepath.Path // derivations, each after those that it needs
	Substitute        []storepath.Path // paths that would be fetched
	Unknown           []storepath.Path // paths that nobody can make
	Download, NarSize uint64           // bytes of what would be fetched
}

// Offer is what a substituter says of a path.
type Offer struct {
	Path              storepath.Path
	References        []storepath.Path
	Download, NarSize uint64 // bytes; Download is 0 where unknown
}

// Eyes are those of whoever asks.
type Eyes struct {
	Terms messages.Terms
	// Valid says which paths are there.
	Valid func(storepath.Path) (bool, error)
	// Offered asks substituters for a path, with its content address if its
	// derivation fixes it; nil where nobody has it. It is called at once for many.
	Offered func(p storepath.Path, ca string) (*Offer, error)
	// Realised asks them where an output lies; zero where nobody knows.
	Realised func(realisation.ID) (storepath.Path, error)
}

// Missing looks for what is not valid. It goes down only as far as something is to
// be built or fetched. Substituters are asked in rounds, for all that a round needs
// at once.
func (s Services) Missing(targets []messages.Target, eyes Eyes) (Missing, error) {
	l := &missing{s: s, eyes: eyes, seen: map[storepath.Path][]string{}, inputs: map[storepath.Path][]storepath.Path{}, queue: targets}
	for len(l.queue) > 0 {
		if err := l.round(); err != nil {
			return Missing{}, err
		}
	}
	l.sort()
	return l.found, nil
}

type missing struct {
	s     Services
	eyes  Eyes
	seen  map[storepath.Path][]string // a path and the outputs that were looked at
	found Missing                     // Build in the order in which that was found out

	inputs map[storepath.Path][]storepath.Path // derivations that those to be built need
	queue  []messages.Target                   // for the next round
	asked  []question                          // of this round
}

// question is one for substituters, and what to do with the answer.
type question struct {
	path storepath.Path
	ca   string
	id   realisation.ID // of an output whose path is zero
	then func(*Offer)
}

func (l *missing) round() error {
	queue := l.queue
	l.queue, l.asked = nil, nil
	for _, t := range queue {
		if err := l.visit(t); err != nil {
			return err
		}
	}
	offers := make([]*Offer, len(l.asked))
	err := ForEach(len(l.asked), func(i int) (err error) {
		offers[i], err = l.answer(l.asked[i])
		return err
	})
	if err != nil {
		return err
	}
	for i, q := range l.asked {
		q.then(offers[i])
	}
	return nil
}

func (l *missing) visit(t messages.Target) error {
	looked, known := l.seen[t.Path]
	if known && (!t.IsBuild() || len(messages.MergeOutputs(looked, t.Outputs)) == len(looked)) || l.inputs[t.Path] != nil {
		return nil
	}
	l.seen[t.Path] = messages.MergeOutputs(looked, t.Outputs)
	valid, err := l.eyes.Valid(t.Path)
	switch {
	case err != nil:
		return err
	case t.IsBuild() && valid:
		return l.derivation(t)
	case t.IsBuild() && !known:
		l.found.Unknown = append(l.found.Unknown, t.Path)
	case !t.IsBuild() && !valid:
		l.ask(question{path: t.Path, then: func(o *Offer) { l.path(t.Path, o) }})
	}
	return nil
}

func (l *missing) ask(q question) {
	if l.eyes.Terms.NoSubstitutes {
		q.then(nil)
		return
	}
	l.asked = append(l.asked, q)
}

// answer asks for one path. What lies where an output is said to lie may be valid.
func (l *missing) answer(q question) (*Offer, error) {
	if q.path.IsZero() {
		p, err := l.eyes.Realised(q.id)
		if err != nil || p.IsZero() {
			return nil, err
		}
		if valid, err := l.eyes.Valid(p); err != nil || valid {
			return &Offer{Path: p}, err
		}
		q.path = p
	}
	o, err := l.eyes.Offered(q.path, q.ca)
	if o != nil {
		o.Path = q.path
	}
	return o, err
}

// path notes how a path would be made valid as it is.
func (l *missing) path(p storepath.Path, o *Offer) {
	if o == nil {
		l.found.Unknown = append(l.found.Unknown, p)
		return
	}
	l.found.Substitute = append(l.found.Substitute, p)
	l.found.Download += o.Download
	l.found.NarSize += o.NarSize
	for _, r := range o.References {
		l.queue = append(l.queue, messages.Target{Path: r})
	}
}

func (l *missing) derivation(t messages.Target) error {
	drv, err := l.s.ReadDerivation(t.Path)
	if err != nil {
		return err
	}
	lacking, err := l.lacking(drv, t)
	if err != nil || len(lacking) == 0 {
		return err
	}
	may, err := l.maySubstitute(drv)
	if err != nil {
		return err
	}
	if !may {
		l.build(t.Path, drv)
		return nil
	}
	var hash nixhash.Hash
	if !drv.KnowsOutputs() {
		if hash, err = l.s.Hashes.Of(drv); err != nil {
			return err
		}
	}
	var paths []storepath.Path
	for _, o := range lacking {
		id := realisation.ID{Hash: hash, Output: o.Name}
		l.ask(question{path: o.Path, ca: drv.Outputs[0].ContentAddress(), id: id, then: func(offer *Offer) {
			if offer == nil {
				l.build(t.Path, drv)
				return
			}
			if paths = append(paths, offer.Path); len(paths) == len(lacking) {
				for _, p := range paths {
					l.fetch(p)
				}
			}
		}})
	}
	return nil
}

// maySubstitute reports whether outputs may be fetched: the derivation or the
// client allows it, and they are not made anew each time.
func (l *missing) maySubstitute(drv *derivation.Derivation) (bool, error) {
	if drv.IsImpure() {
		return false, nil
	}
	if l.eyes.Terms.AnySubstitutes || drv.MustResolve() { // whose options may have placeholders
		return true, nil
	}
	options, err := drv.Options(l.s.Layout.Dir)
	return options.AllowSubstitutes, err
}

// fetch looks at an output as a path of its own.
func (l *missing) fetch(p storepath.Path) { l.queue = append(l.queue, messages.Target{Path: p}) }

// build notes that a derivation has to be built, once.
func (l *missing) build(p storepath.Path, drv *derivation.Derivation) {
	if l.inputs[p] != nil {
		return
	}
	inputs := make([]storepath.Path, 0, len(drv.Inputs))
	for _, in := range drv.Inputs {
		inputs = append(inputs, in.Path)
		wanted := slices.Clone(in.Outputs)
		for _, d := range in.Dynamic { // what these lead to is not known before
			wanted = append(wanted, d.Output)
		}
		l.queue = append(l.queue, messages.Target{Path: in.Path, Outputs: messages.MergeOutputs(wanted, nil)})
	}
	for _, src := range drv.Sources {
		l.queue = append(l.queue, messages.Target{Path: src})
	}
	l.inputs[p] = inputs
	l.found.Build = append(l.found.Build, p)
}

// lacking are the wanted outputs that are not valid.
func (l *missing) lacking(drv *derivation.Derivation, t messages.Target) (lacking []messages.Output, err error) {
	known, err := l.s.KnownOutputs(drv)
	if err != nil {
		return nil, err
	}
	for _, o := range known {
		if !t.Wants(o.Name) {
			continue
		}
		valid := false
		if !o.Path.IsZero() {
			if valid, err = l.eyes.Valid(o.Path); err != nil {
				return nil, err
			}
		}
		if !valid {
			lacking = append(lacking, o)
		}
	}
	return lacking, nil
}

// sort puts what is to be built after what it needs.
func (l *missing) sort() {
	sorted := make([]storepath.Path, 0, len(l.found.Build))
	done := map[storepath.Path]bool{}
	var visit func(p storepath.Path)
	visit = func(p storepath.Path) {
		if l.inputs[p] == nil || done[p] {
			return
		}
		done[p] = true
		for _, in := range l.inputs[p] {
			visit(in)
		}
		sorted = append(sorted, p)
	}
	for _, p := range l.found.Build {
		visit(p)
	}
	l.found.Build = slices.Clip(sorted)
}
