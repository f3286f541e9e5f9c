package remote

import (
	"context"
	"iter"

	"troupe/actors/ports/remotestore"
	"troupe/messages/workerproto"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Records is what the daemon knows of valid paths. It answers as [validity.DB]
// does.
type Records struct {
	ctx context.Context // of the command that asks
	c   *Client
}

// Records asks through the connection, as long as ctx lasts.
func (c *Client) Records(ctx context.Context) *Records { return &Records{ctx, c} }

// Get returns the record of a path, and whether there is one.
func (r *Records) Get(p storepath.Path) (validity.Info, bool, error) {
	return r.c.Info(r.ctx, p)
}

// Valid says whether a path is valid.
func (r *Records) Valid(p storepath.Path) (bool, error) {
	reply, err := remotestore.Tell[*workerproto.Bool](r.ctx, r.c.Conn, &workerproto.IsValidPath{Path: p})
	return err == nil && reply.Value, err
}

// Closure yields the roots and all that they refer to, each path once, nearer
// paths first. It is a [*validity.NotValidError] when a root is not valid.
func (r *Records) Closure(roots ...storepath.Path) iter.Seq2[storepath.Path, error] {
	return func(yield func(storepath.Path, error) bool) {
		seen := map[storepath.Path]bool{}
		for next := roots; len(next) > 0; next = next[1:] {
			p := next[0]
			if seen[p] {
				continue
			}
			seen[p] = true
			info, ok, err := r.Get(p)
			if err == nil && !ok {
				err = &validity.NotValidError{Path: p}
			}
			if !yield(p, err) || err != nil {
				return
			}
			next = append(next, info.References...)
		}
	}
}

// All yields the record of every valid path, in the order of their names. What
// became invalid meanwhile is left out.
func (r *Records) All() iter.Seq2[validity.Info, error] {
	return func(yield func(validity.Info, error) bool) {
		reply, err := remotestore.Tell[*workerproto.Paths](r.ctx, r.c.Conn, &workerproto.QueryAllValidPaths{})
		if err != nil {
			yield(validity.Info{}, err)
			return
		}
		for _, p := range reply.Paths {
			info, ok, err := r.Get(p)
			if err == nil && !ok {
				continue
			}
			if !yield(info, err) || err != nil {
				return
			}
		}
	}
}

// Derivers are the valid derivations that have p as an output, sorted.
func (r *Records) Derivers(p storepath.Path) ([]storepath.Path, error) {
	reply, err := remotestore.Tell[*workerproto.Paths](r.ctx, r.c.Conn, &workerproto.QueryValidDerivers{Path: p})
	if err != nil {
		return nil, err
	}
	return reply.Paths, nil
}

// Outputs are the outputs of a valid derivation, sorted by name.
func (r *Records) Outputs(drv storepath.Path) ([]workerproto.Output, error) {
	reply, err := remotestore.Tell[*workerproto.OutputMap](r.ctx, r.c.Conn, &workerproto.QueryDerivationOutputMap{Path: drv})
	if err != nil {
		return nil, err
	}
	return reply.Outputs, nil
}
