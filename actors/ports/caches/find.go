package caches

import (
	"context"
	"errors"
	"slices"

	"troupe/actors/ports"
	"troupe/messages"
	"troupe/storage/addition"
	"troupe/storage/binarycache"
	"troupe/storage/narinfo"
	"troupe/storage/nixhash"
	"troupe/storage/realisation"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Found is a path that a substituter has.
type Found struct {
	Info     validity.Info
	Download uint64 // bytes; 0 where unknown

	nar    narinfo.Info // as the cache has it, whose name may be another
	sub    *Substituter
	policy ports.BuildPolicy
	more   bool // there is another substituter
	repair bool // it is fetched to take the place of what is valid
}

// terms are those on which the archive is taken. That nothing comes from a client
// makes it trusted: what is asked for is by whom the path is vouched for.
func (f *Found) terms() addition.Terms {
	return addition.Terms{Trusted: true, CheckSigs: !f.sub.Config.Trusted, Repair: f.repair}
}

// Others are the references but the path itself.
func (f *Found) Others() []storepath.Path {
	return slices.DeleteFunc(slices.Clone(f.Info.References), func(p storepath.Path) bool { return p == f.Info.Path })
}

// find asks for a path. passed is why a cache that may have it is done without: for
// [Substituter.complaint], where somebody is there to hear it.
func (s *Substituter) find(ctx context.Context, p storepath.Path, ca string) (f *Found, passed, err error) {
	d, err := s.introduce(ctx)
	if err != nil {
		return nil, err, nil
	}
	name := p
	if d.StoreDir != s.dir {
		if ca == "" {
			return nil, nil, nil
		}
		if name, err = renamed(d.StoreDir, p, ca); err != nil {
			return nil, nil, err
		}
	}
	nar, has, err := s.Info(ctx, name)
	var e *binarycache.Error
	switch {
	case errors.As(err, &e) && e.Class == binarycache.Disabled:
		return nil, err, nil
	case err != nil || !has:
		return nil, nil, err
	case name != p && (nar.CA != ca || len(nar.References) > 0):
		return nil, nil, nil
	}
	info := validity.Info{Path: p, NarHash: nar.NarHash, NarSize: nar.NarSize, References: nar.References, Deriver: nar.Deriver,
		Signatures: nar.Signatures, CA: nar.CA}
	if name != p { // they are over the other name
		info.Signatures, info.Deriver = nil, storepath.Path{}
	}
	return &Found{Info: info, Download: nar.FileSize, nar: nar, sub: s}, nil, nil
}

// renamed is the name that a path with a content address has in another store.
func renamed(dir storepath.Dir, p storepath.Path, ca string) (storepath.Path, error) {
	a, err := storepath.ParseContentAddress(ca)
	if err != nil {
		return p, err
	}
	if a.Hash == (nixhash.Hash{}) {
		return p, nil
	}
	return dir.MakeFixed(p.Name(), a.Method, a.Hash, nil, false)
}

// Find asks the substituters of some settings for a path, one after the other. Who
// vouches for it does not matter here. With the client's fallback a substituter
// that cannot be asked has nothing.
func (s *Substituters) Find(ctx context.Context, settings string, p storepath.Path, ca string) (*Found, error) {
	list, policy, err := s.Of(ctx, settings)
	for _, sub := range list {
		var f *Found
		if f, _, err = sub.find(ctx, p, ca); f != nil {
			return f, nil
		}
	}
	if policy.Caches.Fallback && ctx.Err() == nil {
		return nil, nil
	}
	return nil, err
}

// Eyes see what substituters offer on some terms, beside what is valid.
func (s *Substituters) Eyes(ctx context.Context, t messages.Terms, valid func(storepath.Path) (bool, error)) ports.Eyes {
	return ports.Eyes{Terms: t, Valid: valid, Offered: func(p storepath.Path, ca string) (*ports.Offer, error) {
		f, err := s.Find(ctx, t.Settings, p, ca)
		if f == nil {
			return nil, err
		}
		return &ports.Offer{References: f.Others(), Download: f.Download, NarSize: f.Info.NarSize}, nil
	}, Realised: func(id realisation.ID) (storepath.Path, error) {
		r, err := s.Realised(ctx, t.Settings, id)
		return r.Path, err
	}}
}

// Offered are those of some paths that may be asked for in masses and are there,
// in their order.
func (s *Substituters) Offered(ctx context.Context, settings string, paths []storepath.Path) (offered []storepath.Path, err error) {
	list, _, err := s.Of(ctx, settings)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(slices.Clone(list), func(sub *Substituter) bool {
		d, err := sub.introduce(ctx)
		return err != nil || !d.WantMassQuery
	})
	has := make([]bool, len(paths))
	err = ports.ForEach(len(paths), func(i int) error {
		for _, sub := range list {
			if f, _, err := sub.find(ctx, paths[i], ""); err != nil || f != nil {
				has[i] = f != nil
				return err
			}
		}
		return nil
	})
	for i, p := range paths {
		if has[i] {
			offered = append(offered, p)
		}
	}
	return offered, err
}
