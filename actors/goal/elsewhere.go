package goal

import (
	"fmt"
	"strings"

	"troupe/actors/host"
	"troupe/messages"
)

// A slot may be one of another machine. Then there is no build user, and a machine
// that is lost is not a failed build: what is left of it is deleted, and it is tried
// again wherever there is a slot next.

// maxLosses is how many machines a build may lose. It may be the build that they
// do not survive.
const maxLosses = 3

// wantSlot asks for a slot and waits for it in the state given.
func (g *Derivation) wantSlot(in state) []host.Effect {
	g.on(messages.Place{}, "")
	m := &messages.AcquireSlot{Goal: g.self, Expected: g.recipe.Expected, PreferLocal: g.recipe.PreferLocal}
	if g.target.Mode == messages.Normal && len(g.losses) < maxLosses {
		m.Elsewhere = g.recipe.more.Elsewhere
	}
	if m.Elsewhere.Hook != "" {
		m.Drv, m.Settings = g.target.Path, g.terms.Settings
	}
	return append(g.enter(in), host.Send{To: messages.Slots, Msg: m})
}

func (g *Derivation) onAwaited(m *messages.SlotAwaited) []host.Effect {
	g.on(g.place, m.For)
	return g.enter(g.state)
}

// onRefused ends a goal for which there is no slot. If there are machines, and none
// is what it needs, that is said too.
func (g *Derivation) onRefused(m *messages.SlotRefused) (out []host.Effect) {
	if g.recipe.more.Elsewhere.Unfit != "" {
		out = g.warn(g.recipe.more.Elsewhere.Unfit)
	}
	return append(out, g.finish(messages.Result{Status: messages.MiscFailure, Error: g.cannotBuild(m.Reason)})...)
}

func (g *Derivation) warn(text string) []host.Effect {
	return []host.Effect{host.Send{To: messages.Progress, Msg: &messages.GoalWarned{Goal: g.self, Text: text}}}
}

// machine is the name of the one where it is being built, or "".
func (g *Derivation) machine() string {
	if g.state < preparing || g.state > registering {
		return ""
	}
	return g.place.Name()
}

// answered says that the machine is there.
func (g *Derivation) answered() []host.Effect {
	if g.place.Machine == "" {
		return nil
	}
	return []host.Effect{host.Send{To: messages.Slots, Msg: &messages.MachineAnswered{Goal: g.self}}}
}

// onLost gives up the machine. Its slot is given back at once, so that nobody else
// goes there.
func (g *Derivation) onLost(why string) []host.Effect {
	if g.cancelled {
		return g.discard(messages.Result{Status: messages.Cancelled, Error: "cancelled"})
	}
	if g.state == building {
		g.own().losses = append(g.losses, fmt.Sprintf("'%s': %s", g.place.Name(), why))
	}
	out := g.warn(fmt.Sprintf("cannot build '%s' on '%s': %s", g.policy.StoreDir.Join(g.target.Path), g.place.Name(), why))
	out = append(out, g.enter(retrying)...)
	return append(out,
		host.Send{To: messages.Slots, Msg: &messages.ReleaseSlot{Goal: g.self, Lost: why}},
		host.Send{To: messages.Builds, Msg: &messages.DiscardBuild{Build: g.self, Status: messages.Cancelled}})
}

// retry goes on where the build holds its locks.
func (g *Derivation) retry() []host.Effect {
	switch {
	case g.cancelled:
		return g.finish(messages.Result{Status: messages.Cancelled, Error: "cancelled"})
	case len(g.losses) >= maxLosses && g.recipe.more.Elsewhere.NotHere:
		return g.finish(messages.Result{Status: messages.MiscFailure, Error: g.cannotBuild(
			fmt.Sprintf("%d machines were lost while they built it:\n%s", len(g.losses), strings.Join(g.losses, "\n")))})
	}
	return g.wantSlot(slotAgain)
}
