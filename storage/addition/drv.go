package addition

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"troupe/storage/derivation"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// maxDerivation is many times what any derivation has, in bytes. Parsing one
// takes a few times as much memory.
const maxDerivation = 64 << 20

// checkDerivation reads what is to become the derivation p and returns what it
// says of its outputs. One that claims an output that is not its own would, once
// built, put there what others take for something else.
func (a *Adder) checkDerivation(p storepath.Path, file string) (validity.Registration, error) {
	d, err := a.readDerivation(p, file)
	if err == nil {
		err = a.verifyOutputs(d)
	}
	if off := (*derivation.FeatureError)(nil); errors.As(err, &off) {
		return validity.Registration{}, off // it reads as Nix's
	}
	if err != nil {
		return validity.Registration{}, fmt.Errorf("add derivation '%s': %w", a.Layout.Dir.Join(p), err)
	}
	return outputsOf(p, d), nil
}

func (a *Adder) readDerivation(p storepath.Path, file string) (*derivation.Derivation, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, errors.New("it is a symlink")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case st.Size() > maxDerivation:
		return nil, fmt.Errorf("it is %d bytes long, which is more than %d", st.Size(), maxDerivation)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	return derivation.Parse(a.Layout.Dir, strings.TrimSuffix(p.Name(), ".drv"), data)
}

// verifyOutputs holds the output paths against those that follow from the
// derivation, which must be one that may be there.
func (a *Adder) verifyOutputs(d *derivation.Derivation) error {
	if a.Admit != nil {
		if err := a.Admit(d); err != nil {
			return err
		}
	}
	return d.Verify(a.Layout.Dir, a.Modulo)
}

// outputsOf is what a derivation's validity teaches of its outputs.
func outputsOf(p storepath.Path, d *derivation.Derivation) validity.Registration {
	reg := validity.Registration{Drv: p, Outputs: map[string]storepath.Path{}}
	for _, o := range d.Outputs {
		if !o.Path.IsZero() {
			reg.Outputs[o.Name] = o.Path
		}
	}
	return reg
}
