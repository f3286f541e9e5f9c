package ports

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"troupe/messages"
	"troupe/storage/addition"
	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/outputcheck"
	"troupe/storage/references"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// made is one output as the builder left it.
type made struct {
	derivation.Output
	real string // where it lies now
	localstore.Scanned
}

// rejection is what is wrong with an output.
type rejection struct {
	status messages.Status
	flaw   messages.Flaw
	error
}

// onFinish takes the outputs of a builder that succeeded.
func (p *Builds) onFinish(m *messages.FinishBuild) messages.Message {
	b := p.find(m.Build)
	if b == nil { // its goal panicked, and it was discarded before its turn came
		return &messages.BuildRejected{Status: messages.MiscFailure, Reason: errOver.Error()}
	}
	b.busy.Lock()
	defer b.busy.Unlock()
	var err error
	if b.engagement != nil {
		err = p.adopt(b)
	}
	var outputs []*made
	if err == nil {
		outputs, err = p.take(b)
	}
	if err == nil && b.mode == messages.Check {
		err = p.compare(b, outputs)
	} else if err == nil {
		err = p.install(b, outputs)
	}
	answer := &messages.BuildFinished{Outputs: b.outputs(outputs)}
	if err == nil {
		if err = p.afterBuild(b, answer.Outputs); err != nil && b.mode != messages.Check {
			p.leave(outputs)
		}
	}
	if err != nil {
		var r *rejection
		if errors.As(err, &r) {
			return &messages.BuildRejected{Status: r.status, Flaw: r.flaw, Reason: err.Error()}
		}
		return &messages.BuildRejected{Status: messages.MiscFailure, Reason: err.Error()}
	}
	return answer
}

// leave has the store see to outputs that are in place, though their build failed
// in the end: what stays provisional is never garbage.
func (p *Builds) leave(outputs []*made) {
	paths := make([]storepath.Path, len(outputs))
	for i, o := range outputs {
		paths[i] = o.Path
	}
	p.out.Send(messages.Store, &messages.RegisterPaths{From: messages.Builds, Paths: paths})
}

// outputs are where all outputs lie: those that were made, and those that were
// there before.
func (b *build) outputs(made []*made) (all []messages.Output) {
	for _, o := range b.drv.Outputs {
		at := o.Path
		if at.IsZero() {
			at = b.valid[o.Name]
		}
		for _, m := range made {
			if m.Name == o.Name && b.mode != messages.Check {
				at = m.Path
			}
		}
		all = append(all, messages.Output{Name: o.Name, Path: at})
	}
	return all
}

// take looks at every output: that it is there and nobody else can write to it,
// makes its metadata canonical, hashes and scans it, and checks what the
// derivation demands of it.
func (p *Builds) take(b *build) ([]*made, error) {
	likely := slices.Clone(b.inputs.direct)
	for _, o := range b.drv.Outputs {
		likely = append(likely, b.named(o).Path)
	}
	seen := map[localstore.Inode]struct{}{}
	var outputs []*made
	for _, o := range b.drv.Outputs {
		if b.reused[o.Name] {
			continue
		}
		out := &made{Output: b.named(o), real: b.scratch(p.s.Layout, o)}
		if err := p.examine(b, out, likely, seen); err != nil {
			return nil, err
		}
		outputs = append(outputs, out)
	}
	outputs, err := sortOutputs(p.s.Layout.Dir, b.path, outputs)
	if err == nil && !b.drv.KnowsOutputs() {
		err = p.nameByContents(b, outputs, seen)
	}
	if err != nil {
		return nil, err
	}
	return outputs, p.checkReferences(b, outputs)
}

// named is an output with the path by which others refer to it when their
// contents are scanned.
func (b *build) named(o derivation.Output) derivation.Output {
	if o.Path.IsZero() {
		o.Path = b.place(o)
	}
	return o
}

func (p *Builds) examine(b *build, out *made, likely []storepath.Path, seen map[localstore.Inode]struct{}) error {
	dir := p.s.Layout.Dir
	if _, err := os.Lstat(out.real); errors.Is(err, os.ErrNotExist) {
		return &rejection{messages.OutputRejected, 0, fmt.Errorf("builder for '%s' failed to produce output path for output '%s' at '%s'",
			dir.Join(b.path), out.Name, dir.Join(out.Path))}
	}
	if err := localstore.CheckOutput(out.real, b.user.UID); err != nil {
		return &rejection{messages.OutputRejected, 0, err}
	}
	if err := localstore.Rewrite(out.real, b.rewrites()); err != nil {
		return err
	}
	others := b.candidates
	if b.options.DiscardReferences[out.Name] {
		likely, others = nil, nil
	}
	var err error
	out.Scanned, err = localstore.Take(out.real, localstore.Options{BuilderUID: b.user.UID, Seen: seen, Kept: b.keeps() && b.drv.KnowsOutputs()}, likely, others)
	if unfit := (*localstore.UnfitError)(nil); errors.As(err, &unfit) {
		return &rejection{messages.OutputRejected, 0, err}
	}
	if err != nil || out.Kind != derivation.Fixed {
		return err
	}
	if err := p.checkFixedReferences(b, out); err != nil {
		return err
	}
	return p.checkFixed(b, out)
}

