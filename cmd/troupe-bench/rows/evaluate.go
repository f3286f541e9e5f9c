package rows

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"troupe/cmd/troupe-bench/report"
	"troupe/cmd/troupe-bench/side"
	"troupe/storage/storepath"
)

// evaluated are derivations that the stock client adds while it evaluates, some of
// which need others.
type evaluated struct {
	*Env
	again bool // they are there already

	file string // of the expression
	top  storepath.Path
}

// evaluation are the rows of what an evaluation adds.
func evaluation() []Row {
	row := func(work string, again bool) Row {
		return Row{Name: "E", Work: work, New: func(e *Env) Task { return &evaluated{Env: e, again: again} }}
	}
	tree := func(e *Env) Task { return &addedAgain{added{Env: e, name: "sources", make: makeSources}} }
	return []Row{row("instantiate 1,001 derivations, each", false), row("instantiate the same again, each", true),
		{Name: "E", Work: "add a tree of 1,000 files again", New: tree}}
}

// expression needs a name and a number.
const expression = `let
  mk = n: derivation {
    name = "%[1]s-${toString n}"; system = "none"; builder = "/none";
    inputs = if n < 10 then [] else map (builtins.elemAt all) [ (n / 10) (n / 7) ];
  };
  all = builtins.genList mk %[2]d;
in derivation { name = "%[1]s-top"; system = "none"; builder = "/none"; inputs = all; }
`

// Prepare implements [Task].
func (t *evaluated) Prepare(ctx context.Context, s *side.Side, round int) error {
	t.file = filepath.Join(t.Work, "evaluated-"+s.Name+".nix")
	name := fmt.Sprintf("e%s-%v-%d", t.Salt, t.again, round)
	if err := os.WriteFile(t.file, fmt.Appendf(nil, expression, name, t.n(1000)), 0o644); err != nil || !t.again {
		return err
	}
	return t.Measure(ctx, s, new(report.Sample))
}

// Measure implements [Task].
func (t *evaluated) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	ran, err := s.Run(ctx, "nix-instantiate", t.file)
	if err != nil {
		return err
	}
	sample.Items, sample.Wall = t.n(1000)+1, ran.Took.Seconds()
	t.top, err = s.Dir.Parse(ran.Out)
	return err
}

// Check implements [Task].
func (t *evaluated) Check(ctx context.Context, s *side.Side) error {
	ran, err := s.Run(ctx, "nix-store", "--query", "--requisites", s.Dir.Join(t.top))
	if err != nil {
		return err
	}
	paths := len(strings.Fields(ran.Out))
	if want := t.n(1000) + 1; paths != want {
		return fmt.Errorf("'%s' has a closure of %d derivations, want %d", t.top, paths, want)
	}
	return nil
}

// addedAgain is in the store already.
type addedAgain struct{ added }

// Prepare implements [Task].
func (t *addedAgain) Prepare(ctx context.Context, s *side.Side, round int) error {
	if err := t.added.Prepare(ctx, s, round); err != nil {
		return err
	}
	return t.Measure(ctx, s, new(report.Sample))
}

// makeSources makes 1,000 files of 4 KB, as a program's sources are.
func makeSources(e *Env, dir string, round int) error {
	for i := range e.n(1000) {
		sub := filepath.Join(dir, fmt.Sprint(i/50))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return err
		}
		text := append(noise(uint64(i), 4000), fmt.Sprint(e.Salt, round)...)
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
