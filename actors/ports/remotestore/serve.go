package remotestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"troupe/messages/workerproto"
	"troupe/storage/nixhash"
	"troupe/storage/realisation"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// The protocol of nix-store --serve, as Nix 2.8.0 and 2.34.8 speak it: numbers and
// strings are those of the worker protocol. Nothing but a reply comes, and after an
// error the end.
const (
	serveMagic  = 0x390c9deb
	servedMagic = 0x5452eecb
	serveOldest = 2<<8 | 5 // adds archives with all that is known of them
	serveNewest = 2<<8 | 7

	serveValid   = 1
	serveInfos   = 2
	serveArchive = 3
	serveAdd     = 9

	maxText = 4 << 10 // of a path, a hash, a signature
)

// serving is a store at the other end of nix-store --serve. The connections are its
// own.
type serving struct{ *Store }

// serveCommand is the server at the other end.
func (c *Config) serveCommand() []string {
	return c.withStore(append(c.RemoteProgram[:len(c.RemoteProgram):len(c.RemoteProgram)], "--serve", "--write"))
}

// greetServe agrees on a version, which is of no further consequence.
func (c *Conn) greetServe(dir storepath.Dir) error {
	c.Dir = dir
	c.w.Int(serveMagic)
	c.w.Int(serveNewest)
	if err := c.w.Flush(); err != nil {
		return c.Lost(err)
	}
	c.r.Begin()
	magic, err := c.r.Int()
	if err == nil && magic != servedMagic {
		err = fmt.Errorf("it does not speak as nix-store --serve does: %#x", magic)
	}
	if err != nil {
		return c.Lost(err)
	}
	version, err := c.r.Int()
	switch {
	case err != nil:
		return c.Lost(err)
	case version>>8 != serveNewest>>8 || version < serveOldest:
		return &RefusedError{c.store, fmt.Sprintf("it speaks version %d.%d of nix-store --serve, and 2.5 is needed", version>>8, version&0xff)}
	}
	return nil
}

// ask sends a request, and reads its reply. Where either fails nobody knows what
// comes next.
func (s *serving) ask(ctx context.Context, send func(*Conn) error, reply func(*Conn) error) error {
	return s.Do(ctx, func(c *Conn) error {
		return c.interruptible(ctx, func() error {
			err := send(c)
			if err == nil {
				err = c.w.Flush()
			}
			if err == nil {
				c.r.Begin()
				err = reply(c)
			}
			var out *sourceError
			switch {
			case errors.As(err, &out):
				c.broken.Store(true)
				return out.err
			case err != nil:
				return c.Lost(err)
			}
			c.heard++
			return nil
		})
	})
}

func (c *Conn) sendPaths(paths []storepath.Path) {
	c.w.Int(uint64(len(paths)))
	for _, p := range slices.SortedFunc(slices.Values(paths), storepath.Path.Compare) {
		c.w.String(c.Dir.Join(p))
	}
}

// readPath reads a path, or "" for none.
func (c *Conn) readPath() (p storepath.Path, err error) {
	text, err := c.r.String(maxText)
	if err == nil && text != "" {
		p, err = c.Dir.Parse(text)
	}
	return p, err
}

// readList reads a count and as many items.
func readList[T any](c *Conn, item func() (T, error)) (list []T, err error) {
	n, err := c.r.Count(8)
	for range n {
		if err != nil {
			break
		}
		var v T
		v, err = item()
		list = append(list, v)
	}
	return list, err
}

func (s *serving) Valid(ctx context.Context, paths []storepath.Path, substitute bool) (valid []storepath.Path, err error) {
	err = s.ask(ctx, func(c *Conn) error {
		c.w.Int(serveValid)
		c.w.Bool(true) // keep them for as long as the connection lasts
		c.w.Bool(substitute)
		c.sendPaths(paths)
		return nil
	}, func(c *Conn) (err error) {
		valid, err = readList(c, c.readPath)
		return err
	})
	return valid, err
}