// keeps says that the outputs will be in the store, if there is nothing wrong with them.
func (b *build) keeps() bool { return b.mode != messages.Check }

// checkFixedReferences refuses references where a path by its contents can have
// none, whatever its hash is. The words are Nix's.
func (p *Builds) checkFixedReferences(b *build, out *made) error {
	if len(out.References) == 0 || out.Method == storepath.NAR && out.Algorithm == nixhash.SHA256 {
		return nil
	}
	return &rejection{messages.OutputRejected, 0, fmt.Errorf("fixed output derivation '%s' is not allowed to refer to other store paths, but it refers to '%s'.\n"+
		"You may need to use the 'unsafeDiscardReferences' derivation attribute, see the manual for more details",
		p.s.Layout.Dir.Join(b.path), p.s.Layout.Dir.Join(out.References[0]))}
}

// rewrites turn what the builder called its outputs into what they are called.
func (b *build) rewrites() map[string]string {
	pairs := map[string]string{}
	for _, o := range b.drv.Outputs {
		if scratch, ok := b.redirected[o.Name]; ok && !o.Path.IsZero() {
			pairs[scratch.HashPart()] = o.Path.HashPart()
		}
	}
	return pairs
}

// checkFixed compares a fixed output with the hash that was promised.
func (p *Builds) checkFixed(b *build, out *made) error {
	got := out.NarHash
	if out.Method != storepath.NAR || out.Algorithm != nixhash.SHA256 {
		var err error
		if got, err = localstore.HashTree(out.real, out.Method, out.Algorithm); err != nil {
			return &rejection{messages.OutputRejected, 0, err}
		}
	}
	if got == out.Hash {
		return nil
	}
	if b.mode == messages.Normal {
		p.warn(p.keepUnexpected(b, out, got), "keep output with another hash")
	}
	return &rejection{messages.OutputRejected, messages.HashMismatch, fmt.Errorf(
		"hash mismatch in fixed-output derivation '%s':\n  specified: %s\n     got:    %s",
		p.s.Layout.Dir.Join(b.path), out.Hash.SRI(), got.SRI())}
}

// keepUnexpected makes what a fixed output turned out to be valid under the name
// that it has by its hash: whoever corrects the hash need not fetch it again.
func (p *Builds) keepUnexpected(b *build, out *made, got nixhash.Hash) error {
	path, err := p.s.Layout.Dir.MakeFixed(out.Path.Name(), out.Method, got, nil, false)
	if err != nil {
		return err
	}
	adder := addition.Adder{Layout: p.s.Layout, DB: p.s.DB}
	ctx := context.Background() // nobody waits for a lock of what nobody knew
	info := validity.Info{Path: path, CA: storepath.ContentAddress{Method: out.Method, Hash: got}.String()}
	if err := adder.Take(ctx, out.real, info); err != nil {
		return err
	}
	return adder.Commit(ctx, path)
}

// sortOutputs puts outputs after those that they refer to.
func sortOutputs(dir storepath.Dir, drv storepath.Path, outputs []*made) ([]*made, error) {
	byPath, byName := map[storepath.Path]*made{}, map[string]*made{}
	names := make([]string, len(outputs))
	for i, o := range outputs {
		byPath[o.Path], byName[o.Name], names[i] = o, o, o.Name
	}
	sorted, err := references.Sort(names, func(name string) (to []string) {
		for _, r := range byName[name].References {
			if o := byPath[r]; o != nil && o.Name != name {
				to = append(to, o.Name)
			}
		}
		return to
	})
	var cycle *references.CycleError
	if errors.As(err, &cycle) {
		return nil, &rejection{messages.OutputRejected, 0, fmt.Errorf("cycle detected in build of '%s' in the references of output '%s' from output '%s'",
			dir.Join(drv), cycle.To, cycle.From)}
	}
	if err != nil {
		return nil, err
	}
	result := make([]*made, len(sorted))
	for i, name := range sorted {
		result[i] = byName[name]
	}
	return result, nil
}

