package sessions_test

import (
	"strings"
	"testing"
	"time"

	"troupe/actors"
	"troupe/actors/host"
	"troupe/actors/session"
	"troupe/messages"
	"troupe/messages/workerproto"
)

// TestSessionPanics: a session that panics ends alone: its connection is closed,
// what only it wanted is cancelled, and all others go on.
func TestSessionPanics(t *testing.T) {
	w := newWorld(t, func(s *actors.Settings) {
		make := s.Machines.Make
		s.Make = func(k host.Kind, at messages.Address) host.Machine {
			m := make(k, at)
			if k == session.KindSession {
				return &panicker{Machine: m}
			}
			return m
		}
	})
	wait, open := w.gate("gate")
	shared := w.derivation("shared", "echo $$ > "+w.dir+"/shared; "+wait+"echo > $out")
	alone := w.derivation(panicsAtEnd, "echo $$ > "+w.dir+"/alone; sleep 1000 & wait")
	plain := w.derivation(panicsAtOnce, "echo > $out")
	good, bad, worse := w.connect(rootUser, newest), w.connect(rootUser, newest), w.connect(anybody, newest)
	good.add(shared, alone, plain)
	done := good.begin(build(shared))
	worse.begin(build(alone))
	pids := []string{w.pid("shared"), w.pid("alone")}
	bad.begin(build(plain))
	bad.closesNow()
	worse.conn.Close()
	worse.closesNow()
	eventually(t, "what only it wanted is cancelled", func() bool { return !alive(pids[1]) })
	if !alive(pids[0]) {
		t.Error("what another wants is killed")
	}
	open()
	if err := <-done; err != nil {
		t.Error(err)
	}
	tell[*workerproto.One](w.connect(anybody, newest), &workerproto.SyncWithGC{}, nil)
}

// Names of what sessions do not survive being asked for, or whose end they do
// not.
const (
	panicsAtOnce = "panics-at-once"
	panicsAtEnd  = "panics-at-end"
)

type panicker struct {
	host.Machine
	atEnd bool
}

func (p *panicker) Step(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.RealiseForClient:
		p.atEnd = m.Targets[0].Path.Name() == panicsAtEnd+".drv"
		if m.Targets[0].Path.Name() == panicsAtOnce+".drv" {
			panic("planted")
		}
	case *messages.ClientGone:
		if p.atEnd {
			panic("planted")
		}
	}
	return p.Machine.Step(m)
}

// closesNow waits until the server has hung up.
func (c *client) closesNow() {
	c.t.Helper()
	select {
	case <-c.served:
	case <-time.After(time.Minute):
		c.t.Fatal("the server does not hang up")
	}
}

// TestDrain: nobody comes in, those that are idle are hung up on, and what is
// being built is finished and told.
func TestDrain(t *testing.T) {
	w := newWorld(t)
	wait, open := w.gate("gate")
	r := w.derivation("slow", "echo begun; "+wait+"echo > $out")
	busy, idle := w.connect(rootUser, newest), w.connect(anybody, newest)
	other := w.derivation("other", "echo > $out")
	busy.add(r, other)
	done := busy.begin(build(r))
	busy.hears("begun")
	drained := make(chan struct{})
	go func() {
		w.tree.Sessions.Drain(time.Hour)
		close(drained)
	}()
	idle.closesNow()
	late := w.raw(rootUser)
	if _, err := (workerproto.Client{Dir: w.layout.Dir, Version: workerproto.Newest}).Connect(late.r, late.w); err != nil {
		t.Fatal(err)
	}
	late.Dialect.Version = workerproto.Newest
	if err := late.listen(); err == nil || !strings.Contains(err.Error(), "the daemon is shutting down and takes no new work") {
		t.Errorf("who comes late is told %v", err)
	}
	late.closesNow()
	select {
	case <-drained:
		t.Error("it does not wait for the build")
	default:
	}
	open()
	if err := <-done; err != nil {
		t.Errorf("what was being built: %v", err)
	}
	// It may still ask about what it got, and have nothing new.
	if !tell[*workerproto.Bool](busy, &workerproto.IsValidPath{Path: r.out}, nil).Value {
		t.Error("what was built is not valid")
	}
	busy.refused(build(other), nil, "the daemon is shutting down and takes no new work")
	busy.conn.Close()
	<-drained
	busy.closesNow()
}

// TestDrainRunsOut: what takes longer than there is patience is cancelled, and
// told so: an answer without results would be taken for success.
func TestDrainRunsOut(t *testing.T) {
	w := newWorld(t)
	r := w.derivation("endless", "echo $$ > "+w.dir+"/pid; sleep 1000 & wait")
	c, second := w.connect(rootUser, newest), w.connect(rootUser, newest)
	c.add(r)
	answers := []<-chan error{c.begin(build(r)), second.begin(&workerproto.BuildPathsWithResults{Paths: build(r).Paths})}
	pid := w.pid("pid")
	w.tree.Sessions.Drain(10 * time.Millisecond)
	for _, done := range answers {
		if err := <-done; err == nil || !strings.Contains(err.Error(), r.drv.Base()+"' was cancelled: the daemon is shutting down") {
			t.Errorf("who waits for the build is told %v", err)
		}
	}
	eventually(t, "the builder is killed", func() bool { return !alive(pid) })
}

// TestDrainOfTheUnborn: a connection on which nothing is said does not keep the
// service.
func TestDrainOfTheUnborn(t *testing.T) {
	w := newWorld(t)
	silent := w.raw(rootUser)
	half := w.raw(rootUser)
	half.w.Int(0x6e697863)
	if err := half.w.Flush(); err != nil {
		t.Fatal(err)
	}
	tell[*workerproto.One](w.connect(rootUser, newest), &workerproto.SyncWithGC{}, nil)
	w.tree.Sessions.Drain(time.Hour)
	silent.closesNow()
	half.closesNow()
}

// TestDrainOfTheDeaf: a client that does not read does not keep the service
// either.
func TestDrainOfTheDeaf(t *testing.T) {
	w := newWorld(t)
	r := w.derivation("talks", "echo $$ > "+w.dir+"/pid; while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done")
	c := w.connect(rootUser, newest)
	c.add(r)
	if err := c.send(build(r), nil); err != nil {
		t.Fatal(err)
	}
	pid := w.pid("pid")
	w.tree.Sessions.Drain(10 * time.Millisecond)
	eventually(t, "the builder is killed", func() bool { return !alive(pid) })
	c.closesNow()
}
