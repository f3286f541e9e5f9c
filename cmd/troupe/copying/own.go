package copying

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"troupe/storage/addition"
	"troupe/storage/localstore"
	"troupe/storage/nar"
	"troupe/storage/realisation"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Own is a store that this process holds.
type Own struct {
	Layout localstore.Layout
	DB     *validity.DB
	Adder  func() *addition.Adder // makes one, for one goroutine
	Terms  addition.Terms
}

// String is the directory that it lies in, or Nix's word for the machine's own.
func (s Own) String() string { return cmp.Or(s.Layout.Root, "local") }

func (s Own) Info(_ context.Context, p storepath.Path) (validity.Info, bool, error) {
	return s.DB.Get(p)
}

func (s Own) NAR(ctx context.Context, p storepath.Path, w io.Writer) error {
	return nar.Dump(nar.Within(ctx, w), s.Layout.RealPath(p))
}

func (s Own) Realisation(_ context.Context, id realisation.ID) (realisation.Realisation, bool, error) {
	r, known, err := s.DB.Realisation(validity.DrvOutput{Hash: id.Hash, Output: id.Output})
	return realisation.Realisation{ID: id, Path: r.Path, Signatures: r.Signatures}, known, err
}

func (s Own) Realisations(_ context.Context, p storepath.Path) (list []realisation.Realisation, err error) {
	known, err := s.DB.Realisations(p)
	for _, r := range known {
		list = append(list, realisation.Realisation{ID: realisation.ID{Hash: r.ID.Hash, Output: r.ID.Output}, Path: r.Path, Signatures: r.Signatures})
	}
	return list, err
}

// Valid fetches nothing: who copies names what to copy from.
func (s Own) Valid(_ context.Context, paths []storepath.Path, substitute bool) (valid []storepath.Path, err error) {
	if substitute {
		return nil, fmt.Errorf("copy to '%s': a store that no daemon serves fetches nothing by itself", s)
	}
	for _, p := range paths {
		there, err := s.DB.Valid(p)
		if err != nil {
			return nil, err
		}
		if there {
			valid = append(valid, p)
		}
	}
	return valid, nil
}

// commitEvery is how many paths become durable at a time.
const commitEvery = 1000

func (s Own) Add(ctx context.Context, objects []Object) error {
	var mu sync.Mutex // held while a derivation is added: what is known of one makes the next cheap to check
	drvs := s.Adder()
	for some := range slices.Chunk(objects, commitEvery) {
		err := inParallel(ctx, some, atOnce, func(ctx context.Context, o Object) error {
			adder := drvs
			if o.Info.Path.IsDerivation() {
				mu.Lock()
				defer mu.Unlock()
			} else {
				adder = s.Adder()
			}
			return piped(o, func(r io.Reader) error { return adder.AddNar(ctx, o.Info, bufio.NewReaderSize(r, copySize), s.Terms) })
		})
		paths := make([]storepath.Path, len(some))
		for i, o := range some {
			paths[i] = o.Info.Path
		}
		if err := errors.Join(err, s.commit(ctx, paths)); err != nil {
			return err
		}
	}
	return nil
}

// copySize is a buffer in bytes: archives are read eight bytes at a time in many
// places.
const copySize = 64 << 10

// commit makes durable what has been added of some paths, also after a failure.
func (s Own) commit(ctx context.Context, paths []storepath.Path) error {
	added, err := s.Valid(ctx, paths, false)
	if err != nil {
		return err
	}
	return s.Adder().Commit(context.WithoutCancel(ctx), added...)
}

// Realise takes what somebody says who is trusted: it decides what is run, and does not
// prove itself as a path does that is named by its contents.
func (s Own) Realise(ctx context.Context, r realisation.Realisation) error {
	text, err := r.Fingerprint()
	if err != nil {
		return err
	}
	if trust := s.Adder().Trust; s.Terms.CheckSigs && !trust.Everything && trust.Keys.Signed(text, r.Signatures) == 0 {
		return errors.New("it lacks a signature by a trusted key")
	}
	id := validity.DrvOutput{Hash: r.ID.Hash, Output: r.ID.Output}
	if known, there, err := s.DB.Realisation(id); there || err != nil {
		if err == nil && known.Path != r.Path {
			err = fmt.Errorf("'%v' lies at '%s' there, not at '%s'", r.ID, s.Layout.Dir.Join(known.Path), s.Layout.Dir.Join(r.Path))
		}
		return err
	}
	if len(r.Dependent) > 0 { // their signatures are over a text that is not kept
		r.Signatures = nil
	}
	err = s.DB.RegisterProvisional(validity.Registration{Realisations: []validity.Realisation{{ID: id, Path: r.Path, Signatures: r.Signatures}}})
	if err != nil {
		return err
	}
	return s.DB.Commit(ctx, r.Path)
}
