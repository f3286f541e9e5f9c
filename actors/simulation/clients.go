package simulation

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"troupe/messages"
	"troupe/storage/storepath"
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
	if strings.HasPrefix(string(at), clients) {
		for _, c := range w.clients {
			if c.address == at {
				return c
			}
		}
	}
	return nil
}

func (c *client) soon() { c.later(c.ask) }

func (c *client) later(do func()) { c.w.later(c.rng, do) }

// later lets somebody do something after a while, or before that between two
// steps.
func (w *World) later(rng *rand.Rand, do func()) {
	if w.Hasty {
		do = sync.OnceFunc(do)
		w.afterSteps(rng.IntN(hastySteps), do)
	}
	w.ev.after(w.while(rng), "", 0, do)
}

// hastySteps is how many steps of all machines a hasty client thinks at most: a
// goal takes some thirty.
const hastySteps = 150

// while is how long a client thinks: mostly seconds, or hardly any time.
func (w *World) while(rng *rand.Rand) time.Duration {
	d := time.Duration(rng.IntN(40_000)) * time.Millisecond
	if w.Rush {
		d /= 1000
	}
	return d
}

// ask makes the next request.
func (c *client) ask() {
	if c.gone || c.left == 0 {
		return
	}
	if c.w.life == 0 || c.w.sessions.ending != serving {
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
		m.Targets = append(m.Targets, c.w.target(c.rng))
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

// target is something that somebody may want.
func (w *World) target(rng *rand.Rand) messages.Target {
	g := w.graph
	if len(g.Sources) > 0 && rng.IntN(12) == 0 {
		return messages.Target{Path: g.Sources[rng.IntN(len(g.Sources))]}
	}
	d := g.Drvs[rng.IntN(len(g.Drvs))]
	if rng.IntN(8) == 0 {
		if p := d.Outputs[0].Path; !p.IsZero() {
			return messages.Target{Path: p}
		}
	}
	t := messages.Target{Path: d.Drv, Outputs: d.some(rng)}
	if rng.IntN(15) == 0 {
		t.Mode = []messages.Mode{messages.Check, messages.Repair}[rng.IntN(2)]
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
	c.cancelAll()
}

func (c *client) cancelAll() {
	for _, id := range slices.Sorted(maps.Keys(c.open)) {
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
	for _, p := range c.w.granted(asked.Targets, a.Results) {
		c.w.disk.keep(p...)
	}
}

// granted are the paths that an answer says are valid, by target.
func (w *World) granted(targets []messages.Target, results []messages.Result) [][]storepath.Path {
	if len(results) != len(targets) {
		w.fail("answers", fmt.Sprintf("%d results for %d targets", len(results), len(targets)))
		return nil
	}
	paths := make([][]storepath.Path, len(targets))
	for i, r := range results {
		if t := targets[i]; r.Status.OK() && !r.Covers(t.Outputs) {
			w.fail("answers", fmt.Sprintf("%v is said to be there, with %v", t, r.Outputs))
		}
		paths[i] = claimed(targets[i], r)
	}
	return paths
}

// lose is told that the service died.
func (c *client) lose() {
	c.awaitsRest = 0
	for _, id := range slices.Sorted(maps.Keys(c.open)) {
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
