package ports

import (
	"context"
	"fmt"
	"slices"

	"troupe/messages"
	"troupe/storage/addition"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// nameByContents gives outputs the paths that follow from what is in them: each
// after those that it refers to, so that these are called by their paths in it. An
// output's own name is not part of what its path is made of.
func (p *Builds) nameByContents(b *build, outputs []*made, seen map[localstore.Inode]struct{}) error {
	paths := map[storepath.Path]storepath.Path{} // by the path that the builder knew
	for _, o := range b.drv.Outputs {
		if b.reused[o.Name] {
			paths[b.place(o)] = b.valid[o.Name]
		}
	}
	for _, o := range outputs {
		place := o.Path
		if err := p.nameOne(b, o, paths, seen); err != nil {
			return err
		}
		paths[place] = o.Path
	}
	return nil
}

func (p *Builds) nameOne(b *build, o *made, paths map[storepath.Path]storepath.Path, seen map[localstore.Inode]struct{}) (err error) {
	place := o.Path
	if err := localstore.Rewrite(o.real, hashParts(paths)); err != nil {
		return err
	}
	if o.Hash, err = localstore.HashTreeModulo(o.real, o.Method, o.Algorithm, place.HashPart()); err != nil {
		return &rejection{messages.OutputRejected, 0, err}
	}
	others, self := referencesOf(o, paths)
	if o.Path, err = p.s.Layout.Dir.MakeFixed(place.Name(), o.Method, o.Hash, others, self); err != nil {
		return &rejection{messages.OutputRejected, 0, fmt.Errorf("output '%s' of '%s': %w", o.Name, p.s.Layout.Dir.Join(b.path), err)}
	}
	if err := localstore.Rewrite(o.real, map[string]string{place.HashPart(): o.Path.HashPart()}); err != nil {
		return err
	}
	if o.Scanned, err = localstore.Take(o.real, localstore.Options{BuilderUID: -1, Seen: seen, Kept: b.keeps()}, nil, nil); err != nil {
		return err
	}
	o.References = others
	if self {
		o.References = append(o.References, o.Path)
		slices.SortFunc(o.References, storepath.Path.Compare)
	}
	return nil
}

// hashParts are what is replaced by what.
func hashParts(paths map[storepath.Path]storepath.Path) map[string]string {
	pairs := make(map[string]string, len(paths))
	for from, to := range paths {
		pairs[from.HashPart()] = to.HashPart()
	}
	return pairs
}

// referencesOf are those of an output under their final names, sorted, and whether it
// refers to itself.
func referencesOf(o *made, paths map[storepath.Path]storepath.Path) (others []storepath.Path, self bool) {
	for _, r := range o.References {
		if final, ok := paths[r]; ok {
			r = final
		}
		if r == o.Path {
			self = true
		} else {
			others = append(others, r)
		}
	}
	slices.SortFunc(others, storepath.Path.Compare)
	return slices.Compact(others), self
}

// takeIn makes an output valid under a path that nobody could lock before. If
// others have made the same, theirs stays.
func (p *Builds) takeIn(b *build, o *made, info validity.Info) error {
	adder := addition.Adder{Layout: p.s.Layout, DB: p.s.DB, Optimiser: p.s.OptimiserFor(b.policy),
		Keep: func(paths ...storepath.Path) error { return p.s.Roots.Add(string(b.id), paths...) }}
	// Nobody adds to a path for long, and there is nobody to give up waiting.
	return adder.Take(context.Background(), o.real, info)
}
