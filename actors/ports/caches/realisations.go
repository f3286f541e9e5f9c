package caches

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"troupe/actors/ports"
	"troupe/messages"
	"troupe/storage/addition"
	"troupe/storage/binarycache"
	"troupe/storage/realisation"
	"troupe/storage/storepath"
)

// lookUpRealisations asks where outputs lie, for all at once.
func (p *Caches) lookUpRealisations(t *task, m *messages.LookUpRealisations) messages.Message {
	found := make([]Realised, len(m.Outputs))
	hash, err := p.s.OutputHash(m.Drv)
	if err == nil {
		err = ports.ForEach(len(m.Outputs), func(i int) (err error) {
			found[i], err = p.subs.Realised(t.ctx, m.Settings, realisation.ID{Hash: hash, Output: m.Outputs[i]})
			return err
		})
	}
	if err != nil {
		return &messages.RealisationsFound{Failed: err.Error()}
	}
	answer := &messages.RealisationsFound{}
	for i, r := range found {
		answer.Warnings = append(answer.Warnings, r.Warnings...)
		for _, p := range r.passed {
			if w := p.sub.complaint(p.err); w != "" {
				answer.Warnings = append(answer.Warnings, w)
			}
		}
		if r.Path.IsZero() {
			answer.Failed = cmp.Or(answer.Failed, r.Failed)
			continue
		}
		answer.Outputs = append(answer.Outputs, messages.Output{Name: m.Outputs[i], Path: r.Path})
		answer.Signatures = append(answer.Signatures, r.Signatures)
	}
	return answer
}

// Realised is where substituters say that an output lies.
type Realised struct {
	Path       storepath.Path // zero where none says so
	Signatures []string
	Warnings   []string // for people
	passed     []passed // who was not asked
	Failed     string   // why the first could not be asked that could not
}

// Realised asks the substituters of some settings for an output, one after the
// other. What they say decides what is run, and does not prove itself as a path with
// a content address does: it takes a signature. See decision 7.
func (s *Substituters) Realised(ctx context.Context, settings string, id realisation.ID) (answer Realised, err error) {
	list, policy, err := s.Of(ctx, settings)
	if err != nil {
		return answer, err
	}
	for _, sub := range list {
		r, has, without, err := sub.realisation(ctx, id)
		warning := ""
		if has && !sub.Config.Trusted && !vouched(policy.Caches.Trust, r) {
			has, warning = false, fmt.Sprintf("ignoring realisation '%v' from '%s', as it's not signed by any of the keys in 'trusted-public-keys'", id, sub)
		}
		switch {
		case err != nil:
			answer.Failed = cmp.Or(answer.Failed, err.Error())
		case warning != "":
			answer.Warnings = append(answer.Warnings, warning)
		case without != nil:
			answer.passed = append(answer.passed, passed{sub, without})
		}
		if !has {
			continue
		}
		answer.Path = r.Path
		if len(r.Dependent) == 0 { // else they are over a text that is not kept
			answer.Signatures = r.Signatures
		}
		break
	}
	return answer, ctx.Err()
}

// vouched reports whether somebody who is trusted says the same.
func vouched(t addition.Trust, r realisation.Realisation) bool {
	text, err := r.Fingerprint()
	return t.Everything || err == nil && t.Keys.Signed(text, r.Signatures) > 0
}

// passed is a substituter that is done without, and why.
type passed struct {
	sub *Substituter
	err error
}

// realisation asks one substituter. passed is as in find.
func (s *Substituter) realisation(ctx context.Context, id realisation.ID) (r realisation.Realisation, has bool, passed, err error) {
	d, err := s.introduce(ctx)
	if err != nil {
		return r, false, err, nil
	}
	if d.StoreDir != s.dir { // paths have other names there
		return r, false, nil, nil
	}
	r, has, err = s.Realisation(ctx, id)
	var e *binarycache.Error
	if errors.As(err, &e) && e.Class == binarycache.Disabled {
		return r, false, err, nil
	}
	return r, has, nil, err
}
