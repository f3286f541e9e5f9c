package rows

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"troupe/cmd/troupe-bench/graph"
	"troupe/cmd/troupe-bench/report"
	"troupe/cmd/troupe-bench/side"
)

// syncs are the system calls that wait for the disk.
const syncs = "fsync,fdatasync,sync,syncfs,sync_file_range,msync"

// Describe asks a daemon who it is, and counts how often it flushes to the disk.
func (b *Bench) Describe(ctx context.Context, spec side.Spec) (out report.Side, err error) {
	out = report.Side{Name: spec.Name, Command: strings.Join(spec.Command, " ")}
	s, err := spec.Open(ctx, b.Work, b.uid, side.Conf{Jobs: runtime.NumCPU()})
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if out.Version, err = s.Version(ctx); err != nil {
		return out, err
	}
	if spec.Socket != "" {
		out.Command = "at " + spec.Socket
		return out, nil
	}
	if own, err := exec.CommandContext(ctx, spec.Command[0], "--version").Output(); err == nil && spec.Root == "/" {
		out.Version = strings.TrimSpace(string(own)) // which ours does not say to clients
	}
	out.Syncs, err = b.Count(ctx, s, syncs, graph.Chain(20))
	return out, err
}

// Count counts the system calls of some names that a daemon and its builders make,
// from its start to its end, to build a graph. It is nil where there is no strace
// that the daemon finds.
func (b *Bench) Count(ctx context.Context, s *side.Side, calls string, shape graph.Shape) (map[string]int, error) {
	strace, err := exec.LookPath("strace")
	if err != nil || s.Root != "/" {
		return nil, nil
	}
	if err := s.Stop(); err != nil {
		return nil, err
	}
	file := b.Work + "/strace"
	if err := s.Start(ctx, b.Work, strace, "-f", "-qq", "-c", "-U", "calls,name", "-e", "trace="+calls, "-o", file); err != nil {
		return nil, err
	}
	if err := s.Show(); err != nil {
		return nil, err
	}
	t := build{Env: &b.Env, shape: shape}
	if err := t.Prepare(ctx, s, -1); err != nil {
		return nil, err
	}
	if err := t.Measure(ctx, s, &report.Sample{}); err != nil {
		return nil, err
	}
	if err := errors.Join(t.Check(ctx, s), s.Stop()); err != nil {
		return nil, err
	}
	return readCounts(file)
}

// readCounts reads the summary of strace: lines "CALLS NAME".
func readCounts(file string) (map[string]int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || fields[1] == "total" {
			continue
		}
		if n, err := strconv.Atoi(fields[0]); err == nil {
			counts[fields[1]] = n
		}
	}
	if len(counts) == 0 && len(text) > 0 {
		return nil, fmt.Errorf("read the counts of strace: %q", text)
	}
	return counts, nil
}
