package rows

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"troupe/cmd/troupe-bench/graph"
	"troupe/cmd/troupe-bench/meter"
	"troupe/cmd/troupe-bench/side"
)

// copyBox makes a directory with bin/busybox: the builder of all derivations.
func copyBox(dir string) error {
	file, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("find a builder: %w; it is in Debian's busybox-static", err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir+"/bin", 0o755); err != nil {
		return err
	}
	return os.WriteFile(dir+"/bin/busybox", data, 0o755)
}

// maker makes derivations for a side, after the builder is there. Other salts make
// others.
func (e *Env) maker(ctx context.Context, s *side.Side, salt string) (graph.Maker, error) {
	box, err := s.AddTree(ctx, e.Box, "box")
	return graph.Maker{Dir: s.Dir, Box: box, Salt: e.Salt + salt}, err
}

// builder is the processor time that a script costs by itself, as the mean of n
// runs; it is measured once.
func (e *Env) builder(ctx context.Context, n int, script string, env ...string) (time.Duration, error) {
	if c, ok := e.cost[script]; ok {
		return c, nil
	}
	dir, err := os.MkdirTemp(e.Work, "builder-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	box := filepath.Join(e.Box, "bin/busybox")
	c, err := meter.Program(ctx, n, append(env, "out="+dir+"/out", "name=x", "salt=x", "box="+box), box, "sh", "-e", "-c", script)
	if err == nil {
		e.cost[script] = c
	}
	return c, err
}
