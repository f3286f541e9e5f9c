package copying

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"troupe/messages"
	"troupe/storage/derivation"
	"troupe/storage/nar"
	"troupe/storage/realisation"
	"troupe/storage/storepath"
)

// Wanted are outputs of a derivation.
type Wanted struct {
	Drv     storepath.Path
	Outputs []string // or [messages.AllOutputs]
}

// Finder says where outputs lie.
type Finder struct {
	Dir storepath.Dir
	// From says where outputs lie that have no path before they are built.
	From Source
	// Drvs are asked for derivations, one after the other.
	Drvs []Source

	modulos map[storepath.Path]derivation.ModuloHash
}

// Find are the paths of outputs, and the realisations by which they are known where
// derivations do not tell.
func (f *Finder) Find(ctx context.Context, w Wanted) (paths []storepath.Path, known []realisation.Realisation, err error) {
	d, err := f.derivation(ctx, w.Drv)
	if err != nil {
		return nil, nil, err
	}
	var hash derivation.ModuloHash
	if !d.KnowsOutputs() {
		if hash, err = d.OutputHash(f.Dir, f.modulo(ctx)); err != nil {
			return nil, nil, err
		}
	}
	outputs := w.Outputs
	if slices.Contains(outputs, messages.AllOutputs) {
		outputs = nil
		for _, o := range d.Outputs {
			outputs = append(outputs, o.Name)
		}
	}
	for _, name := range outputs {
		i := slices.IndexFunc(d.Outputs, func(o derivation.Output) bool { return o.Name == name })
		switch {
		case i < 0:
			return nil, nil, fmt.Errorf("derivation '%s' does not have an output named '%s'", f.Dir.Join(w.Drv), name)
		case !d.Outputs[i].Path.IsZero():
			paths = append(paths, d.Outputs[i].Path)
			continue
		}
		r, found, err := f.From.Realisation(ctx, realisation.ID{Hash: hash.Hash, Output: name})
		if err == nil && !found {
			err = fmt.Errorf("'%s' does not know where output '%s' of '%s' lies", f.From, name, f.Dir.Join(w.Drv))
		}
		if err != nil {
			return nil, nil, err
		}
		paths = append(paths, r.Path)
		if known, err = f.withDependent(ctx, r, known); err != nil {
			return nil, nil, err
		}
	}
	return paths, known, nil
}

// withDependent adds a realisation, and before it those that it was made with, which
// stores before Nix 2.34 insist on.
func (f *Finder) withDependent(ctx context.Context, r realisation.Realisation, known []realisation.Realisation) ([]realisation.Realisation, error) {
	if slices.ContainsFunc(known, func(k realisation.Realisation) bool { return k.ID == r.ID }) {
		return known, nil
	}
	at := len(known)
	known = append(known, r)
	for _, name := range slices.Sorted(maps.Keys(r.Dependent)) {
		id, err := realisation.ParseID(name)
		if err != nil {
			return nil, err
		}
		other, found, err := f.From.Realisation(ctx, id)
		if err == nil && found {
			known, err = f.withDependent(ctx, other, known)
		}
		if err != nil {
			return nil, err
		}
	}
	return append(append(known[:at:at], known[at+1:]...), r), nil
}

// derivation reads one from the first store that has it.
func (f *Finder) derivation(ctx context.Context, p storepath.Path) (*derivation.Derivation, error) {
	for _, s := range f.Drvs {
		info, found, err := s.Info(ctx, p)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		if info.NarSize > maxDerivation {
			return nil, fmt.Errorf("read derivation '%s': it has %d bytes", f.Dir.Join(p), info.NarSize)
		}
		var text bytes.Buffer
		r, w := io.Pipe()
		go func() { w.CloseWithError(s.NAR(ctx, p, w)) }()
		err = nar.Parse(r, oneText{&text})
		r.CloseWithError(errStopped)
		if err != nil {
			return nil, fmt.Errorf("read derivation '%s': %w", f.Dir.Join(p), err)
		}
		return derivation.Parse(f.Dir, p.Name(), text.Bytes())
	}
	return nil, fmt.Errorf("derivation '%s' is in neither store", f.Dir.Join(p))
}

// maxDerivation is what one may have, in bytes.
const maxDerivation = 64 << 20

func (f *Finder) modulo(ctx context.Context) derivation.Modulo {
	return func(p storepath.Path) (derivation.ModuloHash, error) {
		if h, known := f.modulos[p]; known {
			return h, nil
		}
		d, err := f.derivation(ctx, p)
		if err != nil {
			return derivation.ModuloHash{}, err
		}
		h, err := d.Modulo(f.Dir, f.modulo(ctx))
		if err == nil {
			if f.modulos == nil {
				f.modulos = map[storepath.Path]derivation.ModuloHash{}
			}
			f.modulos[p] = h
		}
		return h, err
	}
}

// oneText takes the contents of the file that an archive is.
type oneText struct{ to io.Writer }

var errNoText = errors.New("it is not a text")

func (oneText) Directory(string) error       { return errNoText }
func (oneText) Up() error                    { return errNoText }
func (oneText) Symlink(string, string) error { return errNoText }
func (t oneText) File(_ string, executable bool, _ uint64, contents io.Reader) error {
	if executable {
		return errNoText
	}
	_, err := io.Copy(t.to, contents)
	return err
}
