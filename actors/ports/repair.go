package ports

import (
	"errors"
	"io/fs"
	"slices"

	"troupe/messages"
	"troupe/storage/addition"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// inspect looks at what lies at valid paths.
func (p *Builds) inspect(paths []storepath.Path) messages.Message {
	answer := &messages.PathsInspected{}
	for _, path := range paths {
		right, err := p.isRight(path)
		if err != nil {
			return &messages.PathsInspected{Error: err.Error()}
		}
		if !right {
			answer.Wrong = append(answer.Wrong, path)
		}
	}
	return answer
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
