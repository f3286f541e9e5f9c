package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"troupe/actors/host"
	"troupe/messages"
)

// Replayed is what [Replay] found.
type Replayed struct {
	Steps   int
	Actors  int
	Elapsed time.Duration
	// Skipped are the steps of actors whose beginning the journal does not have.
	Skipped int
	// Differences has the first difference of each actor that has one.
	Differences []Difference
	// Cut says why the journal ended early: a [CutError] or a [LostError].
	Cut error
}

// Difference is a step that went otherwise when it was replayed.
type Difference struct {
	Before []Record // the actor's steps just before, oldest first
	Was    Record
	Now    Record
}

// contextSteps is how many steps a difference shows of what was before.
const contextSteps = 5

// Replay lets machines take the messages of a journal again, and compares their
// states and effects with the recorded ones. Make makes a machine of a kind;
// fixed has the kinds of those that nobody spawns. An actor that differs is not
// followed any further: all that it does from then on may differ.
func Replay(r *Reader, fixed map[messages.Address]host.Kind, make func(host.Kind, messages.Address) host.Machine) (Replayed, error) {
	p := &replay{make: make, actors: map[messages.Address]*replayedActor{}}
	for at, kind := range fixed {
		if r.Header.Segment == 0 {
			p.add(at, kind)
		}
	}
	began := time.Now()
	err := p.all(r)
	p.out.Elapsed = time.Since(began)
	return p.out, err
}

type replay struct {
	make   func(host.Kind, messages.Address) host.Machine
	actors map[messages.Address]*replayedActor
	out    Replayed
}

type replayedActor struct {
	host.Machine
	lost   bool // it is not followed any more
	recent []Record
}

func (p *replay) add(at messages.Address, kind host.Kind) {
	p.actors[at] = &replayedActor{Machine: p.make(kind, at)}
	p.out.Actors++
}

func (p *replay) all(r *Reader) error {
	for {
		rec, err := r.Next()
		var cut *CutError
		var lost *LostError
		switch {
		case err == io.EOF:
			return nil
		case errors.As(err, &cut), errors.As(err, &lost):
			p.out.Cut = err
			return nil
		case err != nil:
			return err
		}
		p.step(rec)
	}
}

func (p *replay) step(was Record) {
	a := p.actors[was.Actor]
	switch {
	case a == nil:
		p.out.Skipped++
	case a.lost:
	default:
		p.compare(a, was)
	}
	for _, e := range was.Effects {
		if s, ok := e.(host.Spawn); ok { // a builder that was lost with its machine has a successor
			p.add(s.Actor, s.Kind)
		}
	}
}

func (p *replay) compare(a *replayedActor, was Record) {
	p.out.Steps++
	now := was
	if was.Message != nil {
		now.Effects, now.Panic = host.Take(a.Machine, was.Message)
		now.State = a.String()
	}
	if was.Unknown != "" || !same(was.Step, now.Step) {
		a.lost = true
		p.out.Differences = append(p.out.Differences, Difference{Before: a.recent, Was: was, Now: now})
		return
	}
	if len(a.recent) == contextSteps {
		a.recent = a.recent[1:]
	}
	a.recent = append(a.recent, was)
}

func same(a, b host.Step) bool {
	if a.State != b.State || firstLine(a.Panic) != firstLine(b.Panic) || len(a.Effects) != len(b.Effects) {
		return false
	}
	for i := range a.Effects {
		if !reflect.DeepEqual(a.Effects[i], b.Effects[i]) && !bytes.Equal(canonical(a.Effects[i]), canonical(b.Effects[i])) {
			return false
		}
	}
	return true
}

// firstLine leaves out the stack, which is not a decision.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// canonical is an effect as a journal has it: an empty list and none are the
// same.
func canonical(e host.Effect) []byte {
	s := newSegment()
	s.effect(e)
	return s.buf
}

// String shows what differs, line by line.
func (d Difference) String() string {
	var b strings.Builder
	for _, r := range d.Before {
		fmt.Fprintf(&b, "  %v\n", r)
	}
	fmt.Fprintf(&b, "  step %d: %s <- %v\n", d.Was.Seq, d.Was.Actor, d.Was.Message)
	if d.Was.Unknown != "" {
		fmt.Fprintf(&b, "  it has %s, which this program does not know\n", d.Was.Unknown)
	}
	was, now := outcome(d.Was), outcome(d.Now)
	for _, l := range was {
		if !has(now, l) {
			fmt.Fprintf(&b, "- %s\n", l)
		}
	}
	for _, l := range now {
		mark := '+'
		if has(was, l) {
			mark = ' '
		}
		fmt.Fprintf(&b, "%c %s\n", mark, l)
	}
	if !strings.Contains(b.String(), "\n- ") && !strings.Contains(b.String(), "\n+ ") {
		b.WriteString("  (they differ in their order, or in what a line leaves out)\n")
	}
	return b.String()
}

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func outcome(r Record) []string {
	lines := []string{"state " + r.State}
	for _, e := range r.Effects {
		lines = append(lines, e.String())
	}
	if r.Panic != "" {
		lines = append(lines, "panic "+firstLine(r.Panic))
	}
	return lines
}