func (s *serving) Info(ctx context.Context, p storepath.Path) (info validity.Info, found bool, err error) {
	err = s.ask(ctx, func(c *Conn) error {
		c.w.Int(serveInfos)
		c.sendPaths([]storepath.Path{p})
		return nil
	}, func(c *Conn) error {
		got, err := c.readPath()
		if err != nil || got.IsZero() {
			return err
		}
		if got != p {
			return fmt.Errorf("it tells of '%s', not of '%s'", c.Dir.Join(got), c.Dir.Join(p))
		}
		if info, err = c.readInfo(p); err != nil {
			return err
		}
		found = true
		if more, err := c.readPath(); err != nil || !more.IsZero() {
			return errors.Join(err, errors.New("it tells of more than it was asked for"))
		}
		return nil
	})
	return info, found, err
}

func (c *Conn) readInfo(p storepath.Path) (info validity.Info, err error) {
	info.Path = p
	var hash string
	fields := []func() error{
		func() (err error) { info.Deriver, err = c.readPath(); return err },
		func() (err error) { info.References, err = readList(c, c.readPath); return err },
		func() (err error) { _, err = c.r.Int(); return err }, // to be downloaded, which is not so
		func() (err error) { info.NarSize, err = c.r.Int(); return err },
		func() (err error) { hash, err = c.r.String(maxText); return err },
		func() (err error) { info.CA, err = c.r.String(maxText); return err },
		func() (err error) {
			info.Signatures, err = readList(c, func() (string, error) { return c.r.String(maxText) })
			return err
		},
		func() (err error) { info.NarHash, err = nixhash.Parse(hash, nixhash.SHA256); return err },
	}
	for _, read := range fields {
		if err := read(); err != nil {
			return info, err
		}
	}
	return info, nil
}

func (s *serving) NAR(ctx context.Context, p storepath.Path, w io.Writer) error {
	return s.ask(ctx, func(c *Conn) error {
		c.w.Int(serveArchive)
		c.w.String(c.Dir.Join(p))
		return nil
	}, func(c *Conn) error {
		out := &noting{w: w}
		err := copyArchive(out, c.r)
		if out.err != nil {
			return &sourceError{out.err}
		}
		return err
	})
}

// Add sends one object after another. Signatures are not asked for there.
func (s *serving) Add(ctx context.Context, t Terms, objects ...Object) error {
	if t.Repair {
		return &workerproto.UnsupportedError{What: fmt.Sprintf("repairing paths of '%s'", s)}
	}
	for _, o := range objects {
		if err := s.ask(ctx, func(c *Conn) error { return c.sendObject(o) }, (*Conn).readOne); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) readOne() error {
	n, err := c.r.Int()
	if err == nil && n != 1 {
		err = fmt.Errorf("it says %d, not that it is done", n)
	}
	return err
}

func (c *Conn) sendObject(o Object) error {
	i := o.Info
	c.w.Int(serveAdd)
	c.w.String(c.Dir.Join(i.Path))
	if i.Deriver.IsZero() {
		c.w.String("")
	} else {
		c.w.String(c.Dir.Join(i.Deriver))
	}
	c.w.String(i.NarHash.Base16())
	c.sendPaths(i.References)
	c.w.Int(uint64(max(i.RegistrationTime, 0)))
	c.w.Int(i.NarSize)
	c.w.Bool(i.Ultimate)
	c.w.Int(uint64(len(i.Signatures)))
	for _, sig := range i.Signatures {
		c.w.String(sig)
	}
	c.w.String(i.CA)
	out := &noting{w: c.w}
	err := o.Archive(out)
	if err != nil && out.err == nil {
		return &sourceError{err}
	}
	return err
}

// Realisation: the protocol does not know of them.
func (*serving) Realisation(context.Context, realisation.ID) (r realisation.Realisation, found bool, err error) {
	return r, false, nil
}

func (s *serving) Realise(_ context.Context, r realisation.Realisation) error {
	return &workerproto.UnsupportedError{What: fmt.Sprintf("telling '%s' where '%v' lies", s, r.ID)}
}
