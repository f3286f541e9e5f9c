package ports

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"troupe/messages"
	"troupe/storage/addition"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// inspect looks at what lies at valid paths, and at all that they refer to.
func (p *Builds) inspect(paths []storepath.Path) messages.Message {
	answer := &messages.PathsInspected{}
	for path, err := range p.s.DB.Closure(paths...) {
		if err == nil {
			err = p.inspectOne(path, slices.Contains(paths, path), answer)
		}
		if err != nil {
			return &messages.PathsInspected{Error: err.Error()}
		}
	}
	return answer
}

func (p *Builds) inspectOne(path storepath.Path, asked bool, answer *messages.PathsInspected) error {
	right, err := p.isRight(path)
	switch {
	case err != nil || right:
	case asked:
		answer.Wrong = append(answer.Wrong, path)
	default:
		wrong := messages.WrongPath{Path: path}
		wrong.Maker, err = p.s.Maker(path)
		answer.Others = append(answer.Others, wrong)
	}
	return err
}

// Maker is a valid derivation that has a path as an output; zero where there is
// none.
func (s Services) Maker(path storepath.Path) (storepath.Path, error) {
	derivers, err := s.DB.Derivers(path)
	for _, d := range derivers {
		if valid, err := s.DB.Valid(d); err != nil || valid {
			return d, err
		}
	}
	return storepath.Path{}, err
}

func (p *Builds) isRight(path storepath.Path) (bool, error) {
	info, ok, err := p.s.DB.Get(path)
	if err != nil || !ok {
		return false, err
	}
	got, err := localstore.Scan(p.s.Layout.RealPath(path), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return got.NarHash == info.NarHash, err
}

// putAnew puts an output in the place of what is valid and wrong; it reports
// false for an output that is not.
func (p *Builds) putAnew(b *build, o *made, info validity.Info) (bool, error) {
	if !slices.Contains(b.replace, o.Path) {
		return false, nil
	}
	adder := addition.Adder{Layout: p.s.Layout, DB: p.s.DB, Optimiser: p.s.OptimiserFor(b.policy)}
	return true, adder.Replace(o.real, info)
}

// Repair puts contents that are lost or changed back in the place of a valid path:
// from a substituter, or else by building what makes it. Try has one target made.
func (s Services) Repair(path storepath.Path, try func(messages.Target) error) error {
	if try(messages.Target{Path: path, Mode: messages.Repair}) == nil {
		return nil
	}
	maker, err := s.Maker(path)
	if err != nil {
		return err
	}
	if maker.IsZero() {
		return fmt.Errorf("cannot repair path '%s'", s.Layout.Dir.Join(path))
	}
	return try(messages.Target{Path: maker, Outputs: []string{messages.AllOutputs}, Mode: messages.Repair})
}
