package meter

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

// Program is what one run of a program costs by itself, its start included: the
// mean of n runs. What a daemon uses beyond that is the daemon's.
func Program(ctx context.Context, n int, env []string, name string, args ...string) (time.Duration, error) {
	var used time.Duration
	for range n {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("run the builder by itself: %w: %s", err, out)
		}
		used += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	return used / time.Duration(n), nil
}
