package sessions

import (
	"errors"

	"troupe/actors/ports"
	"troupe/messages"
	"troupe/messages/workerproto"
)

// setOptions takes what the client sets. What it may not set is not taken, and
// said.
func (c *connection) setOptions(q *workerproto.SetOptions) (workerproto.Reply, error) {
	if q.Overrides[ports.IdentitySetting] == c.p.s.Identity {
		return nil, errors.New("the machine that is to build is this very daemon")
	}
	delete(q.Overrides, ports.IdentitySetting)
	c.set = q
	c.out.mu.Lock()
	c.out.verbosity = q.Verbosity
	c.out.mu.Unlock()
	_, warnings := c.p.settings.Load().Terms(q, c.trusted)
	for _, w := range warnings {
		c.out.warn(w)
	}
	return &workerproto.Nothing{}, nil
}

// terms are on what the client's builds are made, by the settings of now.
func (c *connection) terms() messages.Terms {
	if c.nest != nil { // the worker has the rest of them
		return messages.Terms{Settings: c.nest.Settings}
	}
	if now := c.p.settings.Load(); c.agreed.by != now || c.agreed.set != c.set {
		c.agreed = agreed{by: now, set: c.set}
		c.agreed.terms, _ = now.Terms(c.set, c.trusted)
	}
	return c.agreed.terms
}

// agreed are the terms that follow from settings and from what a client has set.
type agreed struct {
	by    *Settings
	set   *workerproto.SetOptions
	terms messages.Terms
}

// require refuses what takes an experimental feature that the service has not on.
func (c *connection) require(feature, why string) error {
	policy, err := c.p.s.PolicyOf("")
	if err != nil {
		return err
	}
	return policy.Experimental.Require(feature, why)
}

func (c *connection) keepGoing() bool { return c.set != nil && c.set.KeepGoing }
