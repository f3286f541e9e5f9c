package upkeep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"troupe/storage/localstore"
	"troupe/storage/pathlock"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Levels of what a verification says; the numbers are Nix's.
const (
	LevelError     = 0
	LevelInfo      = 3
	LevelTalkative = 4
)

// Repairer brings back the contents of a valid path that are lost or changed, or
// says why it cannot.
type Repairer func(context.Context, storepath.Path) error

// Verification is one look at the whole store.
type Verification struct {
	Layout   localstore.Layout
	DB       *validity.DB
	Contents bool // also hash everything
	// Forget makes paths invalid that are not there and that nothing valid
	// refers to, as Nix does with and without repair.
	Forget bool
	Repair Repairer // nil where nothing is to be repaired
	// Say is told what is wrong and what goes on, in Nix's words.
	Say func(level int, text string)
	// At may be told after each path how many have been looked at.
	At func(Found)

	found Found
}

// Found is what a verification came across.
type Found struct {
	Checked  uint64 // paths looked at; of a look at contents, those whose contents were
	Expected uint64 // how many there are to look at, about: some come and go meanwhile
	Wrong    uint64 // that were not right
	Mended   uint64 // of these: repaired, or rightly forgotten
}

// Run looks at every path that is valid. An error is one of the verification
// itself.
func (v *Verification) Run(ctx context.Context) (Found, error) {
	v.Say(LevelInfo, "reading the Nix store...")
	v.Say(LevelInfo, "checking path existence...")
	err := v.expect(ctx)
	var missing []storepath.Path
	if err == nil {
		missing, err = v.existence(ctx)
	}
	if err == nil {
		err = v.vanished(ctx, missing)
	}
	if err == nil && v.Contents {
		v.Say(LevelInfo, "checking link hashes...")
		err = v.links(ctx)
	}
	if err == nil && v.Contents {
		v.Say(LevelInfo, "checking store hashes...")
		err = v.contents(ctx)
	}
	return v.found, err
}

// expect counts what there is to look at.
func (v *Verification) expect(ctx context.Context) error {
	for _, err := range v.DB.All() {
		if err != nil {
			return err
		}
		if v.found.Expected++; ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// checked counts a path that was looked at.
func (v *Verification) checked() {
	v.found.Checked++
	v.found.Expected = max(v.found.Expected, v.found.Checked)
	if v.At != nil {
		v.At(v.found)
	}
}

func (v *Verification) wrong(format string, args ...any) {
	v.found.Wrong++
	v.Say(LevelError, fmt.Sprintf(format, args...))
}

// existence looks for all valid paths and whether what they refer to is valid,
// and returns those that are not there.
func (v *Verification) existence(ctx context.Context) (missing []storepath.Path, err error) {
	for info, err := range v.DB.All() {
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		there, err := v.exists(info.Path)
		if err != nil {
			return nil, err
		}
		if !there {
			missing = append(missing, info.Path)
		}
		if err := v.closed(info); err != nil {
			return nil, err
		}
		v.checked()
	}
	return missing, nil
}

// exists also where the path is not valid any more.
func (v *Verification) exists(p storepath.Path) (bool, error) {
	_, err := os.Lstat(v.Layout.RealPath(p))
	if !errors.Is(err, fs.ErrNotExist) {
		return err == nil, err
	}
	valid, err := v.DB.Valid(p)
	return !valid, err
}

// closed is what the database itself sees to; it can only fail when that has a
// fault.
func (v *Verification) closed(info validity.Info) error {
	for _, r := range info.References {
		valid, err := v.DB.Valid(r)
		if err != nil {
			return err
		}
		if valid {
			continue
		}
		if still, err := v.DB.Valid(info.Path); err != nil || !still {
			return err
		}
		v.wrong("path '%s' refers to '%s', which is not valid", v.Layout.Dir.Join(info.Path), v.Layout.Dir.Join(r))
	}
	return nil
}

// vanished forgets, repairs or tells of paths that are not there.
func (v *Verification) vanished(ctx context.Context, missing []storepath.Path) error {
	unused, err := v.unused(missing)
	if err != nil {
		return err
	}
	for _, p := range missing {
		path := v.Layout.Dir.Join(p)
		switch {
		case unused[p] && v.Forget:
			v.wrong("path '%s' disappeared, removing from database...", path)
			v.found.Mended++
		case unused[p]:
			v.wrong("path '%s' disappeared, but it is valid", path)
		default:
			v.wrong("path '%s' disappeared, but it still has valid referrers!", path)
			if err := v.repair(ctx, p); err != nil {
				return err
			}
		}
	}
	if !v.Forget {
		return nil
	}
	return v.forget(ctx, unused)
}

// unused are those missing paths that only such paths refer to.
func (v *Verification) unused(missing []storepath.Path) (map[storepath.Path]bool, error) {
	unused := make(map[storepath.Path]bool, len(missing))
	for _, p := range missing {
		unused[p] = true
	}
	for before := -1; before != len(unused); {
		before = len(unused)
		for p := range unused {
			referrers, err := v.DB.Referrers(p)
			if err != nil {
				return nil, err
			}
			for _, r := range referrers {
				if !unused[r] {
					delete(unused, p)
				}
			}
		}
	}
	return unused, nil
}

// forgetAtOnce is how many paths are locked at a time.
const forgetAtOnce = 500

// forget makes paths invalid, those first that refer to others, while nobody can
// bring them back.
func (v *Verification) forget(ctx context.Context, unused map[storepath.Path]bool) error {
	var order []storepath.Path
	for p := range unused {
		var err error
		if order, err = v.afterReferrers(order, p, unused); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(order, forgetAtOnce) {
		if err := v.forgetSome(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// afterReferrers adds p to the order and takes it out of what is to come.
func (v *Verification) afterReferrers(order []storepath.Path, p storepath.Path, todo map[storepath.Path]bool) ([]storepath.Path, error) {
	delete(todo, p)
	referrers, err := v.DB.Referrers(p)
	for i := 0; i < len(referrers) && err == nil; i++ {
		if todo[referrers[i]] {
			order, err = v.afterReferrers(order, referrers[i], todo)
		}
	}
	return append(order, p), err
}

func (v *Verification) forgetSome(ctx context.Context, paths []storepath.Path) error {
	reals := make([]string, len(paths))
	for n, p := range paths {
		reals[n] = v.Layout.RealPath(p)
	}
	locks, err := pathlock.Lock(ctx, reals)
	if err != nil {
		return err
	}
	gone := slices.DeleteFunc(slices.Clone(paths), func(p storepath.Path) bool {
		_, err := os.Lstat(v.Layout.RealPath(p))
		return err == nil // somebody has brought it back
	})
	return errors.Join(v.DB.Unregister(gone...), locks.Release(true))
}

func (v *Verification) repair(ctx context.Context, p storepath.Path) error {
	if v.Repair == nil {
		return nil
	}
	err := v.Repair(ctx, p)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		v.Say(LevelError, err.Error())
		return nil
	}
	v.found.Mended++
	return nil
}
