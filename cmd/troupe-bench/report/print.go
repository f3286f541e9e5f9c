package report

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// columns of the tables.
var columns = []string{"#", "work", "peer", "self", "ratio", "CPU: peer", "self", "ratio", "memory: peer", "self"}

// cells are a row of the tables.
func (r Row) cells() []string {
	if r.Error != "" {
		return []string{r.Name, r.Work, "–", "–", "–", "–", "–", "–", "–", r.Error}
	}
	wall, format := Sample.PerItem, duration
	if r.Score != "" {
		wall = func(s Sample) float64 { return s.Score }
		format = func(f float64) string { return quantity(f) + " " + r.Score }
	}
	memory := func(s Sample) float64 { return float64(s.Peak) }
	return []string{r.Name, r.Work,
		cell(r.Peer, wall, format), cell(r.Self, wall, format), r.Ratio(wall).ratio(),
		cell(r.Peer, Sample.CPUPerItem, duration), cell(r.Self, Sample.CPUPerItem, duration), r.Ratio(Sample.CPUPerItem).ratio(),
		cell(r.Peer, memory, mebibytes), cell(r.Self, memory, mebibytes)}
}

func cell(list []Sample, f func(Sample) float64, format func(float64) string) string {
	if len(list) == 0 {
		return "–"
	}
	return format(Of(list, f).Median)
}

// ratio is the middle one and, where there are more, the extremes.
func (s Spread) ratio() string {
	switch {
	case s == Spread{}:
		return "–"
	case s.Min == s.Max:
		return fmt.Sprintf("%.2f", s.Median)
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", s.Median, s.Min, s.Max)
}

func duration(seconds float64) string {
	switch {
	case seconds >= 1:
		return fmt.Sprintf("%.2f s", seconds)
	case seconds >= 1e-3 || seconds <= 0:
		return fmt.Sprintf("%.2f ms", seconds*1e3)
	}
	return fmt.Sprintf("%.1f µs", seconds*1e6)
}

func quantity(f float64) string {
	if f >= 100 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.2f", f)
}

func mebibytes(b float64) string { return fmt.Sprintf("%.0f MiB", b/(1<<20)) }

// Head says what was measured, and where.
func (r Report) Head() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %d processors (%s, %s), %.0f GiB, Linux %s, stores on %s, load %s before; %d rounds A B A B",
		r.Date, r.Machine.CPUs, r.Machine.Model, r.Machine.Arch, float64(r.Machine.Memory)/(1<<30), r.Machine.Kernel, r.Machine.FileSys, r.Machine.Load, r.Rounds)
	if r.Scale != 1 {
		fmt.Fprintf(&b, "; work of %g times the usual size", r.Scale)
	}
	fmt.Fprintf(&b, ".\n")
	for _, s := range []*Side{r.Peer, &r.Self} {
		if s != nil {
			fmt.Fprintf(&b, "%s: %s (%s); %s.\n", s.Name, s.Version, s.Command, s.durability())
		}
	}
	return b.String()
}

func (s Side) durability() string {
	if s.Syncs == nil {
		return "how often it flushes to the disk was not counted"
	}
	if len(s.Syncs) == 0 {
		return "flushes nothing to the disk in builds of 20 derivations"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(s.Syncs)) {
		parts = append(parts, fmt.Sprintf("%d %s", s.Syncs[name], name))
	}
	return "to build 20 derivations it makes " + strings.Join(parts, ", ")
}

// Table writes the report for people.
func (r Report) Table(w io.Writer) error {
	if _, err := fmt.Fprintln(w, r.Head()); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(columns, "\t"))
	for _, row := range r.Rows {
		fmt.Fprintln(t, strings.Join(row.cells(), "\t"))
	}
	return t.Flush()
}

// Markdown writes the report as it stands in the documentation.
func (r Report) Markdown(w io.Writer) error {
	fmt.Fprintf(w, "%s\n| %s |\n|%s\n", r.Head(), strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, row := range r.Rows {
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(row.cells(), " | ")); err != nil {
			return err
		}
	}
	return nil
}

// JSON writes every sample.
func (r Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
