package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"troupe/messages"
)

// client makes requests, sometimes withdraws one, and sometimes goes away. It
// makes its own choices from its own numbers, so that they are the same
// whatever else happens.
type client struct {
	w       *World
	address messages.Address
	rng     *rand.Rand
	left    int // requests to come
	open    map[uint64]*messages.RealiseTargets
	lost    []*messages.RealiseTargets // of a service that died
	gone    bool
	// awaitsRest counts the questions for rest that are not answered.
	awaitsRest int
}

func newClient(w *World, i int) *client {
	c := &client{w: w, address: messages.Address(fmt.Sprint(clients, i)), rng: stream(w.Seed, "client", uint64(i)),
		left: w.Requests, open: map[uint64]*messages.RealiseTargets{}}
	c.soon()
	return c
}

// clients begins the addresses of clients.
const clients = "client/"

// client finds the client at an address.
func (w *World) client(at messages.Address) *client {
	if !strings.HasPrefix(string(at), clients) {
		return nil
	}
	for _, c := range w.clients {
		if c.address == at {
			return c
		}
	}
	return nil
}

func (c *client) soon() {
	c.later(c.ask)
}

// later does something after a while, or before that between two steps.
func (c *client) later(do func()) {
	if c.w.Hasty {
		do = sync.OnceFunc(do)
		c.w.afterSteps(c.rng.IntN(hastySteps), do)
	}
	c.w.ev.after(c.while(), "", 0, do)
}

// hastySteps is how many steps of all machines a hasty client thinks at most: a
// goal takes some thirty.
const hastySteps = 150

// while is how long a client thinks: mostly seconds, or hardly any time.
func (c *client) while() time.Duration {
	d := time.Duration(c.rng.IntN(40_000)) * time.Millisecond
	if c.w.Rush {
		d /= 1000
	}
	return d
}

// ask makes the next request.
func (c *client) ask() {
	if c.gone || c.left == 0 {
		return
	}
	if c.w.life == 0 {
		c.soon()
		return
	}
	c.left--
	m := &messages.RealiseTargets{Client: c.address, KeepGoing: c.rng.IntN(2) == 0, Terms: c.w.Terms}
	m.Terms.Limits = c.w.Limits
	if c.rng.IntN(5) == 0 {
		m.Urgency = c.rng.IntN(3)
	}
	for range 1 + c.rng.IntN(3) {
		m.Targets = append(m.Targets, c.target())
	}
	c.make(m)
	if c.left > 0 {
		c.soon()
	}
	if c.rng.IntN(10) == 0 {
		c.later(c.askRest)
	}
	if c.rng.IntN(1000) < c.w.Faults[ClientHangsUp] {
		c.later(c.hangUp)
	}
}

func (c *client) askRest() {
	if c.w.life > 0 {
		c.awaitsRest++
		c.w.send(c.address, messages.Worker, &messages.AwaitRest{From: c.address})
	}
}

func (c *client) target() messages.Target {
	g := c.w.graph
	if len(g.Sources) > 0 && c.rng.IntN(12) == 0 {
		return messages.Target{Path: g.Sources[c.rng.IntN(len(g.Sources))]}
	}
	d := g.Drvs[c.rng.IntN(len(g.Drvs))]
	if c.rng.IntN(8) == 0 {
		if p := d.Outputs[0].Path; !p.IsZero() {
			return messages.Target{Path: p}
		}
	}
	t := messages.Target{Path: d.Drv, Outputs: d.some(c.rng)}
	if c.rng.IntN(15) == 0 {
		t.Mode = []messages.Mode{messages.Check, messages.Repair}[c.rng.IntN(2)]
	}
	return t
}

// make sends a request.
func (c *client) make(m *messages.RealiseTargets) {
	m.Request = c.w.view.newRequest()
	c.open[m.Request] = m
	c.w.send(c.address, messages.Worker, m)
	if c.rng.IntN(1000) < c.w.Faults[ClientCancels] {
		c.later(func() { c.cancel(m.Request) })
	}
}

func (c *client) cancel(id uint64) {
	if c.w.life > 0 { // it may have been answered meanwhile
		c.w.send(c.address, messages.Worker, &messages.CancelRequest{Request: id})
	}
}

// hangUp withdraws everything, as a session whose connection has ended does.
func (c *client) hangUp() {
	c.gone = true
	c.left, c.lost = 0, nil
	if c.w.life > 0 && c.rng.IntN(2) == 0 { // as the door says it of one whose session failed
		c.open = map[uint64]*messages.RealiseTargets{}
		c.w.send(c.address, messages.Worker, &messages.ForgetClient{Client: c.address})
		return
	}
	ids := make([]uint64, 0, len(c.open))
	for id := range c.open {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		c.cancel(id)
	}
}

// hear takes an answer. What is valid is rooted, as a client does that wants to
// keep it.
func (c *client) hear(m messages.Message) {
	a, ok := m.(*messages.TargetsRealised)
	if !ok {
		c.awaitsRest--
		return
	}
	asked := c.open[a.Request]
	if asked == nil && c.gone {
		return // the answer was under way
	}
	if asked == nil {
		c.w.fail("answers", fmt.Sprintf("%s is answered what it did not ask, or twice: %v", c.address, a))
		return
	}
	delete(c.open, a.Request)
	if len(a.Results) != len(asked.Targets) {
		c.w.fail("answers", fmt.Sprintf("%d results for %d targets", len(a.Results), len(asked.Targets)))
		return
	}
	for i, r := range a.Results {
		if r.Status.OK() {
			c.keep(asked.Targets[i], r)
		}
	}
}

func (c *client) keep(t messages.Target, r messages.Result) {
	if !t.IsBuild() {
		c.w.disk.acked[t.Path], c.w.disk.rooted[t.Path] = true, true
	}
	if !r.Covers(t.Outputs) {
		c.w.fail("answers", fmt.Sprintf("%v is said to be there, with %v", t, r.Outputs))
	}
	for _, o := range r.Outputs {
		c.w.disk.acked[o.Path], c.w.disk.rooted[o.Path] = true, true
	}
}

// lose is told that the service died.
func (c *client) lose() {
	c.awaitsRest = 0
	ids := make([]uint64, 0, len(c.open))
	for id := range c.open {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		m := *c.open[id]
		delete(c.open, id)
		if !c.gone {
			c.lost = append(c.lost, &m)
		}
	}
}

// again makes the requests again that the service did not answer.
func (c *client) again() {
	lost := c.lost
	c.lost = nil
	for _, m := range lost {
		if c.rng.IntN(4) > 0 {
			c.make(m)
		}
	}
}
