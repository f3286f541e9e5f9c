package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"troupe/actors/journal"
	"troupe/actors/simulation"
	"troupe/actors/slots"
	"troupe/messages"
)

// comparePolicies meets what a journal has by another policy, and prints how
// well it was met, and would have been.
func (c *replayCmd) comparePolicies(s *session, j *journal.Reader) error {
	p, err := slots.ParsePolicy(c.Policy)
	if err != nil {
		return &codedError{code: exitUsage, text: "--policy: " + err.Error()}
	}
	d, err := simulation.ReadDemand(j)
	if err != nil {
		return err
	}
	if d.Cut != nil {
		fmt.Fprintf(s.stderr, "note: this is what was asked up to a cut: %v\n", d.Cut)
	}
	if d.Unknown > 0 {
		fmt.Fprintf(s.stderr, "note: %d derivations were not built to their end; each counts as its build took in earlier runs, or a second\n", d.Unknown)
	}
	found, err := d.Compare(p)
	if err != nil {
		return err
	}
	return printComparison(s, d, p, found)
}

func printComparison(s *session, d *simulation.Demand, p slots.Policy, found simulation.Comparison) error {
	clients := map[messages.Address]bool{}
	for _, a := range d.Arrivals {
		clients[a.Client] = true
	}
	fmt.Fprintf(s.stdout, "requests %d, clients %d, derivations %d, slots %d\n",
		len(d.Arrivals), len(clients), len(d.Graph.Drvs), d.Settings.MaxJobs)
	t := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "seconds\tmakespan\tanswer, mean\tlongest\tslot wait, mean\tlongest\tfairness\tbuilds")
	row := func(name string, m simulation.Measures) {
		fmt.Fprintf(t, "%s\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%d\n", name, m.Makespan.Seconds(), m.MeanAnswer.Seconds(),
			m.MaxAnswer.Seconds(), m.MeanWait.Seconds(), m.MaxWait.Seconds(), m.Fairness, m.Builds)
	}
	row(fmt.Sprintf("%s, as recorded", found.Policy), found.Recorded)
	row(fmt.Sprintf("%s, in virtual time", found.Policy), found.Before)
	if p != found.Policy {
		row(fmt.Sprintf("%s, in virtual time", p), found.After)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if p == found.Policy {
		return nil
	}
	_, err := fmt.Fprintln(s.stdout, parting(found, p))
	return err
}

// parting says at which slot two policies part.
func parting(found simulation.Comparison, p slots.Policy) string {
	before, after := found.Before.Order, found.After.Order
	for i := range min(len(before), len(after)) {
		if before[i] != after[i] {
			return fmt.Sprintf("slot %d goes elsewhere first: by %s to %s, by %s to %s", i+1, found.Policy, name(before[i]), p, name(after[i]))
		}
	}
	return "both give slots in the same order"
}

// name is what a goal makes.
func name(goal messages.Address) string {
	_, base, _ := strings.Cut(string(goal), "/")
	return base
}
