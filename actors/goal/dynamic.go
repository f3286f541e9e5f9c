package goal

import (
	"fmt"
	"slices"

	"troupe/actors/host"
	"troupe/messages"
	"troupe/storage/storepath"
)

// leading is the way to a derivation that is an output: each step's output is the
// derivation of the next.
type leading struct {
	messages.DynamicInput
	at   storepath.Path // the derivation whose output is awaited
	step int            // how many of Through are done
	over bool
}

// target is what is awaited.
func (l leading) target() messages.Target {
	if l.step < len(l.Through) {
		return messages.Target{Path: l.at, Outputs: l.Through[l.step : l.step+1]}
	}
	return messages.Target{Path: l.at, Outputs: l.Outputs}
}

// lead begins the way to each derivation that is an output.
func (g *Derivation) lead() (waitees []messages.Target) {
	for _, d := range g.recipe.more.Dynamic {
		l := leading{DynamicInput: d, at: d.Drv}
		g.own().leading = append(g.leading, l)
		waitees = append(waitees, l.target())
	}
	return waitees
}

// way is the way that a waitee is a step of, or nil.
func (g *Derivation) way(waitee messages.Target) *leading {
	for i := range g.leading {
		if t := g.leading[i].target(); !g.leading[i].over && t.Path == waitee.Path && slices.Equal(t.Outputs, waitee.Outputs) {
			return &g.leading[i]
		}
	}
	return nil
}

// follow goes a step further on a way, or notes the outputs at its end.
func (g *Derivation) follow(l *leading, r messages.Result) []host.Effect {
	if l.step == len(l.Through) {
		l.over = true
		g.own().built = append(g.built, messages.BuiltInput{Drv: l.Drv, Through: l.Through, Outputs: r.Outputs})
		return nil
	}
	for _, o := range r.Outputs {
		if o.Name == l.Through[l.step] {
			l.at = o.Path
		}
	}
	if l.step++; !l.at.IsDerivation() {
		return g.finish(messages.Result{Status: messages.InputRejected, Error: g.cannotBuild(
			fmt.Sprintf("'%s' leads to its input and is no derivation", g.policy.StoreDir.Join(l.at)))})
	}
	g.waitees++
	return []host.Effect{host.Send{To: messages.Worker, Msg: &messages.AwaitGoals{
		From: g.self, Waitees: []messages.Target{l.target()}, Expected: g.recipe.Expected}}}
}