func (p *Builds) checkReferences(b *build, outputs []*made) error {
	request := outputcheck.Request{Dir: p.s.Layout.Dir, Derivation: b.path, Outputs: map[string]outputcheck.Output{},
		Rules: b.options.Rules, Lookup: p.lookup}
	for _, o := range outputs {
		if rules := b.options.Rules[o.Name]; o.Kind == derivation.Fixed && rules.AllowedReferences == nil && len(o.References) > 0 {
			return &rejection{messages.OutputRejected, 0, fmt.Errorf("fixed-output derivation '%s' must not reference store paths, but it refers to '%s'",
				p.s.Layout.Dir.Join(b.path), p.s.Layout.Dir.Join(o.References[0]))}
		}
		request.Outputs[o.Name] = outputcheck.Output{Path: o.Path, NarSize: o.NarSize, References: o.References}
	}
	err := outputcheck.Check(request)
	var rejected *outputcheck.Rejection
	if errors.As(err, &rejected) {
		return &rejection{messages.OutputRejected, 0, err}
	}
	return err
}

func (p *Builds) lookup(q storepath.Path) (uint64, []storepath.Path, error) {
	info, ok, err := p.s.DB.Get(q)
	if err == nil && !ok {
		err = &validity.NotValidError{Path: q}
	}
	return info.NarSize, info.References, err
}

// install moves the outputs into the store and makes them valid inside this
// process.
func (p *Builds) install(b *build, outputs []*made) error {
	reg := validity.Registration{Drv: b.path, Outputs: map[string]storepath.Path{}, Build: b.record("")}
	now := time.Now().Unix()
	for _, o := range b.drv.Outputs {
		if !o.Path.IsZero() {
			reg.Outputs[o.Name] = o.Path
		}
	}
	for _, o := range outputs {
		info := validity.Info{Path: o.Path, NarHash: o.NarHash, NarSize: o.NarSize,
			References: o.References, Deriver: b.path, RegistrationTime: now, Ultimate: true, CA: o.contentAddress()}
		var err error
		if info.Signatures, err = b.policy.Keys.Sign(p.s.Layout.Dir, info); err != nil {
			return err
		}
		if anew, err := p.putAnew(b, o, info); anew || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		if !b.drv.KnowsOutputs() {
			if err := p.takeIn(b, o, info); err != nil {
				return err
			}
			continue
		}
		if err := p.putInPlace(b, o); err != nil {
			return err
		}
		reg.Paths = append(reg.Paths, info)
	}
	if !b.drv.KnowsOutputs() && !b.drv.IsImpure() {
		var err error
		if reg.Realisations, err = p.s.realisations(b.policy, b.path, b.drv, b.outputs(outputs)); err != nil {
			return err
		}
	}
	return p.s.DB.RegisterProvisional(reg)
}

func (p *Builds) putInPlace(b *build, o *made) error {
	real := p.s.Layout.RealPath(o.Path)
	if o.real != real {
		if err := localstore.Move(o.real, real); err != nil {
			return err
		}
	}
	return p.s.OptimiserFor(b.policy).Added(real)
}

// contentAddress is how Nix writes that a path follows from its contents.
func (o *made) contentAddress() string {
	if o.Hash.IsZero() {
		return ""
	}
	return storepath.ContentAddress{Method: o.Method, Hash: o.Hash}.String()
}

func (b *build) record(failure string) *validity.Build {
	return &validity.Build{Start: b.start, Stop: b.start.Add(b.exit.Wall), UserCPU: b.exit.CPUUser, SystemCPU: b.exit.CPUSystem,
		PeakMemory: b.exit.PeakMemory, Log: string(b.path.Base()), Failure: failure}
}

// compare says whether what was built again is what is valid.
func (p *Builds) compare(b *build, outputs []*made) error {
	for _, o := range outputs {
		before, ok := b.valid[o.Name]
		if !ok { // only some may have been asked for
			continue
		}
		info, ok, err := p.s.DB.Get(before)
		if err != nil {
			return err
		}
		if before != o.Path || ok && info.NarHash != o.NarHash {
			o.Path = before
			return p.differs(b, o)
		}
	}
	return nil
}

// differs rejects a build that is not what is valid. To be looked at, it is put
// beside that.
func (p *Builds) differs(b *build, o *made) error {
	text := fmt.Sprintf("derivation '%s' may not be deterministic: output '%s' differs", p.s.Layout.Dir.Join(b.path), p.s.Layout.RealPath(o.Path))
	if b.policy.KeepFailed || b.policy.Hooks.Diff != "" {
		beside := p.s.Layout.RealPath(o.Path) + ".check"
		if _, err := localstore.Remove(beside); err != nil {
			return err
		}
		if err := localstore.Move(o.real, beside); err != nil {
			return err
		}
		p.showDifference(b, p.s.Layout.RealPath(o.Path), beside)
		text += fmt.Sprintf(" from '%s'", beside)
	}
	return &rejection{messages.NotDeterministic, 0, errors.New(text)}
}
