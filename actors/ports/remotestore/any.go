package remotestore

import (
	"context"
	"io"

	"troupe/messages/workerproto"
	"troupe/storage/realisation"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Any is a store of another process or machine, whichever protocol it speaks. It may
// be used at once by many.
type Any interface {
	String() string
	Dir() storepath.Dir
	// Reach connects, if nobody has before, and says whether that can be done.
	Reach(context.Context) error
	// Info is the record of a path, and whether there is one.
	Info(context.Context, storepath.Path) (validity.Info, bool, error)
	// Valid are those of some paths that are valid; with substitute the store
	// fetches what it can first.
	Valid(_ context.Context, paths []storepath.Path, substitute bool) ([]storepath.Path, error)
	// NAR writes the archive of a valid path.
	NAR(context.Context, storepath.Path, io.Writer) error
	// Add sends objects, each after those that it refers to.
	Add(context.Context, Terms, ...Object) error
	// Realisation is where an output lies, and whether that is known.
	Realisation(context.Context, realisation.ID) (realisation.Realisation, bool, error)
	// Realise records where an output lies.
	Realise(context.Context, realisation.Realisation) error
	Close() error
}

// OpenAny makes a store of a URL of any scheme that is [Known], without connecting to
// it.
func OpenAny(text string, s Settings) (Any, Config, error) {
	store, err := open(text, s)
	if err != nil {
		return nil, Config{}, err
	}
	if store.Config.Scheme == "ssh" {
		return &serving{store}, store.Config, nil
	}
	return store, store.Config, nil
}

func (s *Store) Reach(ctx context.Context) error {
	return s.Do(ctx, func(*Conn) error { return nil })
}

func (s *Store) Info(ctx context.Context, p storepath.Path) (info validity.Info, found bool, err error) {
	err = s.Do(ctx, func(c *Conn) (err error) {
		info, found, err = c.Info(ctx, p)
		return err
	})
	return info, found, err
}

func (s *Store) Valid(ctx context.Context, paths []storepath.Path, substitute bool) (valid []storepath.Path, err error) {
	err = s.Do(ctx, func(c *Conn) (err error) {
		valid, err = c.Valid(ctx, paths, substitute)
		return err
	})
	return valid, err
}

func (s *Store) NAR(ctx context.Context, p storepath.Path, w io.Writer) error {
	return s.Do(ctx, func(c *Conn) error { return c.NAR(ctx, p, w) })
}

func (s *Store) Add(ctx context.Context, t Terms, objects ...Object) error {
	return s.Do(ctx, func(c *Conn) error { return c.Add(ctx, t, objects...) })
}

func (s *Store) Realisation(ctx context.Context, id realisation.ID) (r realisation.Realisation, found bool, err error) {
	err = s.Do(ctx, func(c *Conn) error {
		got, err := c.Realisation(ctx, workerproto.DrvOutput{Hash: id.Hash, Output: id.Output})
		if err == nil && got != nil {
			found = true
			r = realisation.Realisation{ID: id, Path: got.OutPath, Signatures: got.Signatures, Dependent: got.Dependent}
		}
		return err
	})
	return r, found, err
}

func (s *Store) Realise(ctx context.Context, r realisation.Realisation) error {
	return s.Do(ctx, func(c *Conn) error {
		return c.Realise(ctx, workerproto.Realisation{ID: workerproto.DrvOutput{Hash: r.ID.Hash, Output: r.ID.Output}, OutPath: r.Path,
			Signatures: r.Signatures, Dependent: r.Dependent})
	})
}
