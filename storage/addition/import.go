package addition

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"troupe/storage/derivation"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// Into is a store that derivations are imported into.
type Into interface {
	Valid(storepath.Path) (bool, error)
	// Derivation adds one whose inputs are valid.
	Derivation(context.Context, *derivation.Derivation) (storepath.Path, error)
	// Source adds a file or directory that has no references, at the path that
	// follows from its content address.
	Source(ctx context.Context, p storepath.Path, file string, ca storepath.ContentAddress) error
}

// ImportDerivation adds the derivation of a file. Its inputs are valid already
// or lie beside the file under the base names of their store paths, and are
// added with it.
func ImportDerivation(ctx context.Context, into Into, dir storepath.Dir, file string) (storepath.Path, error) {
	i := &importer{ctx: ctx, into: into, dir: dir, beside: filepath.Dir(file), open: map[storepath.Path]bool{}}
	data, err := os.ReadFile(file)
	if err != nil {
		return storepath.Path{}, err
	}
	base := filepath.Base(file)
	name := strings.TrimSuffix(base, ".drv")
	p, err := storepath.ParseBase(base)
	if err == nil {
		name = strings.TrimSuffix(p.Name(), ".drv")
	}
	got, err := i.add(name, data)
	if err == nil && !p.IsZero() && got != p {
		err = fmt.Errorf("the file '%s' has the contents of '%s'", file, dir.Join(got))
	}
	if err != nil {
		return storepath.Path{}, fmt.Errorf("import '%s': %w", file, err)
	}
	return got, nil
}

type importer struct {
	ctx    context.Context // of this one import
	into   Into
	dir    storepath.Dir
	beside string
	open   map[storepath.Path]bool // being imported: an input that is open is a cycle
}

func (i *importer) add(name string, data []byte) (storepath.Path, error) {
	d, err := derivation.Parse(i.dir, name, data)
	if err != nil {
		return storepath.Path{}, err
	}
	for _, src := range d.Sources {
		if err := i.source(src); err != nil {
			return storepath.Path{}, err
		}
	}
	for _, in := range d.Inputs {
		if err := i.derivation(in.Path); err != nil {
			return storepath.Path{}, err
		}
	}
	return i.into.Derivation(i.ctx, d)
}

func (i *importer) derivation(p storepath.Path) error {
	if valid, err := i.into.Valid(p); valid || err != nil {
		return err
	}
	if i.open[p] {
		return fmt.Errorf("derivation '%s' depends on itself", i.dir.Join(p))
	}
	i.open[p] = true
	defer delete(i.open, p)
	data, err := os.ReadFile(filepath.Join(i.beside, p.Base()))
	if err != nil {
		return fmt.Errorf("input '%s' is neither valid nor beside the file: %w", i.dir.Join(p), err)
	}
	got, err := i.add(strings.TrimSuffix(p.Name(), ".drv"), data)
	if err == nil && got != p {
		err = fmt.Errorf("the file '%s' has the contents of '%s'", filepath.Join(i.beside, p.Base()), i.dir.Join(got))
	}
	return err
}

func (i *importer) source(p storepath.Path) error {
	if valid, err := i.into.Valid(p); valid || err != nil {
		return err
	}
	file := filepath.Join(i.beside, p.Base())
	if _, err := os.Lstat(file); err != nil {
		return fmt.Errorf("source '%s' is neither valid nor beside the file: %w", i.dir.Join(p), err)
	}
	ca, err := sourceAddress(i.ctx, i.dir, p, file)
	if err != nil {
		return err
	}
	return i.into.Source(i.ctx, p, file, ca)
}

// sourceAddress finds how the path of a source follows from its contents alone:
// as a tree by its archive, or as a text without references.
func sourceAddress(ctx context.Context, dir storepath.Dir, p storepath.Path, file string) (ca storepath.ContentAddress, err error) {
	h, err := hashTree(ctx, file)
	if err != nil {
		return ca, err
	}
	if tree, err := dir.MakeFixed(p.Name(), storepath.NAR, h, nil, false); err != nil || tree == p {
		return storepath.ContentAddress{Method: storepath.NAR, Hash: h}, err
	}
	if data, err := os.ReadFile(file); err == nil {
		h := nixhash.Sum(nixhash.SHA256, data)
		if text, err := dir.MakeText(p.Name(), h, nil); err == nil && text == p {
			return storepath.ContentAddress{Method: storepath.Text, Hash: h}, nil
		}
	}
	return ca, fmt.Errorf("the contents of '%s' are not those that its name was made of", file)
}

// Valid implements [Into].
func (a *Adder) Valid(p storepath.Path) (bool, error) { return a.DB.Valid(p) }

// Source implements [Into].
func (a *Adder) Source(ctx context.Context, p storepath.Path, file string, ca storepath.ContentAddress) error {
	if ca.Method == storepath.NAR {
		return a.copyTree(ctx, p, file, ca.Hash)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	got, err := a.Text(ctx, p.Name(), data, nil)
	if err == nil && got != p {
		err = fmt.Errorf("'%s' changed while it was read", file)
	}
	return err
}
