package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"troupe/messages"
	"troupe/storage/storepath"
)

// guest comes to the service through its door, one visit after the other. A wish
// that was not answered is taken along to the next.
type guest struct {
	w      *World
	rng    *rand.Rand
	visits int // to come
	wish   *messages.RealiseForClient
	now    *visit // nil between two
	keeps  bool   // roots what it is given, rather than rely on its session
	within *nest  // nil: it is no builder
	terms  messages.Terms
}

func newGuest(w *World, i int) *guest {
	g := &guest{w: w, rng: stream(w.Seed, "guest", uint64(i)), terms: w.Terms}
	g.visits, g.keeps = 1+g.rng.IntN(w.Requests+1), g.rng.IntN(2) == 0
	if g.rng.IntN(6) == 0 { // for one small thing after the other
		g.visits += 8
	}
	g.terms.Limits = w.Limits
	switch g.rng.IntN(12) {
	case 0:
		g.terms.Settings = "substituters = another\n"
	case 1:
		g.terms.Fallback = !g.terms.Fallback
	case 2:
		g.terms.Jobs = w.Slots + 1 + g.rng.IntN(2)
	case 3:
		g.terms.Jobs = messages.NoLocalBuilds
	}
	g.soon()
	return g
}

func (g *guest) soon() { g.w.later(g.rng, g.knock) }

// knock begins a visit. Where nobody serves, or the service is about to end, that is
// tried again, but for those who connected a moment too early.
func (g *guest) knock() {
	if g.visits == 0 || g.now != nil {
		return
	}
	if g.w.life == 0 || g.w.sessions.ending != serving && g.rng.IntN(3) > 0 {
		g.soon()
		return
	}
	g.visits--
	g.mayHangUp(g.connects(&messages.ClientConnected{}))
}

// connects begins a visit.
func (g *guest) connects(m *messages.ClientConnected) *visit {
	v := &visit{w: g.w, guest: g, address: messages.Address(fmt.Sprint(sessions, g.w.view.newRequest())), left: 1 + g.rng.IntN(g.w.Requests)}
	g.now = v
	g.w.sessions.visits[v.address] = v
	m.Session = v.address
	g.w.send(messages.Sessions, messages.Door, m)
	return v
}

// mayHangUp lets a visit end at any moment, now and then.
func (g *guest) mayHangUp(v *visit) {
	if g.rng.IntN(1000) < g.w.Faults[ClientHangsUp]+g.w.Faults[ClientCancels] {
		g.w.later(g.rng, v.hangUp)
	}
}

// busy reports whether a guest is there, or will come.
func (g *guest) busy() bool { return g.visits > 0 || g.now != nil }

// sessions begins the addresses of sessions.
const sessions = "session/"

// visit is one connection, as the port has it.
type visit struct {
	w       *World
	guest   *guest
	address messages.Address // of the session's actor
	state   visitState
	last    bool // the connection is closed when the operation under way is over
	left    int  // requests to come
	asked   *messages.RealiseForClient
	told    []storepath.Path // what it was told is valid
}

type visitState uint8

const (
	knocking visitState = iota // the door is asked
	entering                   // it is let in, which the client does not know yet
	resting                    // nothing is under way
	working                    // the port does something by itself, or waits for the client to read
	asking                     // the session is asked
	ended
)

const enterTime = 5 * time.Millisecond

func (v *visit) admitted(refusal string) {
	if v.state != knocking {
		v.w.fail("sessions", string(v.address)+" is let in, or refused, twice")
		return
	}
	if refusal != "" {
		v.over()
		return
	}
	v.state = entering
	v.w.ev.after(time.Duration(v.guest.rng.Int64N(int64(enterTime))), "", v.w.life, v.enters)
}

// enters lets a client in, or notices that it is gone.
func (v *visit) enters() {
	if v.state != entering {
		return
	}
	if v.state = resting; v.last {
		v.end()
		return
	}
	v.goesOn()
}

// goesOn lets the client think of what to do next.
func (v *visit) goesOn() { v.w.later(v.guest.rng, v.next) }

func (v *visit) next() {
	switch {
	case v.state != resting:
	case v.left == 0:
		v.end()
	case v.guest.rng.IntN(6) == 0:
		v.left--
		v.works(time.Duration(v.guest.rng.IntN(20_000)) * time.Millisecond)
	default:
		v.left--
		v.ask()
	}
}

// works does what takes no actor, such as an upload. What it adds or names is kept
// for the client.
func (v *visit) works(d time.Duration) {
	v.state = working
	if s := v.w.graph.Sources; len(s) > 0 {
		v.w.disk.leases.add(v.address, s[v.guest.rng.IntN(len(s))])
	}
	v.w.ev.after(d, "", v.w.life, v.rests)
}

// rests ends an operation.
func (v *visit) rests() {
	if v.state != working {
		return
	}
	if v.state = resting; v.last {
		v.end()
		return
	}
	v.goesOn()
}

func (v *visit) ask() {
	g := v.guest
	m := g.wish
	g.wish = nil
	if m == nil {
		m = &messages.RealiseForClient{KeepGoing: g.rng.IntN(2) == 0, Terms: g.terms}
		for range 1 + g.rng.IntN(3) {
			m.Targets = append(m.Targets, v.w.target(g.rng))
		}
	}
	m.Request, m.Within = v.w.view.newRequest(), g.within.goal()
	v.state, v.asked = asking, m
	v.w.send(messages.Sessions, v.address, m)
	g.mayHangUp(v)
}

// answered gives an answer to the client, who takes a moment to read it, or never
// does.
func (v *visit) answered(m *messages.ClientAnswered) {
	if v.state != asking || m.Request != v.asked.Request {
		v.w.fail("answers", fmt.Sprintf("%s is answered what it did not ask, or twice: %v", v.address, m))
		return
	}
	asked := v.asked
	v.state = working
	if m.Refused == "" {
		v.asked = nil
		v.hear(asked.Targets, m.Results)
	}
	reads := time.Duration(v.guest.rng.IntN(50)) * time.Millisecond
	if v.guest.rng.IntN(1000) < v.w.Faults[DoesNotRead] {
		reads = 10 * time.Minute
	}
	v.w.ev.after(reads, "", v.w.life, v.rests)
}

func (v *visit) hear(targets []messages.Target, results []messages.Result) {
	for i, p := range v.w.granted(targets, results) {
		if v.guest.keeps {
			v.w.disk.keep(p...)
		}
		if results[i].Status.OK() {
			v.told = append(v.told, p...)
			v.guest.within.see(p)
			v.w.disk.changes++ // what was promised is looked at again
		}
	}
}

// close is what the service does to a connection: once the operation under way
// is over, or now.
func (v *visit) close(now bool) {
	v.last = true
	if v.state == resting || now && (v.state == working || v.state == asking) {
		v.end()
	}
}

// hangUp is what the client does. While the door is asked nobody looks.
func (v *visit) hangUp() {
	switch v.state {
	case ended:
	case knocking, entering:
		v.last = true
	default:
		v.end()
	}
}

// end tells the session that its client is gone.
func (v *visit) end() {
	v.w.send(messages.Sessions, v.address, &messages.ClientGone{})
	v.over()
}

// over ends a visit; what was not answered is mostly asked for again.
func (v *visit) over() {
	g := v.guest
	v.state, g.now = ended, nil
	delete(v.w.sessions.visits, v.address)
	if v.asked != nil && g.rng.IntN(4) > 0 {
		again := *v.asked
		again.Targets = slices.Clone(again.Targets)
		g.wish = &again
	}
	if g.visits > 0 {
		g.soon()
	}
	g.within.over()
}
