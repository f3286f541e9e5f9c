package rows

import (
	"fmt"
	"slices"
	"strings"

	"troupe/cmd/troupe-bench/graph"
	"troupe/cmd/troupe-bench/side"
)

var sandboxed = side.Conf{Sandbox: true}

// All lists the rows there are: those that daemons are compared by, those that show how
// cost grows, those of a large path, and those of an evaluation.
func All() []Row { return slices.Concat(Compared(), growth(), manyBytes(), evaluation()) }

// Compared are the rows P1 to P16.
func Compared() []Row {
	return []Row{
		{Name: "P1", Work: "chain of 100, a step", New: newBuild(func(e *Env) graph.Shape { return graph.Chain(e.n(100)) })},
		{Name: "P2", Work: "chain of 100, sandbox, a step", Conf: sandboxed, New: newBuild(func(e *Env) graph.Shape { return graph.Chain(e.n(100)) })},
		independent(200, side.Conf{}), independent(200, sandboxed), independent(1000, side.Conf{}), independent(1000, sandboxed),
		layered(20, 20), layered(20, 50),
		{Name: "P5", Work: "nothing to do: 1,001 built derivations again", New: newAgain(func(e *Env) graph.Shape { return graph.Independent(e.n(1000)) })},
		{Name: "P6", Work: "isValidPath over one connection, each", New: newQuestions(1)},
		{Name: "P6", Work: "isValidPath over 16 connections, each", New: newQuestions(16)},
		{Name: "P7", Work: "connect and be greeted", New: newHello},
		{Name: "P8", Work: "100 idle connections, over none", Score: "MiB", New: newIdle},
		{Name: "P9", Work: "add a file of a GiB", New: newAdded("big", makeBig)},
		{Name: "P9", Work: "add a tree of 20,000 files", New: newAdded("tree", makeTree)},
		{Name: "P10", Work: "output of a GiB", New: newOutput(bigOutput)},
		{Name: "P11", Work: "output of 20,000 files", New: newOutput(manyFiles)},
		{Name: "P12", Work: "2,001 paths from a cache of files, each", Conf: side.Conf{Lines: []string{"substituters = {cache}"}}, New: newFetch},
		{Name: "P12", Work: "the same over HTTP, each", Conf: side.Conf{Lines: []string{"substituters = {served}"}}, New: newFetch},
		{Name: "P13", Work: "a second client that wants a running build, after the first", New: newSecond},
		{Name: "P14", Work: "two clients, 4 builds each, max-jobs 2", Conf: side.Conf{Jobs: 2}, Score: "at once", New: newShared},
		{Name: "P14", Work: "the same: from the end of one client to that of the other", Conf: side.Conf{Jobs: 2}, Score: "s", New: newFair},
		{Name: "P15", Work: "collect 10,000 dead paths, each", New: newCollection},
		{Name: "P16", Work: "3,000 tiny derivations, each", New: newBuild(func(e *Env) graph.Shape { return graph.Independent(e.n(3000)) })},
	}
}

func independent(n int, c side.Conf) Row {
	return Row{Name: "P3", Work: fmt.Sprintf("%d independent and one that reads all, %seach", n, inSandbox(c)), Conf: c,
		New: newBuild(func(e *Env) graph.Shape { return graph.Independent(e.n(n)) })}
}

func layered(layers, width int) Row {
	return Row{Name: "P4", Work: fmt.Sprintf("%d layers of %d, 5 inputs, each", layers, width),
		New: newBuild(func(e *Env) graph.Shape { return graph.Layered(e.n(layers), width, 5) })}
}

func inSandbox(c side.Conf) string {
	if c.Sandbox {
		return "sandbox, "
	}
	return ""
}

// Choose finds rows by their names.
func Choose(names []string) (chosen []Row, err error) {
	all := All()
	for _, n := range names {
		found := false
		for _, r := range all {
			if strings.EqualFold(r.Name, n) {
				chosen, found = append(chosen, r), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no row '%s'; there are %s", n, strings.Join(Names(all), ", "))
		}
	}
	return chosen, nil
}

// Names are those of rows, each once.
func Names(list []Row) (names []string) {
	for _, r := range list {
		if !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	return names
}
