package simulation

import (
	"slices"
	"strings"

	"troupe/actors/host"
	"troupe/messages"
)

// meddles is how often clients meddle in one world at most.
const meddles = 16

// brief are the states of goals that last for a message or two: what comes in
// between rarely comes by itself.
var brief = map[string]int{ // to how many of a hundred clients come
	"loadDerivation": 100, "inspecting": 100, "resolving": 60, "recording": 100, "finished": 60, "slotAgain": 60, "gotInfo": 30,
	"fetching": 30, "tryToRun": 20, "recheck": 10, "registering": 10, "buildDone": 20, "wantUser": 20, "lockedElsewhere": 20,
	"tryToBuild": 10, "init": 5, "haveDerivation": 5,
}

// meddle lets clients act at the worst moment, in a world that has such: when a
// goal enters a state that does not last, or a builder is about to end, they withdraw
// what they want, or want it, too.
func (w *World) meddle(s host.Step) {
	if w.meddled >= meddles {
		return
	}
	for _, e := range s.Effects {
		if m, ok := sent[*messages.GoalChanged](e); ok && w.rng.IntN(100) < brief[m.State] && w.hit(BadTiming) {
			w.act(m.Goal)
			return
		}
	}
	if !strings.HasPrefix(string(s.Actor), "child/") {
		return
	}
	switch s.Message.(type) {
	case *messages.EOF, *messages.ProcessExited, *messages.StartChild:
		if w.rng.IntN(4) == 0 && w.hit(BadTiming) {
			w.withdrawAll()
		}
	}
}

// act lets all who want a goal withdraw, or one more want it.
func (w *World) act(at messages.Address) {
	w.meddled++
	g := w.view.goals[at]
	if g == nil || w.rng.IntN(3) > 0 {
		w.withdrawAll()
		return
	}
	if i := slices.IndexFunc(w.clients, func(c *client) bool { return !c.gone }); i >= 0 && w.sessions.ending == serving {
		t := g.target
		if t.IsBuild() {
			t.Outputs = []string{messages.AllOutputs}
		}
		m := &messages.RealiseTargets{Client: w.clients[i].address, KeepGoing: true, Terms: w.Terms, Targets: []messages.Target{t}}
		m.Terms.Limits = w.Limits
		w.clients[i].make(m)
	}
}

// withdrawAll lets all clients withdraw what they have asked for, the guests by
// hanging up.
func (w *World) withdrawAll() {
	w.meddled++
	for _, c := range w.clients {
		c.cancelAll()
	}
	for _, v := range w.sessions.inOrder() {
		if v.state == asking {
			v.hangUp()
		}
	}
}
