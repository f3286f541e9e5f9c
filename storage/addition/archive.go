package addition

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"troupe/storage/beside"
	"troupe/storage/localstore"
	"troupe/storage/nar"
	"troupe/storage/nixhash"
	"troupe/storage/references"
	"troupe/storage/signature"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Trust is what settings say about paths that come with a record of their own.
type Trust struct {
	Keys       signature.PublicKeys // trusted-public-keys
	Everything bool                 // require-sigs is off
}

// Terms are those on which archives are taken from one sender.
type Terms struct {
	// Trusted senders may say that a path was made here, and choose whether
	// signatures are asked for. Of all others they are.
	Trusted   bool
	CheckSigs bool
	Repair    bool // put it there anew also where it is valid
	// Prove has the archive read and compared also where the path is valid: whoever
	// sends it shows that he knows what is there.
	Prove bool
}

// UntrustedError refuses a path for which nobody who is trusted vouches: neither
// by a signature nor by its own name. The words are Nix's.
type UntrustedError struct{ Path string }

func (e *UntrustedError) Error() string {
	return fmt.Sprintf("cannot add path '%s' because it lacks a signature by a trusted key", e.Path)
}

// AddNar adds the archive that r holds, of which info says what it must be. Its
// references are valid already. Nothing is read after the archive, and all of it
// also where the path is valid. After an error r is anywhere. Many small reads
// are made of r.
func (a *Adder) AddNar(ctx context.Context, info validity.Info, r io.Reader, t Terms) error {
	info, ca, err := a.admit(info, t)
	if err != nil {
		return err
	}
	if err := a.addNar(ctx, info, ca, r, t); err != nil {
		return fmt.Errorf("add path '%s': %w", a.Layout.Dir.Join(info.Path), err)
	}
	return nil
}

func (a *Adder) addNar(ctx context.Context, info validity.Info, ca storepath.ContentAddress, r io.Reader, t Terms) error {
	if valid, err := a.DB.Valid(info.Path); err != nil {
		return err
	} else if valid && !t.Repair && !t.Prove {
		return nar.Parse(untilDone{ctx, r}, nil)
	}
	return a.staged(func(place string) error {
		h, err := receiveArchive(ctx, place, 0, r)
		if err != nil {
			return err
		}
		if err := a.compare(ctx, place, info, ca, nixhash.Finish(nixhash.SHA256, h.sha256), h.Size()); err != nil {
			return err
		}
		if err := a.settle(ctx, place, info, t.Repair); err != nil || !t.Prove {
			return err
		}
		return a.proven(info)
	})
}

// proven holds what is valid now against what came.
func (a *Adder) proven(info validity.Info) error {
	is, ok, err := a.DB.Get(info.Path)
	if err == nil && (!ok || is.NarHash != info.NarHash) {
		err = errors.New("it is there with other contents")
	}
	return err
}

// Admits says why an archive with this record would be refused whatever it holds,
// which is an [*UntrustedError] where nobody vouches for it.
func (a *Adder) Admits(info validity.Info, t Terms) error {
	_, _, err := a.admit(info, t)
	return err
}

// admit looks at a record before its archive is read.
func (a *Adder) admit(info validity.Info, t Terms) (validity.Info, storepath.ContentAddress, error) {
	if !t.Trusted {
		info.Ultimate = false
	}
	if info.NarHash.Algorithm() != nixhash.SHA256 {
		return info, storepath.ContentAddress{}, fmt.Errorf("add path '%s': its hash is not a SHA-256", a.Layout.Dir.Join(info.Path))
	}
	ca, err := a.address(info)
	if err != nil {
		return info, ca, err
	}
	asked := (t.CheckSigs || !t.Trusted) && !a.Trust.Everything
	if asked && ca.Hash.IsZero() && a.Trust.Keys.Valid(a.Layout.Dir, info) == 0 {
		return info, ca, &UntrustedError{a.Layout.Dir.Join(info.Path)}
	}
	return info, ca, nil
}

