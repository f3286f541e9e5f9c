package simulation

import (
	"fmt"
	"slices"

	"troupe/messages"
	"troupe/storage/storepath"
)

// makeDynamic lets some derivations be outputs of others: who is built with them
// knows them only by way of these.
func (g *Graph) makeDynamic(s Scenario) {
	rng := stream(s.Seed, "led")
	g.made = map[storepath.Path]bool{}
	for i := range g.Drvs {
		maker := &g.Drvs[i]
		rest := len(g.Drvs) - i - 1
		if maker.Fixed || len(maker.Inputs) > 0 || rest == 0 || rng.IntN(2) == 0 {
			continue
		}
		if j := i + 1 + rng.IntN(rest); !g.made[g.Drvs[j].Drv] && len(g.Drvs[j].Dynamic) == 0 {
			g.lead(maker, j)
		}
	}
	g.number()
}

// lead makes the j-th derivation the first output of another.
func (g *Graph) lead(maker *Drv, j int) {
	was := g.Drvs[j].Drv
	out := &maker.Outputs[len(maker.Outputs)-1]
	out.Path = pathOf(g.numberOf(out.Path), fmt.Sprintf("d%d.drv", j))
	g.Drvs[j].Drv = out.Path
	g.made[out.Path] = true
	for k := range g.Drvs {
		d := &g.Drvs[k]
		if i := slices.IndexFunc(d.Inputs, func(t messages.Target) bool { return t.Path == was }); i >= 0 {
			d.Dynamic = append(d.Dynamic, messages.DynamicInput{Drv: maker.Drv, Through: []string{out.Name}, Outputs: d.Inputs[i].Outputs})
			d.Inputs = slices.Delete(slices.Clone(d.Inputs), i, i+1)
		}
	}
}

// numberOf is the number of a path that [pathOf] has made.
func (g *Graph) numberOf(p storepath.Path) (n int) {
	if _, err := fmt.Sscanf(p.Base(), "%d-", &n); err != nil {
		panic(err)
	}
	return n
}

// pathMade is the output of a derivation that may be another one.
func (g *Graph) pathMade(d Drv) storepath.Path { return d.Outputs[len(d.Outputs)-1].Path }

// led is the derivation to which an input leads.
func (g *Graph) led(t messages.DynamicInput) Drv {
	maker, _ := g.drv(t.Drv)
	d, ok := g.drv(g.pathMade(maker))
	if !ok {
		panic(fmt.Sprintf("%v leads nowhere", t))
	}
	return d
}
