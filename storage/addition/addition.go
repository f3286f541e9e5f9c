// Package addition adds objects to a store: staged where nobody looks, hashed,
// moved to the name that follows from their contents, and registered.
package addition

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/nar"
	"troupe/storage/nixhash"
	"troupe/storage/pathlock"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Adder adds to one store, for one goroutine at a time. What it adds is valid
// inside this process at once, and for good after [Adder.Commit]. When it fails,
// or its context ends, nothing is left of what was being added.
type Adder struct {
	Layout localstore.Layout
	DB     *validity.DB

	modulo map[storepath.Path]nixhash.Hash // of derivations, as far as asked for
}

// Text adds a file with contents and references.
func (a *Adder) Text(ctx context.Context, name string, contents []byte, refs []storepath.Path) (storepath.Path, error) {
	p, err := a.Layout.Dir.MakeText(name, nixhash.Sum(nixhash.SHA256, contents), refs)
	if err != nil {
		return p, fmt.Errorf("add '%s': %w", name, err)
	}
	reg := validity.Registration{}
	return p, a.text(ctx, p, contents, refs, reg)
}

func (a *Adder) text(ctx context.Context, p storepath.Path, contents []byte, refs []storepath.Path, reg validity.Registration) error {
	return a.add(ctx, p, refs, "text:"+nixhash.Sum(nixhash.SHA256, contents).String(), reg, func(staged string) error {
		return os.WriteFile(staged, contents, 0o644)
	})
}

// Derivation adds a derivation, whose inputs must be valid and whose output
// paths must be right.
func (a *Adder) Derivation(ctx context.Context, d *derivation.Derivation) (storepath.Path, error) {
	dir := a.Layout.Dir
	if d.Supported() == nil {
		if err := d.Verify(dir, a.Modulo); err != nil {
			return storepath.Path{}, err
		}
	}
	p, err := d.Path(dir)
	if err != nil {
		return p, err
	}
	reg := validity.Registration{Drv: p, Outputs: map[string]storepath.Path{}}
	for _, o := range d.Outputs {
		if !o.Path.IsZero() {
			reg.Outputs[o.Name] = o.Path
		}
	}
	return p, a.text(ctx, p, d.Print(dir), d.Refs(), reg)
}

// Modulo is the hash modulo of a derivation in the store.
func (a *Adder) Modulo(p storepath.Path) (nixhash.Hash, error) {
	if h, ok := a.modulo[p]; ok {
		return h, nil
	}
	data, err := os.ReadFile(a.Layout.RealPath(p))
	if err != nil {
		return nixhash.Hash{}, fmt.Errorf("read derivation '%s': %w", a.Layout.Dir.Join(p), err)
	}
	d, err := derivation.Parse(a.Layout.Dir, strings.TrimSuffix(p.Name(), ".drv"), data)
	if err != nil {
		return nixhash.Hash{}, err
	}
	h, err := d.Modulo(a.Layout.Dir, a.Modulo)
	if err == nil {
		if a.modulo == nil {
			a.modulo = map[storepath.Path]nixhash.Hash{}
		}
		a.modulo[p] = h
	}
	return h, err
}

// Tree adds a copy of a file or directory of the host by the hash of its
// archive.
func (a *Adder) Tree(ctx context.Context, host, name string) (storepath.Path, error) {
	h, err := hashTree(ctx, host)
	if err != nil {
		return storepath.Path{}, err
	}
	p, err := a.Layout.Dir.MakeFixed(name, storepath.NAR, h, nil, false)
	if err != nil {
		return p, fmt.Errorf("add '%s': %w", host, err)
	}
	return p, a.copyTree(ctx, p, host, h)
}

// copyTree adds what is known to have that hash; if it changed meanwhile it is
// refused.
func (a *Adder) copyTree(ctx context.Context, p storepath.Path, host string, h nixhash.Hash) error {
	return a.add(ctx, p, nil, "fixed:r:"+h.String(), validity.Registration{}, func(staged string) error {
		if err := copyByArchive(ctx, host, staged); err != nil {
			return err
		}
		got, err := hashTree(ctx, staged)
		if err == nil && got != h {
			err = fmt.Errorf("'%s' changed while it was copied", host)
		}
		return err
	})
}

func copyByArchive(ctx context.Context, from, to string) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(nar.Dump(whileIn{ctx, w}, from)) }()
	err := nar.Restore(r, to)
	r.CloseWithError(err)
	return err
}

func hashTree(ctx context.Context, host string) (nixhash.Hash, error) {
	w := nixhash.SHA256.New()
	if err := nar.Dump(whileIn{ctx, w}, host); err != nil {
		return nixhash.Hash{}, err
	}
	return nixhash.Finish(nixhash.SHA256, w), nil
}

// whileIn fails once its context has ended.
type whileIn struct {
	ctx context.Context
	io.Writer
}

func (w whileIn) Write(b []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	return w.Writer.Write(b)
}

// add stages an object, moves it into place and registers it, all under the
// path's lock: who else adds or builds the same path waits. One that is valid
// already stays.
func (a *Adder) add(ctx context.Context, p storepath.Path, refs []storepath.Path, ca string, reg validity.Registration, write func(staged string) error) (err error) {
	if valid, err := a.DB.Valid(p); valid || err != nil {
		return err
	}
	lock, err := pathlock.Lock(ctx, []string{a.Layout.RealPath(p)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release(true)) }()
	if valid, err := a.DB.Valid(p); valid || err != nil {
		return err
	}
	stage, err := os.MkdirTemp(a.Layout.StagingDir(), "add-")
	if err != nil {
		return err
	}
	defer func() { // nothing is in it any more when all went well
		_, rerr := localstore.Remove(stage)
		err = errors.Join(err, rerr)
	}()
	staged := filepath.Join(stage, p.Base())
	if err := write(staged); err != nil {
		return err
	}
	if err := localstore.Canonicalise(staged, localstore.Options{BuilderUID: -1}); err != nil {
		return err
	}
	scanned, err := localstore.Scan(staged, nil)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	reg.Paths = []validity.Info{{Path: p, NarHash: scanned.NarHash, NarSize: scanned.NarSize, References: refs,
		RegistrationTime: time.Now().Unix(), CA: ca}}
	return a.install(staged, a.Layout.RealPath(p), reg)
}

func (a *Adder) install(staged, real string, reg validity.Registration) error {
	if _, err := localstore.Remove(real); err != nil { // a leftover that is not valid
		return err
	}
	if err := localstore.Move(staged, real); err != nil {
		return err
	}
	err := a.DB.RegisterProvisional(reg)
	if err != nil {
		_, rerr := localstore.Remove(real)
		err = errors.Join(err, rerr)
	}
	return err
}

// Commit makes what was added durable.
func (a *Adder) Commit(ctx context.Context, paths ...storepath.Path) error {
	pending := a.DB.Pending(paths...)
	reals := make([]string, len(pending))
	for i, p := range pending {
		reals[i] = a.Layout.RealPath(p)
	}
	if err := a.Layout.Flush(reals...); err != nil {
		return err
	}
	return a.DB.Commit(ctx, paths...)
}
