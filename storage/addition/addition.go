// Package addition adds objects to a store: staged where nobody looks, hashed,
// moved to the name that follows from their contents, and registered.
package addition

import (
	"context"
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
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Adder adds to one store. What it adds is valid inside this process at once,
// and for good after [Adder.Commit].
type Adder struct {
	Layout localstore.Layout
	DB     *validity.DB

	modulo map[storepath.Path]nixhash.Hash // of derivations, as far as asked for
}

// Text adds a file with contents and references.
func (a *Adder) Text(name string, contents []byte, refs []storepath.Path) (storepath.Path, error) {
	p, err := a.Layout.Dir.MakeText(name, nixhash.Sum(nixhash.SHA256, contents), refs)
	if err != nil {
		return p, fmt.Errorf("add '%s': %w", name, err)
	}
	reg := validity.Registration{}
	return p, a.text(p, contents, refs, reg)
}

func (a *Adder) text(p storepath.Path, contents []byte, refs []storepath.Path, reg validity.Registration) error {
	return a.add(p, refs, "text:"+nixhash.Sum(nixhash.SHA256, contents).String(), reg, func(staged string) error {
		return os.WriteFile(staged, contents, 0o644)
	})
}

// Derivation adds a derivation, whose inputs must be valid and whose output
// paths must be right.
func (a *Adder) Derivation(d *derivation.Derivation) (storepath.Path, error) {
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
	return p, a.text(p, d.Print(dir), d.Refs(), reg)
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
func (a *Adder) Tree(host, name string) (storepath.Path, error) {
	h, err := localstore.HashTree(host, storepath.NAR, nixhash.SHA256)
	if err != nil {
		return storepath.Path{}, err
	}
	p, err := a.Layout.Dir.MakeFixed(name, storepath.NAR, h, nil, false)
	if err != nil {
		return p, fmt.Errorf("add '%s': %w", host, err)
	}
	return p, a.copyTree(p, host, h)
}

// copyTree adds what is known to have that hash; if it changed meanwhile it is
// refused.
func (a *Adder) copyTree(p storepath.Path, host string, h nixhash.Hash) error {
	return a.add(p, nil, "fixed:r:"+h.String(), validity.Registration{}, func(staged string) error {
		if err := copyByArchive(host, staged); err != nil {
			return err
		}
		got, err := localstore.HashTree(staged, storepath.NAR, nixhash.SHA256)
		if err == nil && got != h {
			err = fmt.Errorf("'%s' changed while it was copied", host)
		}
		return err
	})
}

func copyByArchive(from, to string) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(nar.Dump(w, from)) }()
	err := nar.Restore(r, to)
	r.CloseWithError(err)
	return err
}

// add stages an object, moves it into place and registers it. One that is valid
// already stays.
func (a *Adder) add(p storepath.Path, refs []storepath.Path, ca string, reg validity.Registration, write func(staged string) error) error {
	if valid, err := a.DB.Valid(p); valid || err != nil {
		return err
	}
	stage, err := os.MkdirTemp(a.Layout.StagingDir(), "add-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage) // nothing is in it any more when all went well
	staged := filepath.Join(stage, p.Base())
	if err := write(staged); err != nil {
		return err
	}
	if err := localstore.Canonicalise(staged, localstore.Options{BuilderUID: -1}); err != nil {
		return err
	}
	scanned, err := localstore.Scan(staged, nil)
	if err != nil {
		return err
	}
	real := a.Layout.RealPath(p)
	if _, err := localstore.Remove(real); err != nil { // a leftover that is not valid
		return err
	}
	if err := localstore.Move(staged, real); err != nil {
		return err
	}
	reg.Paths = []validity.Info{{Path: p, NarHash: scanned.NarHash, NarSize: scanned.NarSize, References: refs,
		RegistrationTime: time.Now().Unix(), CA: ca}}
	return a.DB.RegisterProvisional(reg)
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