// address reads the content address of a record and holds the path against it.
func (a *Adder) address(info validity.Info) (storepath.ContentAddress, error) {
	if info.CA == "" {
		return storepath.ContentAddress{}, nil
	}
	ca, err := storepath.ParseContentAddress(info.CA)
	if err != nil {
		return ca, err
	}
	others := slices.DeleteFunc(slices.Clone(info.References), func(r storepath.Path) bool { return r == info.Path })
	p, err := a.Layout.Dir.MakeFixed(info.Path.Name(), ca.Method, ca.Hash, others, len(others) < len(info.References))
	if err == nil && p != info.Path {
		err = fmt.Errorf("cannot add path '%s' to the Nix store because it claims to be content-addressed but isn't", a.Layout.Dir.Join(info.Path))
	}
	return ca, err
}

// compare holds what came against what was announced. The words are Nix's.
func (a *Adder) compare(ctx context.Context, place string, info validity.Info, ca storepath.ContentAddress, got nixhash.Hash, size uint64) error {
	path := a.Layout.Dir.Join(info.Path)
	if got != info.NarHash {
		return mismatch("hash", path, info.NarHash, got)
	}
	if size != info.NarSize {
		return mismatch("size", path, info.NarSize, size)
	}
	if ca.Hash.IsZero() {
		return nil
	}
	if ca.Method == storepath.NAR && ca.Hash == got {
		return nil
	}
	own, err := addressesOf(ctx, place, info, ca)
	if err == nil && !slices.Contains(own, ca.Hash) {
		err = mismatch("ca hash", path, ca.Hash, own[0])
	}
	return err
}

// addressesOf are the hashes of what is at a place by the method of ca, of which any
// will do. In what refers to itself the own name counts for nothing, be it an archive
// or, as Nix has it, a file; which may be executable.
func addressesOf(ctx context.Context, place string, info validity.Info, ca storepath.ContentAddress) ([]nixhash.Hash, error) {
	if ca.Method == storepath.Git {
		h, err := localstore.HashTree(place, ca.Method, ca.Hash.Algorithm())
		return []nixhash.Hash{h}, err
	}
	h := references.NewModulo(ca.Hash.Algorithm(), info.Path.HashPart())
	var err error
	if ca.Method == storepath.NAR {
		err = nar.Hash(ctx, h, place)
	} else {
		err = hashFile(h, place)
	}
	plain, offsets := h.Sums()
	return []nixhash.Hash{plain, offsets}, err
}

// hashFile gives a hash the contents of what is a file at a place that nobody else can
// reach.
func hashFile(h io.Writer, place string) error {
	st, err := os.Lstat(place)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	f, err := os.Open(place)
	if err != nil {
		return err
	}
	defer f.Close() // it is only read
	return beside.Copy(h, f)
}

func mismatch(what, path string, specified, got any) error {
	return fmt.Errorf("%s mismatch importing path '%s';\n  specified: %v\n  got:       %v", what, path, specified, got)
}

// Item is one of many archives. Its reader need not be the same for all.
type Item struct {
	Info    validity.Info
	Archive io.Reader
}

// commitEvery is how many paths share a commit.
const commitEvery = 1000

// AddMany adds one archive after another, each after those that it refers to,
// until next says io.EOF. They are durable when it returns, also those before
// one that failed, whose name is in the error. next is called when the archive
// before has been read to its end.
func (a *Adder) AddMany(ctx context.Context, next func() (Item, error), t Terms) error {
	var added []storepath.Path
	for {
		item, err := next()
		if err == nil {
			err = a.AddNar(ctx, item.Info, item.Archive, t)
		}
		if err == nil {
			added = append(added, item.Info.Path)
			if len(added) < commitEvery {
				continue
			}
		}
		cerr := a.Commit(context.WithoutCancel(ctx), added...)
		added = added[:0]
		if err == io.EOF { // from next: AddNar wraps it
			return cerr
		}
		if err != nil || cerr != nil {
			return errors.Join(err, cerr)
		}
	}
}
