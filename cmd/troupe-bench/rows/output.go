package rows

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"troupe/cmd/troupe-bench/graph"
	"troupe/cmd/troupe-bench/meter"
	"troupe/cmd/troupe-bench/report"
	"troupe/cmd/troupe-bench/side"
	"troupe/storage/nixhash"
)

// output is one derivation with much to write.
type output struct {
	*Env
	script func(*Env) string
	item   graph.Item
	want   nixhash.Hash // of what the builder makes when it runs by itself
}

// ownTimes is the end of a script that tells what its process and those that it has
// waited for have used: a line of /proc/PID/stat.
const ownTimes = `
read -r stat < /proc/self/stat; echo "used $stat"`

// used reads that line in what a client says.
func used(said string) (time.Duration, error) {
	_, rest, ok := strings.Cut(said, "used ")
	line, _, _ := strings.Cut(rest, "\n")
	if !ok {
		return 0, errors.New("the builder does not say what it has used")
	}
	return meter.Used(line)
}

func newOutput(script func(*Env) string) func(*Env) Task {
	return func(e *Env) Task { return &output{Env: e, script: script} }
}

// bigOutput writes a GiB that is not compressible, of which it is given a
// sixteenth.
func bigOutput(*Env) string {
	return `i=0; while [ $i -lt 16 ]; do "$box" cat "$src"; i=$((i+1)); done > "$out"`
}

// manyFiles writes 20,000 files in directories of a hundred.
func manyFiles(e *Env) string {
	return fmt.Sprintf(`"$box" mkdir "$out"; d=0; while [ $d -lt %d ]; do "$box" mkdir "$out/d$d"; f=0
while [ $f -lt 100 ]; do echo "$d $f" > "$out/d$d/f$f"; f=$((f+1)); done; d=$((d+1)); done`, e.n(200))
}

// Prepare implements [Task].
func (t *output) Prepare(ctx context.Context, s *side.Side, round int) error {
	if err := s.Collect(ctx); err != nil {
		return err
	}
	source := filepath.Join(t.Work, "noise")
	if err := os.WriteFile(source, noise(1, t.n(64)<<20), 0o644); err != nil {
		return err
	}
	if t.want.IsZero() {
		if err := t.alone(ctx, source); err != nil {
			return err
		}
	}
	m, err := t.maker(ctx, s, fmt.Sprint("-", round))
	if err != nil {
		return err
	}
	src, err := s.AddTree(ctx, source, "noise")
	if err != nil {
		return err
	}
	t.item, err = m.Script("output", t.script(t.Env)+ownTimes, map[string]string{"src": s.Dir.Join(src)}, src)
	if err != nil {
		return err
	}
	t.item.NarHash = t.want
	return s.AddDerivations(ctx, []graph.Item{t.item})
}

// alone runs the builder without a daemon.
func (t *output) alone(ctx context.Context, source string) (err error) {
	dir, err := os.MkdirTemp(t.Work, "builder-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	box := t.Box + "/bin/busybox"
	_, err = meter.Program(ctx, 1, []string{"out=" + dir + "/out", "src=" + source, "box=" + box}, box, "sh", "-e", "-c", t.script(t.Env))
	if err == nil {
		t.want, err = hashOf(dir + "/out")
	}
	return err
}

// Measure implements [Task].
func (t *output) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	ran, err := s.Run(ctx, "nix-store", "--realise", s.Dir.Join(t.item.Path))
	if err != nil {
		return err
	}
	builder, err := used(ran.Said)
	sample.Items, sample.Wall, sample.Builder = 1, ran.Took.Seconds(), builder.Seconds()
	return err
}

// Check implements [Task].
func (t *output) Check(ctx context.Context, s *side.Side) error {
	return s.Check(ctx, []graph.Item{t.item})
}
