// Package child turns a builder process into messages.
package child

import (
	"cmp"
	"fmt"
	"time"

	"troupe/actors/host"
	"troupe/messages"
)

// Child watches one builder for its goal and ends it when it is silent, runs or
// writes for too long.
type Child struct {
	self   messages.Address
	goal   messages.Address
	build  messages.Address
	limits messages.Limits
	state  state
	cause  messages.ExitCause
	lastAt time.Duration // when output came last
	log    int64         // bytes so far
}

type state uint8

const (
	fresh state = iota
	starting
	running
	closed  // its output is closed; the process still is there
	killing // a kill is under way
	done
)

var stateNames = [...]string{"new", "starting", "running", "closed", "killing", "done"}

func (s state) String() string { return stateNames[s] }

// New makes the machine of the child at an address.
func New(self messages.Address) *Child { return &Child{self: self} }

func (c *Child) String() string { return c.state.String() }

// The names of the timers.
const (
	silence = "silence"
	total   = "total"
)

// Step implements [host.Machine].
func (c *Child) Step(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.StartChild:
		c.expect(m, fresh)
		c.goal, c.build, c.limits = m.Goal, m.Build, m.Limits
		c.become(starting)
		return []host.Effect{host.Send{To: messages.Process, Msg: &messages.Launch{Child: c.self, Build: c.build}}}
	case *messages.ProcessStarted:
		return c.onStarted(m)
	case *messages.ProcessFailed:
		c.expect(m, starting, killing)
		c.become(done)
		cause := messages.NotStarted
		if m.Builder {
			cause = messages.NotExecutable
		}
		return c.report(&messages.BuilderExited{Cause: cause, Error: m.Reason})
	case *messages.ChildOutput:
		return c.onOutput(m)
	case *messages.EOF:
		c.expect(m, running, killing)
		if c.state != running {
			return nil
		}
		// As in Nix, a builder that nobody can hear has no business any more. One
		// that has ended is not harmed.
		c.become(closed)
		return []host.Effect{host.Send{To: messages.Process, Msg: &messages.KillProcess{Build: c.build}}}
	case *messages.TimerFired:
		return c.onTimer(m)
	case *messages.KillChild:
		return c.kill(messages.KilledOnDemand)
	case *messages.ProcessExited:
		return c.onExited(m)
	}
	panic(fmt.Sprintf("%v: unexpected %v", c, m))
}

func (c *Child) onStarted(m *messages.ProcessStarted) (out []host.Effect) {
	c.expect(m, starting, killing)
	if c.state == killing {
		return []host.Effect{c.killProcess()}
	}
	c.lastAt = m.At
	c.become(running)
	if c.limits.Silence > 0 {
		out = append(out, c.timer(silence, c.limits.Silence))
	}
	if c.limits.Total > 0 {
		out = append(out, c.timer(total, c.limits.Total))
	}
	return out
}

func (c *Child) onOutput(m *messages.ChildOutput) []host.Effect {
	c.expect(m, running, killing)
	c.log, c.lastAt = m.To, m.At
	if c.state == killing {
		return nil
	}
	out := []host.Effect{host.Send{To: c.goal, Msg: m}}
	if c.limits.LogBytes > 0 && c.log > c.limits.LogBytes {
		out = append(out, c.kill(messages.LogTooLong)...)
	}
	return out
}

// onTimer ends a builder whose time is up. The timer of silence is not started
// anew by every output: when it fires it is set for what is left.
func (c *Child) onTimer(m *messages.TimerFired) []host.Effect {
	switch {
	case c.state != running && c.state != closed:
		return nil
	case m.Name == total:
		return c.kill(messages.RanTooLong)
	case c.state == closed: // it cannot speak any more
		return nil
	}
	if left := c.lastAt + c.limits.Silence - m.At; left > 0 {
		return []host.Effect{c.timer(silence, left)}
	}
	return c.kill(messages.SilentTooLong)
}

func (c *Child) kill(why messages.ExitCause) []host.Effect {
	switch c.state {
	case starting, running, closed:
		c.cause = why
		c.become(killing)
		return []host.Effect{c.killProcess()}
	case killing, done:
		return nil
	}
	panic(fmt.Sprintf("%v: killed before it was started", c))
}

func (c *Child) onExited(m *messages.ProcessExited) []host.Effect {
	c.expect(m, running, closed, killing)
	c.become(done)
	return c.report(&messages.BuilderExited{Cause: cmp.Or(c.cause, m.Cause), Exit: m.Exit, Error: m.Error, Status: m.Status,
		LastLog: m.LastLog, LogBytes: c.log})
}

func (c *Child) report(m *messages.BuilderExited) []host.Effect {
	out := []host.Effect{host.Send{To: c.goal, Msg: m}}
	if c.limits.Silence > 0 {
		out = append(out, c.cancel(silence))
	}
	if c.limits.Total > 0 {
		out = append(out, c.cancel(total))
	}
	return out
}

func (c *Child) killProcess() host.Effect {
	return host.Send{To: messages.Process, Msg: &messages.KillProcess{Build: c.build}}
}

func (c *Child) timer(name string, after time.Duration) host.Effect {
	return host.Send{To: messages.Clock, Msg: &messages.StartTimer{Owner: c.self, Name: name, After: after}}
}

func (c *Child) cancel(name string) host.Effect {
	return host.Send{To: messages.Clock, Msg: &messages.CancelTimer{Owner: c.self, Name: name}}
}

func (c *Child) expect(m messages.Message, allowed ...state) {
	for _, s := range allowed {
		if c.state == s {
			return
		}
	}
	panic(fmt.Sprintf("%v: unexpected %v", c, m))
}

// become is the only assignment to the state.
func (c *Child) become(next state) { c.state = next }
