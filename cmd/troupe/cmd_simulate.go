package main

import (
	"fmt"
	"strconv"
	"strings"

	"troupe/actors/simulation"
	"troupe/cmd/troupe/drvfiles"
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
		recipes, err := drvfiles.Recipes(c.Graph)
		if err != nil {
			return out, err
		}
		graph = simulation.NewGraph(recipes)
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
