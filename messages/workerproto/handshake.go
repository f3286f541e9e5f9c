package workerproto

import (
	"errors"
	"slices"
	"strings"

	"troupe/storage/storepath"
)

const (
	magicClient = 0x6e697863
	magicServer = 0x6478696f

	maxFeatures = 1 << 10 // of one peer
)

// Server is what a server says of itself at the beginning.
type Server struct {
	Dir        storepath.Dir
	Version    Version  // the newest that it speaks
	Features   []string // that it has
	NixVersion string   // shown to people; from 1.33
	Trust      Trust    // of this client; from 1.35
}

// Accept agrees with a client on a dialect. Nothing is said yet of whether the
// client is welcome: frames, and [Last] or an [Error], must follow. The error is
// a [*MagicError], a [*VersionError], a [*DecodeError], or that of the stream;
// the connection is of no use after it.
//
// It is [Server.Hail], [Server.Welcome] and [Server.Hear] in turn, which who has
// more to say may call instead.
func (s Server) Accept(r *Reader, w *Writer) (Dialect, error) {
	d, err := s.Hail(r, w)
	if err == nil {
		err = s.Welcome(w, d)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return Dialect{}, err
	}
	return s.Hear(r, d)
}

// Hail hears what a client speaks, and agrees on a version; the dialect has no
// features yet. Clients of 2.34.8 send the magic number and their version at once,
// and then the answer waits in w for what is said next; those of 2.8.0 send their
// version once they have ours.
func (s Server) Hail(r *Reader, w *Writer) (Dialect, error) {
	r.Begin()
	if err := expectMagic(r, magicClient); err != nil {
		return Dialect{}, err
	}
	w.Int(magicServer)
	w.Int(uint64(s.Version))
	if r.Buffered() == 0 {
		if err := w.Flush(); err != nil {
			return Dialect{}, err
		}
	}
	d, err := agree(r, s.Version, s.Dir)
	if err != nil {
		return Dialect{}, errors.Join(err, w.Flush()) // it may tell its person which version we are
	}
	return d, nil
}

// Welcome writes all that a server says of itself. It hangs on nothing but the
// version: a client reads it piece by piece, between what it has to say, and waits
// once where it would wait three times.
func (s Server) Welcome(w *Writer, d Dialect) error {
	return write(w, d, "hello", func(f *form) {
		if d.Version.AtLeast(38) {
			f.names("features", &s.Features)
		}
		(&welcome{s.NixVersion, s.Trust}).walk(f)
	})
}

// Hear hears the rest of what a client says of itself. The dialect is complete.
func (s Server) Hear(r *Reader, d Dialect) (Dialect, error) {
	if d.Version.AtLeast(38) {
		theirs, err := readFeatures(r, d)
		if err != nil {
			return Dialect{}, err
		}
		d.Features = intersect(s.Features, theirs)
	}
	return d, read(r, d, "hello", obsolete)
}

// Client is what a client says of itself at the beginning.
type Client struct {
	Dir      storepath.Dir
	Version  Version
	Features []string
}

// Peer is what a client learns of the server.
type Peer struct {
	Dialect
	NixVersion string // "" below 1.33
	Trust      Trust  // unknown below 1.35
}

// Connect agrees with a server on a dialect. Frames follow, as after any
// request: the client is welcome if they end in [Last]. Errors are those of
// [Server.Accept].
func (c Client) Connect(r *Reader, w *Writer) (Peer, error) {
	r.Begin()
	w.Int(magicClient)
	w.Int(uint64(c.Version))
	if err := w.Flush(); err != nil {
		return Peer{}, err
	}
	if err := expectMagic(r, magicServer); err != nil {
		return Peer{}, err
	}
	d, err := agree(r, c.Version, c.Dir)
	if err != nil {
		return Peer{}, err
	}
	if d.Version.AtLeast(38) {
		if err := writeFeatures(w, c.Features, d); err != nil {
			return Peer{}, err
		}
		theirs, err := readFeatures(r, d)
		if err != nil {
			return Peer{}, err
		}
		d.Features = intersect(c.Features, theirs)
	}
	if err := write(w, d, "hello", obsolete); err != nil {
		return Peer{}, err
	}
	if err := w.Flush(); err != nil {
		return Peer{}, err
	}
	var hello welcome
	err = read(r, d, "hello", hello.walk)
	return Peer{d, hello.nixVersion, hello.trust}, err
}

func expectMagic(r *Reader, want uint64) error {
	got, err := r.Int()
	if err != nil {
		return &DecodeError{Message: "hello", Field: "magic number", Err: err}
	}
	if got != want {
		return &MagicError{got}
	}
	return nil
}

// agree reads the peer's version. The older of the two is spoken.
func agree(r *Reader, ours Version, dir storepath.Dir) (Dialect, error) {
	got, err := r.Int()
	if err != nil {
		return Dialect{}, &DecodeError{Message: "hello", Field: "version", Err: err}
	}
	if theirs := Version(got); got > 0xffff || theirs.Major() != ours.Major() || theirs < Oldest {
		return Dialect{}, &VersionError{got}
	}
	return Dialect{Version: min(ours, Version(got)), Dir: dir}, nil
}

func readFeatures(r *Reader, d Dialect) (features []string, err error) {
	err = read(r, d, "hello", func(f *form) {
		for range f.entries("features", maxFeatures) {
			var s string
			f.shortText("features", &s)
			features = append(features, s)
		}
	})
	return features, err
}

func writeFeatures(w *Writer, features []string, d Dialect) error {
	if err := write(w, d, "hello", func(f *form) { f.names("features", &features) }); err != nil {
		return err
	}
	return w.Flush()
}

// intersect is what both have, sorted.
func intersect(a, b []string) (both []string) {
	for _, s := range a {
		if slices.Contains(b, s) {
			both = append(both, s)
		}
	}
	return sortedSet(both, strings.Compare)
}

// obsolete is a processor to run on, and whether to reserve space on the disk.
func obsolete(f *form) {
	pinned := uint64(0)
	if f.integer("processor affinity", &pinned); pinned != 0 {
		f.constant("processor", 0)
	}
	f.constant("reserve space", 0)
}

// welcome is what a server says last.
type welcome struct {
	nixVersion string
	trust      Trust
}

func (s *welcome) walk(f *form) {
	if f.Version.AtLeast(33) {
		f.shortText("nix version", &s.nixVersion)
	}
	if f.Version.AtLeast(35) {
		f.small("trust", (*uint8)(&s.trust), uint64(NotTrusted))
	}
}
