package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"troupe/actors/simulation"
	"troupe/messages"
	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

type simulateCmd struct {
	Seeds    string `help:"Seeds to run: N, or A..B." default:"1..1000"`
	Faults   string `help:"A list of all, none, NAME, NAME=RATE (out of a thousand) and -NAME; --faults=-NAME leaves one out of all." default:"all"`
	Clients  int    `help:"Clients; otherwise the seed says." placeholder:"N"`
	Graph    string `help:"What the clients build: a .drv file whose inputs lie beside it, or a directory or tar archive of them; otherwise the seed says." placeholder:"FILE"`
	Failures int    `help:"How many failures are looked for." default:"1"`
	List     bool   `help:"List the faults, with their usual rates."`
}

func (c *simulateCmd) Run(s *session) error {
	if c.List {
		_, err := fmt.Fprint(s.stdout, simulation.FaultHelp())
		return err
	}
	campaign, err := c.campaign()
	if err != nil {
		return err
	}
	found := campaign.Run(s.ctx)
	fmt.Fprintf(s.stdout, "%d seeds, %d steps, %v of the worlds' time in %.1f s: %.0f seeds and %.0f steps a second\n",
		found.Runs, found.Steps, found.Virtual.Round(1e9), found.Elapsed.Seconds(),
		float64(found.Runs)/found.Elapsed.Seconds(), float64(found.Steps)/found.Elapsed.Seconds())
	found.Coverage.Report(s.stdout)
	for _, f := range found.Failures {
		fmt.Fprintf(s.stdout, "\nseed %d fails; made smaller:\n%v\nafter %d steps, at %v: %v\n", f.Seed, f.Scenario, f.Steps, f.At, f)
		for _, line := range f.Trace {
			fmt.Fprintf(s.stdout, "  %s\n", line)
		}
	}
	if s.ctx.Err() != nil {
		return &codedError{code: exitInterrupted, text: "interrupted"}
	}
	if len(found.Failures) > 0 {
		return &codedError{code: exitFailure, text: fmt.Sprintf("%d of %d seeds failed", len(found.Failures), found.Runs)}
	}
	return nil
}

func (c *simulateCmd) campaign() (out simulation.Campaign, err error) {
	out.Failures = c.Failures
	if out.First, out.Last, err = parseSeeds(c.Seeds); err != nil {
		return out, err
	}
	if out.Faults, err = simulation.ParseFaults(c.Faults); err != nil {
		return out, &codedError{code: exitUsage, text: err.Error()}
	}
	var graph *simulation.Graph
	if c.Graph != "" {
		if graph, err = readGraph(c.Graph); err != nil {
			return out, err
		}
	}
	out.Vary = func(sc simulation.Scenario) simulation.Scenario {
		sc.Graph = graph
		if c.Clients > 0 {
			sc.Clients = c.Clients
		}
		return sc
	}
	return out, nil
}

func parseSeeds(text string) (first, last uint64, err error) {
	a, b, isRange := strings.Cut(text, "..")
	if !isRange {
		b = a
	}
	first, err = strconv.ParseUint(a, 10, 63)
	if err == nil {
		last, err = strconv.ParseUint(b, 10, 63)
	}
	if err != nil || last < first {
		return 0, 0, &codedError{code: exitUsage, text: fmt.Sprintf("--seeds '%s' is neither a number nor A..B", text)}
	}
	return first, last, nil
}

// readGraph reads derivations as far as a schedule depends on them: a file and
// its inputs, which lie beside it, or all that a directory or an archive has.
func readGraph(name string) (*simulation.Graph, error) {
	g := &graphReader{seen: map[storepath.Path]bool{}}
	if strings.HasSuffix(name, ".drv") {
		g.withInputs(name)
	} else if err := eachDerivation(name, g.take); err != nil {
		return nil, err
	}
	if g.err != nil {
		return nil, g.err
	}
	if len(g.recipes) == 0 {
		return nil, fmt.Errorf("'%s' has no derivations", name)
	}
	return simulation.NewGraph(g.recipes), nil
}

type graphReader struct {
	seen    map[storepath.Path]bool
	recipes []messages.Recipe
	err     error // the first
}

func (g *graphReader) withInputs(file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		g.fail(err)
		return
	}
	first := len(g.recipes)
	g.take(file, data)
	for _, r := range g.recipes[first:] {
		for _, in := range r.Inputs {
			if !g.seen[in.Path] && g.err == nil {
				g.withInputs(filepath.Join(filepath.Dir(file), in.Path.Base()))
			}
		}
	}
}

func (g *graphReader) fail(err error) {
	if g.err == nil {
		g.err = err
	}
}

func (g *graphReader) take(name string, data []byte) {
	p, err := storepath.ParseBase(filepath.Base(name))
	if err != nil || g.seen[p] {
		g.fail(err)
		return
	}
	g.seen[p] = true
	dir, err := derivation.FindStoreDir(data)
	if err != nil {
		g.fail(fmt.Errorf("'%s': %w", name, err))
		return
	}
	d, err := derivation.Parse(dir, strings.TrimSuffix(p.Name(), ".drv"), data)
	if err != nil {
		g.fail(err)
		return
	}
	if d.Supported() != nil || !d.KnowsOutputs() || d.MustResolve() {
		return // what depends on it finds that it cannot be read, as in a store
	}
	g.recipes = append(g.recipes, recipeOf(p, d))
}

func recipeOf(p storepath.Path, d *derivation.Derivation) messages.Recipe {
	r := messages.Recipe{Drv: p, Sources: d.Sources, Fixed: d.IsFixed()}
	for _, o := range d.Outputs {
		r.Outputs = append(r.Outputs, messages.Output{Name: o.Name, Path: o.Path})
	}
	for _, in := range d.Inputs {
		r.Inputs = append(r.Inputs, messages.Target{Path: in.Path, Outputs: in.Outputs})
	}
	return r
}
