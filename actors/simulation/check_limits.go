package simulation

import (
	"fmt"
	"time"

	"troupe/actors/host"
	"troupe/messages"
)

// limitsChecker: a builder that is silent, runs or writes for too long is
// killed, and none is for what it did not do.
type limitsChecker struct{ idle }

func (*limitsChecker) name() string { return "limits" }

// grace is how late a kill may be.
const grace = time.Second

func (*limitsChecker) step(w *World, s host.Step) error {
	fired, ok := s.Message.(*messages.TimerFired)
	if !ok {
		return nil
	}
	for _, e := range s.Effects {
		send, ok := e.(host.Send)
		if !ok {
			continue
		}
		kill, ok := send.Msg.(*messages.KillProcess)
		if !ok {
			continue
		}
		b := w.builds[kill.Build]
		if b == nil || b.process == nil {
			continue
		}
		switch p := b.process; {
		case w.ev.now-p.spoke < 2*slack: // what it wrote is under way
		case fired.Name == "silence" && fired.At-p.spoke < w.Limits.Silence-slack:
			return fmt.Errorf("%s is killed for a silence of %v", kill.Build, fired.At-p.spoke)
		case fired.Name == "total" && fired.At-p.began < w.Limits.Total:
			return fmt.Errorf("%s is killed after %v", kill.Build, fired.At-p.began)
		}
	}
	return nil
}

func (*limitsChecker) quiet(w *World) error {
	for at, b := range w.builds {
		p := b.process
		if p == nil || p.dying || !b.prepare.Place.Here() { // whoever builds it elsewhere sees to it
			continue
		}
		now := w.ev.now
		switch l := w.Limits; {
		case l.Total > 0 && now-p.began > l.Total+grace:
			return fmt.Errorf("%s runs for %v", at, now-p.began)
		case l.Silence > 0 && !p.closed && now-p.spoke > l.Silence+grace:
			return fmt.Errorf("%s is silent for %v", at, now-p.spoke)
		case p.closed && now-p.shutAt > grace:
			return fmt.Errorf("%s has closed its output and runs on", at)
		case l.LogBytes > 0 && p.log > l.LogBytes && now-p.spoke > grace:
			return fmt.Errorf("%s has written %d bytes and runs on", at, p.log)
		}
	}
	return nil
}
