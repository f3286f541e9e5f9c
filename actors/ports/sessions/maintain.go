package sessions

import (
	"troupe/messages/workerproto"
)

// maintain performs what keeps a store in order.
func (c *connection) maintain(q workerproto.Request, b *body) (workerproto.Reply, error) {
	switch q := q.(type) {
	case *workerproto.AddSignatures:
		return &workerproto.One{}, c.p.s.DB.AddSignatures(q.Path, q.Signatures...)
	}
	return nil, nil
}
