package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"troupe/actors/goal"
	"troupe/actors/host"
	"troupe/actors/machines"
	"troupe/actors/session"
	"troupe/actors/store"
	"troupe/messages"
)

// World is one run.
type World struct {
	Scenario
	graph  *Graph
	rng    *rand.Rand
	net    *network
	ev     *events
	disk   *disk
	view   *view
	engine engine
	life   int // of the service, from 1; 0 while it is dead
	lives  int

	builds   map[messages.Address]*build
	anew     int // impure outputs that were made
	fetches  map[messages.Address]*fetch
	caches   []*binaryCache
	users    *users
	locks    *locks
	builders *builders
	timers   map[timerKey]*event
	meddled  int // how often clients acted at the worst moment
	clients  []*client
	guests   []*guest

	sessions *sessionsPort

	checkers []checker
	steps    int
	dieAt    int // the step at which the service is killed, if that is positive
	endAt    int // the step at which it is told to end, if that is positive
	awaited  []awaited
	checkAt  int // the step before which a quiet world is not looked at again
	trace    trace
	traced   bool // the trace is looked at: the world has failed before
	coverage *Coverage
	failure  *Failure
}

// Failure is an invariant that did not hold.
type Failure struct {
	Seed      uint64   // the seed that was run
	Scenario  Scenario // in which it failed: a smaller one, once it was shrunk
	Invariant string
	Text      string
	Steps     int
	At        time.Duration
	Trace     []string // the last lines of what happened
}

func (f *Failure) Error() string { return f.Invariant + ": " + f.Text }

// Options say how a run is observed.
type Options struct {
	Journal  host.Journal // nil: none
	Coverage *Coverage    // nil: none
	Tree     bool         // run the real tree of actors instead of the plain machines
	// Unchecked leaves out the checkers, which look at all goals after every step.
	Unchecked bool
}

// Result is how a run went.
type Result struct {
	Steps   int
	Elapsed time.Duration // in the world's own time
	Failure *Failure      // nil: none
}

// Run runs a scenario until nothing is left to happen, or an invariant fails. One
// that failed is run again, to be looked at more closely.
func Run(s Scenario, o Options) Result {
	r := newWorld(s, o).run()
	if r.Failure == nil || o.Tree || o.Journal != nil {
		return r
	}
	w := newWorld(s, Options{})
	w.traced = true
	if again := w.run(); again.Failure != nil {
		return again
	}
	return r
}

func (w *World) run() Result {
	w.start()
	maxSteps, maxTime := w.bounds()
	for w.failure == nil && w.turn() {
		if w.steps > maxSteps || w.ev.now > maxTime {
			w.fail("rest", "the world does not come to rest")
		}
	}
	if w.failure == nil {
		w.end()
	}
	if w.life > 0 {
		w.engine.stop()
	}
	return Result{Steps: w.steps, Elapsed: w.ev.now, Failure: w.failure}
}

func newWorld(s Scenario, o Options) *World {
	w := &World{Scenario: s, graph: s.Graph, rng: stream(s.Seed, "world"), net: newNetwork(stream(s.Seed, "order"), s.Slow), ev: newEvents(),
		disk: newDisk(), view: newView(), coverage: o.Coverage, timers: map[timerKey]*event{}}
	if w.graph == nil {
		w.graph = randomGraph(s)
	}
	w.users, w.locks, w.builders = newUsers(w), newLocks(w), newBuilders(w)
	if !o.Unchecked {
		w.checkers = checkersFor(s)
	}
	if o.Tree {
		w.engine = newTree(w, o.Journal)
	} else {
		w.engine = newPlain(w, o.Journal)
	}
	if s.Demand != nil {
		w.net.rng = nil
		w.meeting()
	} else {
		w.disk.stock(w.graph.Sources)
		w.stockCaches()
		w.traceCaches()
	}
	if w.hit(ServiceDies) {
		w.dieAt = w.someStep()
	}
	if w.hit(ServiceEnds) {
		w.endAt = w.someStep()
	}
	return w
}

// someStep is one of those that a world is likely to have.
func (w *World) someStep() int { return 1 + w.rng.IntN(60*len(w.graph.Drvs)*w.Requests) }

// Settings are what the machines of a scenario are made with.
func Settings(s Scenario) machines.Settings {
	if s.Demand != nil {
		m := s.Demand.Settings
		m.Slots = s.Policy
		return m
	}
	return machines.Settings{
		Goal:    goal.Policy{StoreDir: "/nix/store", CacheFailure: s.Seed%3 == 0},
		Store:   store.Policy{Gather: 1 + int(s.Seed%7), Linger: time.Duration(1+s.Seed%5) * time.Second},
		Door:    session.Policy{MaxSessions: s.Doors},
		MaxJobs: s.Slots, MaxSubstitutions: s.Fetches, Slots: s.Policy, Users: buildUsers(s), NoUsers: "there are no build users",
	}
}

// hit draws whether a fault happens at an opportunity for it.
func (w *World) hit(f Fault) bool { return w.Faults[f] > 0 && w.rng.IntN(1000) < w.Faults[f] }

