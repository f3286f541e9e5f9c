package remotestore

import (
	"bufio"
	"context"
	"io"

	"troupe/messages/workerproto"
	"troupe/storage/derivation"
	"troupe/storage/nar"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Valid are those of some paths that are valid. With substitute the store fetches
// what it can first; stores before 1.27 do not.
func (c *Conn) Valid(ctx context.Context, paths []storepath.Path, substitute bool) ([]storepath.Path, error) {
	reply, err := Tell[*workerproto.Paths](ctx, c, &workerproto.QueryValidPaths{Paths: paths, Substitute: substitute})
	if err != nil {
		return nil, err
	}
	return reply.Paths, nil
}

// Info is the record of a path, and whether there is one.
func (c *Conn) Info(ctx context.Context, p storepath.Path) (validity.Info, bool, error) {
	reply, err := Tell[*workerproto.OptionalPathInfo](ctx, c, &workerproto.QueryPathInfo{Path: p})
	if err != nil || reply.Info == nil {
		return validity.Info{}, false, err
	}
	info := validity.Info(*reply.Info)
	info.Path = p
	return info, true, nil
}

// Missing is what making some paths valid would take.
func (c *Conn) Missing(ctx context.Context, paths []workerproto.DerivedPath) (*workerproto.Missing, error) {
	return Tell[*workerproto.Missing](ctx, c, &workerproto.QueryMissing{Paths: paths})
}

// NAR writes the archive of a valid path to w. It is one archive, and nothing more
// is promised of it. Where w fails the connection is lost.
func (c *Conn) NAR(ctx context.Context, p storepath.Path, w io.Writer) error {
	if _, err := Tell[*workerproto.Nothing](ctx, c, &workerproto.NarFromPath{Path: p}); err != nil {
		return err
	}
	return c.interruptible(ctx, func() error {
		out := &noting{w: w}
		err := copyArchive(out, c.r)
		switch {
		case out.err != nil:
			c.broken.Store(true)
			return out.err
		case err != nil:
			return c.Lost(err)
		}
		return nil
	})
}

// copySize is how much of an archive is written at a time, in bytes.
const copySize = 64 << 10

// copyArchive copies one archive, and reads nothing after it.
func copyArchive(w io.Writer, r io.Reader) error {
	out := bufio.NewWriterSize(w, copySize)
	if err := nar.Parse(io.TeeReader(r, out), nil); err != nil {
		return err
	}
	return out.Flush()
}

// Object is what is sent to a store.
type Object struct {
	Info validity.Info
	// Archive writes the archive of which Info has hash and size.
	Archive func(io.Writer) error
}

// Terms are those on which a store is to take what is sent.
type Terms struct {
	Repair        bool // put it there anew also where it is valid
	DontCheckSigs bool // counts where the store trusts us
}

// Add sends objects, each after those that it refers to: as one stream, or one by
// one. They are durable when it returns.
//
// The stream came with 1.32, but up to Nix 2.17, which speaks 1.35, a daemon loses
// its place in it when a path is valid already.
func (c *Conn) Add(ctx context.Context, t Terms, objects ...Object) error {
	if len(objects) > 1 && c.Version.AtLeast(37) {
		_, err := Send[*workerproto.Nothing](ctx, c, &workerproto.AddMultipleToStore{Repair: t.Repair, DontCheckSigs: t.DontCheckSigs},
			func(to io.Writer) error { return c.writeAll(to, objects) })
		return err
	}
	for _, o := range objects {
		q := &workerproto.AddToStoreNar{Info: workerproto.ValidPathInfo(o.Info), Repair: t.Repair, DontCheckSigs: t.DontCheckSigs}
		if _, err := Send[*workerproto.Nothing](ctx, c, q, o.Archive); err != nil {
			return err
		}
	}
	return nil
}

// writeAll writes the stream of [workerproto.AddMultipleToStore].
func (c *Conn) writeAll(to io.Writer, objects []Object) error {
	out := bufio.NewWriterSize(to, copySize)
	w := workerproto.NewWriter(out)
	w.Int(uint64(len(objects)))
	for _, o := range objects {
		if err := workerproto.WritePathInfo(w, workerproto.ValidPathInfo(o.Info), c.Dialect); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if err := o.Archive(out); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil { // there may be none
		return err
	}
	return out.Flush()
}

// BuildDerivation builds a derivation that need not be in the store: all that it
// reads is among its sources, and is valid there.
func (c *Conn) BuildDerivation(ctx context.Context, p storepath.Path, d derivation.Derivation, mode workerproto.BuildMode) (*workerproto.BuildResult, error) {
	return Tell[*workerproto.BuildResult](ctx, c, &workerproto.BuildDerivation{Path: p, Derivation: d, Mode: mode})
}

// Build makes paths valid, and tells how each went. It is for stores from 1.34 on.
func (c *Conn) Build(ctx context.Context, paths []workerproto.DerivedPath, mode workerproto.BuildMode) ([]workerproto.KeyedBuildResult, error) {
	if !c.Version.AtLeast(34) {
		return nil, &workerproto.UnsupportedError{What: "building with results in a version before 1.34"}
	}
	reply, err := Tell[*workerproto.KeyedBuildResults](ctx, c, &workerproto.BuildPathsWithResults{Paths: paths, Mode: mode})
	if err != nil {
		return nil, err
	}
	return reply.Results, nil
}

// Realisation is where an output lies, or nil where that is not known.
func (c *Conn) Realisation(ctx context.Context, o workerproto.DrvOutput) (*workerproto.Realisation, error) {
	if !c.Version.AtLeast(27) {
		return nil, nil
	}
	reply, err := Tell[*workerproto.OptionalRealisation](ctx, c, &workerproto.QueryRealisation{ID: o})
	if err != nil || reply.Realisation == nil {
		return nil, err
	}
	r := *reply.Realisation
	r.ID = o // below 1.31 it is not on the wire
	return &r, nil
}

// Realise records where an output lies.
func (c *Conn) Realise(ctx context.Context, r workerproto.Realisation) error {
	_, err := Tell[*workerproto.Nothing](ctx, c, &workerproto.RegisterDrvOutput{Realisation: r})
	return err
}

// Keep keeps a path, which need not be valid, from the store's collector for as long
// as the connection lasts.
func (c *Conn) Keep(ctx context.Context, p storepath.Path) error {
	_, err := Tell[*workerproto.One](ctx, c, &workerproto.AddTempRoot{Path: p})
	return err
}

// Ensure makes a path valid by substitution.
func (c *Conn) Ensure(ctx context.Context, p storepath.Path) error {
	_, err := Tell[*workerproto.One](ctx, c, &workerproto.EnsurePath{Path: p})
	return err
}
