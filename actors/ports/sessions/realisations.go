package sessions

import (
	"fmt"

	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// drvOutput is the output that a client names: by the hash of its derivation, or
// by a derivation in the store.
func (c *connection) drvOutput(o workerproto.DrvOutput) (validity.DrvOutput, error) {
	id := validity.DrvOutput{Hash: o.Hash, Output: o.Output}
	if !o.Hash.IsZero() {
		return id, nil
	}
	if _, err := c.validInfo(o.Drv); err != nil {
		return id, err
	}
	var err error
	id.Hash, err = c.p.s.OutputHash(o.Drv)
	return id, err
}

// queryRealisation says where an output lies. Of a derivation that is not there
// nothing is known, as of any other.
func (c *connection) queryRealisation(q *workerproto.QueryRealisation) (workerproto.Reply, error) {
	reply := &workerproto.OptionalRealisation{}
	if q.ID.Hash.IsZero() {
		if durable, err := c.p.s.DB.Durable(q.ID.Drv); err != nil || !durable {
			return reply, err
		}
	}
	id, err := c.drvOutput(q.ID)
	if err != nil {
		return nil, err
	}
	r, ok, err := c.p.s.DB.Realisation(id)
	if err != nil || !ok {
		return reply, err
	}
	if durable, err := c.p.s.DB.Durable(r.Path); err != nil || !durable {
		return reply, err
	}
	reply.Realisation = &workerproto.Realisation{ID: q.ID, OutPath: r.Path, Signatures: r.Signatures}
	return reply, nil
}

// registerRealisation takes a client's word for where an output lies. It decides
// what is built with the derivation from now on, so that it takes trust, or the
// signature of somebody who is trusted.
func (c *connection) registerRealisation(q *workerproto.RegisterDrvOutput) (workerproto.Reply, error) {
	if err := c.require("ca-derivations", ""); err != nil {
		return nil, err
	}
	said := q.Realisation
	id, err := c.drvOutput(said.ID)
	if err != nil {
		return nil, err
	}
	if _, err := c.validInfo(said.OutPath); err != nil {
		return nil, err
	}
	r := validity.Realisation{ID: id, Path: said.OutPath, Drv: said.ID.Drv, Signatures: said.Signatures}
	trust := c.p.settings.Load().Trust
	if !c.trusted && !trust.Everything && trust.Keys.ValidRealisation(r) == 0 {
		return nil, fmt.Errorf("cannot register realisation '%s' because it lacks a signature by a trusted key", r.Path.Base())
	}
	old, known, err := c.p.s.DB.Realisation(id)
	if err != nil {
		return nil, err
	}
	if known && old.Path != r.Path {
		return nil, fmt.Errorf("trying to register a realisation of '%v', but we already have another one locally.\nLocal:  %s\nRemote: %s",
			id, c.d.Dir.Join(old.Path), c.d.Dir.Join(r.Path))
	}
	if err := c.keep(r.Path); err != nil {
		return nil, err
	}
	return &workerproto.Nothing{}, c.p.s.DB.RegisterProvisional(validity.Registration{Realisations: []validity.Realisation{r}})
}

// realisation is where an output lies, as it is told with a result. Clients ask for
// it again by its name, also of outputs whose derivations tell: so it is noted.
func (c *connection) realisation(drv storepath.Path, o messages.Output) (workerproto.Realisation, error) {
	d, err := c.p.s.ReadDerivation(drv)
	if err != nil {
		return workerproto.Realisation{}, err
	}
	hash, err := c.p.s.Hashes.Of(d)
	if err != nil {
		return workerproto.Realisation{}, err
	}
	told := workerproto.Realisation{ID: workerproto.DrvOutput{Hash: hash, Drv: drv, Output: o.Name}, OutPath: o.Path}
	id := validity.DrvOutput{Hash: hash, Output: o.Name}
	r, known, err := c.p.s.DB.Realisation(id)
	if err == nil && !known && d.KnowsOutputs() {
		r = validity.Realisation{ID: id, Path: o.Path, Drv: drv}
		err = c.p.s.DB.RegisterProvisional(validity.Registration{Realisations: []validity.Realisation{r}})
	}
	if r.Path == o.Path {
		told.Signatures = r.Signatures
	}
	return told, err
}
