package addition

import (
	"context"
	"errors"
	"os"
	"time"

	"troupe/storage/localstore"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// add stages an object, moves it into place and registers it, all under the
// path's lock: who else adds or builds the same path waits. One that is valid
// already stays.
func (a *Adder) add(ctx context.Context, p storepath.Path, refs []storepath.Path, ca storepath.ContentAddress, reg validity.Registration, write func(staged string) error) error {
	info := validity.Info{Path: p, References: refs, CA: ca.String()}
	return a.locked(ctx, p, false, func(bool) error {
		return a.staged(func(place string) error {
			if err := write(place); err != nil {
				return err
			}
			if err := canonicalise(place); err != nil {
				return err
			}
			info, err := a.examine(ctx, place, info)
			if err != nil {
				return err
			}
			return a.install(place, info, reg)
		})
	})
}

// locked calls f under the path's lock with whether it is valid. Without repair
// that is never so: what is valid stays as it is.
func (a *Adder) locked(ctx context.Context, p storepath.Path, repair bool, f func(valid bool) error) (err error) {
	valid, err := a.there(p)
	if valid && !repair || err != nil {
		return err
	}
	if a.Held {
		return f(valid)
	}
	release, err := a.lock(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	valid, err = a.DB.Valid(p)
	if valid && !repair || err != nil {
		return err
	}
	return f(valid)
}

// there reports whether a path is valid, and no collector takes it any more.
func (a *Adder) there(p storepath.Path) (bool, error) {
	if a.Keep != nil {
		if err := a.Keep(p); err != nil {
			return false, err
		}
	}
	return a.DB.Valid(p)
}

// lock takes a path's lock, or borrows it.
func (a *Adder) lock(ctx context.Context, p storepath.Path) (release func() error, err error) {
	back, lent, err := a.Lent.borrow(ctx, p)
	if err != nil {
		return nil, err
	}
	if lent {
		return func() error {
			back()
			return nil
		}, nil
	}
	lock, err := a.Spares.Lock(ctx, []string{a.Layout.RealPath(p)})
	if err != nil {
		return nil, err
	}
	return func() error { return lock.Release(true) }, nil
}

// Take makes what lies at place, where nobody else can reach it, valid as info
// says; hash, size and time are filled in where they are not known. If the path
// is valid already, it stays, and place is as it was.
func (a *Adder) Take(ctx context.Context, place string, info validity.Info) error {
	if err := canonicalise(place); err != nil {
		return err
	}
	return a.settle(ctx, place, info, false)
}

// settle makes what has been received valid, which has the metadata of the store
// already. The lock is taken only now, so that somebody who sends slowly holds up
// nobody.
func (a *Adder) settle(ctx context.Context, place string, info validity.Info, repair bool) error {
	return a.locked(ctx, info.Path, repair, func(valid bool) error {
		info, err := a.examine(ctx, place, info)
		if err != nil {
			return err
		}
		if valid {
			return a.Replace(place, info)
		}
		return a.install(place, info, validity.Registration{})
	})
}

// examine fills in what is not known: hash and size, and when it was.
func (a *Adder) examine(ctx context.Context, place string, info validity.Info) (validity.Info, error) {
	if info.NarHash.IsZero() {
		scanned, err := localstore.Scan(place, nil)
		if err != nil {
			return info, err
		}
		info.NarHash, info.NarSize = scanned.NarHash, scanned.NarSize
	}
	if info.RegistrationTime == 0 {
		info.RegistrationTime = time.Now().Unix()
	}
	if ctx.Err() != nil {
		return info, context.Cause(ctx)
	}
	return info, nil
}

// install moves what is staged into place and registers it, alone or with what
// the registration knows already. A derivation is checked, however it came.
func (a *Adder) install(staged string, info validity.Info, reg validity.Registration) error {
	if info.Path.IsDerivation() && reg.Drv.IsZero() {
		var err error
		if reg, err = a.checkDerivation(info.Path, staged); err != nil {
			return err
		}
	}
	real := a.Layout.RealPath(info.Path)
	if _, err := os.Lstat(real); !errors.Is(err, os.ErrNotExist) {
		if _, err := localstore.Remove(real); err != nil { // a leftover that is not valid
			return err
		}
	}
	if err := localstore.Move(staged, real); err != nil {
		return err
	}
	reg.Paths = []validity.Info{info}
	err := a.Optimiser.Added(real)
	if err == nil {
		err = a.DB.RegisterProvisional(reg)
	}
	if err != nil {
		_, rerr := localstore.Remove(real)
		err = errors.Join(err, rerr)
	}
	return err
}

// Replace puts what is staged in the place of what is valid, which is never
// missing from there unless its contents were. The caller has the path's lock.
func (a *Adder) Replace(staged string, info validity.Info) error {
	if info.Path.IsDerivation() {
		if _, err := a.checkDerivation(info.Path, staged); err != nil {
			return err
		}
	}
	real := a.Layout.RealPath(info.Path)
	if _, err := os.Lstat(real); errors.Is(err, os.ErrNotExist) {
		if err := localstore.Move(staged, real); err != nil {
			return err
		}
	} else if err := localstore.Exchange(staged, real); err != nil {
		return err
	}
	if err := a.Optimiser.Added(real); err != nil {
		return err
	}
	if err := a.Layout.Flush(real); err != nil {
		return err
	}
	return a.DB.Replace(info)
}