// start brings the clients, and the service to life.
func (w *World) start() {
	w.live()
	if w.Demand != nil {
		w.clients = demandClients(w)
		return
	}
	for i := range w.Clients {
		w.clients = append(w.clients, newClient(w, i))
	}
	for i := range w.Guests {
		w.guests = append(w.guests, newGuest(w, i))
	}
	if w.Faults[LockTaken] > 0 {
		w.locks.othersCome()
	}
	if w.Faults[Collection] > 0 {
		w.collectLater()
	}
}

// send puts a message under way.
func (w *World) send(from, to messages.Address, m messages.Message) { w.net.send(from, to, m) }

// port lets the world take what a machine asks of it.
func (w *World) port(to messages.Address, m messages.Message) {
	switch to {
	case messages.Clock:
		w.clock(m)
	case messages.Database:
		w.database(m)
	case messages.Builds:
		w.buildsPort(m)
	case messages.Caches:
		w.cachesPort(m)
	case messages.Process:
		w.process(m)
	case messages.Users:
		w.users.take(m)
	case messages.Locks:
		w.locks.take(m)
	case messages.Hooks:
		w.builders.take(m)
	case messages.Progress:
		w.view.progress(m)
	case messages.Sessions:
		w.sessions.take(m)
	case messages.Clients:
		w.restComes()
	default:
		panic(fmt.Sprintf("the world has no port %s", to))
	}
}

// work does something for the service after a while. Of a recorded demand the
// builds' durations have it all.
func (w *World) work(owner messages.Address, most time.Duration, do func()) *event {
	if w.Demand != nil {
		return w.ev.after(time.Microsecond, owner, w.life, do)
	}
	return w.ev.after(time.Duration(w.rng.Int64N(int64(most))+1), owner, w.life, do)
}

// live starts the service.
func (w *World) live() {
	w.lives++
	w.life = w.lives
	w.sessions = newSessionsPort(w)
	w.builds, w.timers, w.fetches = map[messages.Address]*build{}, map[timerKey]*event{}, map[messages.Address]*fetch{}
	w.engine.start()
}

// die kills the service: what it had in memory is lost, and what runs for it is
// killed. It is started again after a while.
func (w *World) die() {
	w.trace.say(w.ev.now, "the service dies")
	w.stops()
}

// rests ends a service that has drained, once all is given back.
func (w *World) rests() {
	w.trace.say(w.ev.now, "the service ends")
	if err := w.givenBack(); err != nil {
		w.fail("rest", "the service ends, and "+err.Error())
		return
	}
	w.stops()
}

func (w *World) stops() {
	w.engine.stop()
	w.life = 0
	w.net.clear()
	w.ev.endLife()
	w.disk.crash(w.rng)
	w.users.crash()
	w.locks.crash()
	w.builders.crash()
	w.view.crash()
	w.sessions.crash()
	for _, c := range w.checkers {
		w.hold(c, c.crash(w))
	}
	for _, c := range w.clients {
		c.lose()
	}
	w.ev.after(time.Second, "", 0, func() {
		w.trace.say(w.ev.now, "the service starts")
		w.live()
		for _, c := range w.clients {
			c.again()
		}
	})
}

// observe is told of every step of a machine, before what it asks for happens.
func (w *World) observe(s host.Step) {
	w.steps++
	w.trace.step(s)
	w.view.step(s)
	if w.Meddling {
		w.meddle(s)
	}
	for _, c := range w.checkers {
		w.hold(c, c.step(w, s))
	}
}

func (w *World) checkQuiet() {
	for _, c := range w.checkers {
		w.hold(c, c.quiet(w))
	}
}

// end checks that all is given back, once there is nothing more to happen.
func (w *World) end() {
	if w.life == 0 {
		w.fail("rest", "the service is dead and is not started again")
		return
	}
	for _, c := range w.checkers {
		w.hold(c, c.end(w))
	}
}

// hold fails the world if a checker has found something.
func (w *World) hold(c checker, err error) {
	if err != nil {
		w.fail(c.name(), err.Error())
	}
}

func (w *World) fail(invariant, text string) {
	if w.failure == nil {
		w.failure = &Failure{Seed: w.Seed, Scenario: w.Scenario, Invariant: invariant, Text: text, Steps: w.steps, At: w.ev.now, Trace: w.trace.lines()}
	}
}

// collectLater deletes now and then what nothing roots.
func (w *World) collectLater() {
	w.ev.after(time.Duration(5+w.rng.IntN(40))*time.Second, "", 0, func() {
		if w.life > 0 && w.hit(Collection) {
			n := w.disk.collect()
			w.trace.say(w.ev.now, fmt.Sprintf("%d paths are collected", n))
		}
		if w.busy() {
			w.collectLater()
		}
	})
}

// busy reports whether a client still has something to do.
func (w *World) busy() bool {
	for _, c := range w.clients {
		if c.left > 0 || len(c.open) > 0 {
			return true
		}
	}
	return slices.ContainsFunc(w.guests, (*guest).busy)
}
