package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"troupe/actors/slots"
	"troupe/cmd/troupe-bench/graph"
	"troupe/cmd/troupe-bench/makespan"
	"troupe/cmd/troupe/drvfiles"
)

type makespanCmd struct {
	Graph     string  `help:"What is built: a .drv file whose inputs lie beside it, or a directory or tar archive of them. Otherwise one of 5,000 derivations that looks like real software." placeholder:"FILE"`
	Durations string  `help:"How long builds take: a JSON object of seconds by derivation name. Otherwise they are drawn by the names." placeholder:"FILE" type:"existingfile"`
	Wrong     float64 `help:"By what factor, at most, the recorded times are wrong, where times are drawn." default:"1"`
	Slots     []int   `help:"How many are built at once." default:"2,8,64,1000"`
	JSON      bool    `help:"Print JSON." xor:"form"`
	Markdown  bool    `help:"Print a table for a document." xor:"form"`
}

// Run compares the policies.
func (c *makespanCmd) Run() error {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	var all []makespan.Result
	for _, n := range c.Slots {
		if n < 1 {
			return fmt.Errorf("--slots %d: there must be one", n)
		}
		r, err := plan.Run(n)
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	return c.print(plan, all)
}

func (c *makespanCmd) plan() (makespan.Plan, error) {
	shape := graph.Corpus(5000)
	if c.Graph != "" {
		var err error
		if shape, err = readShape(c.Graph); err != nil {
			return makespan.Plan{}, err
		}
	}
	if c.Durations != "" {
		return makespan.Read(shape, c.Durations)
	}
	if c.Wrong < 1 {
		return makespan.Plan{}, fmt.Errorf("--wrong %g: it is a factor of 1 or more", c.Wrong)
	}
	return makespan.Draw(shape, c.Wrong), nil
}

// readShape reads who needs whom among derivations in files.
func readShape(name string) (graph.Shape, error) {
	recipes, err := drvfiles.Recipes(name)
	if err != nil {
		return graph.Shape{}, err
	}
	return graph.OfRecipes(recipes)
}

func (c *makespanCmd) print(plan makespan.Plan, all []makespan.Result) error {
	head := fmt.Sprintf("%d derivations, work %v, longest path %v", len(plan.Took), short(plan.Work()), short(plan.Critical()))
	columns := []string{"slots", "bound", "floor"}
	for _, p := range slots.Policies() {
		columns = append(columns, string(p), "over")
	}
	if c.JSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	var lines [][]string
	for _, r := range all {
		line := []string{fmt.Sprint(r.Slots), short(r.Bound), short(r.Floor)}
		for _, p := range slots.Policies() {
			line = append(line, short(r.Makespan[p]), fmt.Sprintf("%.1f %%", 100*r.Over(p)))
		}
		lines = append(lines, line)
	}
	if c.Markdown {
		fmt.Printf("%s\n\n| %s |\n|%s\n", head, strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
		for _, l := range lines {
			fmt.Printf("| %s |\n", strings.Join(l, " | "))
		}
		return nil
	}
	fmt.Println(head)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, l := range append([][]string{columns}, lines...) {
		fmt.Fprintln(t, strings.Join(l, "\t"))
	}
	return t.Flush()
}

// short is a time in seconds, which is what builds take.
func short(d time.Duration) string { return d.Round(time.Second).String() }
