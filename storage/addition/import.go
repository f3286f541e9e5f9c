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

// ImportDerivation adds the derivation of a file. Its inputs are valid already
// or lie beside the file under the base names of their store paths, and are
// added with it.
func (a *Adder) ImportDerivation(ctx context.Context, file string) (storepath.Path, error) {
	i := &importer{ctx: ctx, a: a, beside: filepath.Dir(file), open: map[storepath.Path]bool{}}
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
		err = fmt.Errorf("the file '%s' has the contents of '%s'", file, a.Layout.Dir.Join(got))
	}
	if err != nil {
		return storepath.Path{}, fmt.Errorf("import '%s': %w", file, err)
	}
	return got, nil
}

type importer struct {
	ctx    context.Context // of this one import
	a      *Adder
	beside string
	open   map[storepath.Path]bool // being imported: an input that is open is a cycle
}

func (i *importer) add(name string, data []byte) (storepath.Path, error) {
	d, err := derivation.Parse(i.a.Layout.Dir, name, data)
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
	return i.a.Derivation(i.ctx, d)
}

func (i *importer) derivation(p storepath.Path) error {
	if valid, err := i.a.DB.Valid(p); valid || err != nil {
		return err
	}
	if i.open[p] {
		return fmt.Errorf("derivation '%s' depends on itself", i.a.Layout.Dir.Join(p))
	}
	i.open[p] = true
	defer delete(i.open, p)
	data, err := os.ReadFile(filepath.Join(i.beside, p.Base()))
	if err != nil {
		return fmt.Errorf("input '%s' is neither valid nor beside the file: %w", i.a.Layout.Dir.Join(p), err)
	}
	got, err := i.add(strings.TrimSuffix(p.Name(), ".drv"), data)
	if err == nil && got != p {
		err = fmt.Errorf("the file '%s' has the contents of '%s'", filepath.Join(i.beside, p.Base()), i.a.Layout.Dir.Join(got))
	}
	return err
}

// source adds a source whose path follows from its contents alone: a tree by
// its archive, or a text without references.
func (i *importer) source(p storepath.Path) error {
	if valid, err := i.a.DB.Valid(p); valid || err != nil {
		return err
	}
	file := filepath.Join(i.beside, p.Base())
	if _, err := os.Lstat(file); err != nil {
		return fmt.Errorf("source '%s' is neither valid nor beside the file: %w", i.a.Layout.Dir.Join(p), err)
	}
	h, err := hashTree(i.ctx, file)
	if err != nil {
		return err
	}
	if tree, err := i.a.Layout.Dir.MakeFixed(p.Name(), storepath.NAR, h, nil, false); err != nil || tree == p {
		if err != nil {
			return err
		}
		return i.a.copyTree(i.ctx, p, file, h)
	}
	if data, err := os.ReadFile(file); err == nil {
		if text, err := i.a.Layout.Dir.MakeText(p.Name(), nixhash.Sum(nixhash.SHA256, data), nil); err == nil && text == p {
			_, err := i.a.Text(i.ctx, p.Name(), data, nil)
			return err
		}
	}
	return fmt.Errorf("the contents of '%s' are not those that its name was made of", file)
}
