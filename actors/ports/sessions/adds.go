package sessions

import (
	"context"
	"errors"
	"io"
	"strings"

	"troupe/messages/workerproto"
	"troupe/storage/addition"
	"troupe/storage/derivation"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// adder adds for this client: what it adds is kept while the client is there.
func (c *connection) adder() (*addition.Adder, error) {
	policy, err := c.p.s.PolicyOf(c.terms().Settings)
	trust := c.p.settings.Load().Trust
	if c.trusted { // and may name keys, but not do without any
		trust.Keys = policy.Caches.Trust.Keys
	}
	return &addition.Adder{Layout: c.p.s.Layout, DB: c.p.s.DB, Trust: trust, Keep: c.keep,
		Stages: c.p.s.Stages, Spares: c.p.s.Spares, Optimiser: c.p.s.OptimiserFor(policy), Admit: policy.Experimental.Allow, Modulos: c.p.modulos, Lent: c.p.s.Lent}, err
}

// committed makes paths durable, so that the client may be told. So they are made
// also when it has gone: what stays provisional is never garbage.
func (c *connection) committed(a *addition.Adder, err error, paths ...storepath.Path) error {
	if err != nil {
		return err
	}
	return a.Commit(context.WithoutCancel(c.ctx), paths...)
}

// told is committed for what a client adds by its contents; a derivation is owed.
func (c *connection) told(a *addition.Adder, err error, p storepath.Path) error {
	if err != nil || !c.p.s.DB.Provisional(p) {
		return err
	}
	if p.IsDerivation() && c.nest == nil {
		c.owe(p)
		return nil
	}
	return c.committed(a, nil, p)
}

func (c *connection) addToStore(q *workerproto.AddToStore, b io.Reader) (workerproto.Reply, error) {
	a, err := c.adder()
	if err != nil {
		return nil, err
	}
	o := addition.Object{Name: q.Name, Method: q.Method, Algorithm: q.Algorithm, References: q.References, Repair: q.Repair && c.trusted}
	var p storepath.Path
	if q.Stream(c.d) == workerproto.StreamNAR && q.Method == storepath.Flat {
		p, err = c.addOldFlat(a, o, b)
	} else {
		p, err = a.Add(c.ctx, o, b)
	}
	if err := c.told(a, err, p); err != nil {
		return nil, err
	}
	info, ok, err := c.p.s.DB.Get(p) // it may be owed
	return &workerproto.AddedPath{Info: workerproto.ValidPathInfo(info)}, c.valid(p, ok, err)
}

// addOldFlat adds a single file that comes as an archive.
func (c *connection) addOldFlat(a *addition.Adder, o addition.Object, archive io.Reader) (p storepath.Path, err error) {
	contents, end := io.Pipe()
	unpacked := make(chan error, 1)
	go func() {
		err := unpackFile(archive, end)
		end.CloseWithError(err)
		unpacked <- err
	}()
	p, err = a.Add(c.ctx, o, contents)
	contents.Close() // so that what unpacks goes on to its end
	return p, errors.Join(err, <-unpacked)
}

func (c *connection) addText(q *workerproto.AddTextToStore) (workerproto.Reply, error) {
	a, err := c.adder()
	if err != nil {
		return nil, err
	}
	p, err := a.Add(c.ctx, addition.Object{Name: q.Name, Method: storepath.Text, Algorithm: nixhash.SHA256, References: q.References},
		strings.NewReader(q.Text))
	return &workerproto.Path{Path: p}, c.told(a, err, p)
}

func (c *connection) addDerivation(d *derivation.Derivation) (storepath.Path, error) {
	a, err := c.adder()
	if err != nil {
		return storepath.Path{}, err
	}
	p, err := a.Derivation(c.ctx, d)
	return p, c.committed(a, err, p)
}

func (c *connection) conditions(repair, dontCheckSigs bool) addition.Terms {
	return addition.Terms{Trusted: c.trusted, CheckSigs: !dontCheckSigs, Repair: repair && c.trusted, Prove: c.nest != nil}
}

func (c *connection) addNar(q *workerproto.AddToStoreNar, b io.Reader) (workerproto.Reply, error) {
	a, err := c.adder()
	if err != nil {
		return nil, err
	}
	err = a.AddNar(c.ctx, validity.Info(q.Info), b, c.conditions(q.Repair, q.DontCheckSigs))
	return &workerproto.Nothing{}, c.committed(a, err, q.Info.Path)
}

func (c *connection) addMany(q *workerproto.AddMultipleToStore, b io.Reader) (workerproto.Reply, error) {
	return &workerproto.Nothing{}, c.addEach(q, b, func(validity.Info) error { return nil })
}

// addEach adds what comes in one stream, which has a layout of its own, as long as
// nothing is said against one.
func (c *connection) addEach(q *workerproto.AddMultipleToStore, b io.Reader, admit func(validity.Info) error) error {
	r := workerproto.NewReader(b)
	left, err := r.Int()
	if err != nil {
		return err
	}
	next := func() (addition.Item, error) {
		if left == 0 {
			return addition.Item{}, io.EOF
		}
		left--
		info, err := workerproto.ReadPathInfo(r, c.d)
		info.Ultimate = false // it was made elsewhere
		if err == nil {
			err = admit(validity.Info(info))
		}
		return addition.Item{Info: validity.Info(info), Archive: r}, err
	}
	a, err := c.adder()
	if err != nil {
		return err
	}
	return a.AddMany(c.ctx, next, c.conditions(q.Repair, q.DontCheckSigs))
}
