package meter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Memory is the proportional set size of all processes, in bytes.
func Memory(p Processes) (total int64, err error) {
	pids, err := p.List()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		one, err := pss(pid)
		if err != nil {
			return 0, err
		}
		total += one
	}
	return total, nil
}

// pss is that of one process; 0 for one that is gone.
func pss(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "Pss:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("read '/proc/%d/smaps_rollup': no Pss", pid)
}

// interval is how often memory is looked at. Each look costs about a millisecond.
const interval = 100 * time.Millisecond

// Peak looks at the memory until it is told to stop, and returns the most that it
// has seen.
func Peak(p Processes) (stop func() (int64, error)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var most int64
	var failed error
	go func() {
		defer close(done)
		for {
			now, err := Memory(p)
			most, failed = max(most, now), errors.Join(failed, err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(interval):
			}
		}
	}()
	return func() (int64, error) {
		cancel()
		<-done
		return most, failed
	}
}

// Rest waits until the processes do nothing any more, and returns what they have
// used: what a daemon puts off belongs to the work as well.
func Rest(ctx context.Context, p Processes) (time.Duration, error) {
	const quiet, poll, patience = 3, 30 * time.Millisecond, 100
	last, err := p.CPU()
	for still, n := 0, 0; err == nil && still < quiet && n < patience; n++ {
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(poll):
		}
		var now time.Duration
		now, err = p.CPU()
		still++
		if now-last > time.Millisecond {
			still = 0
		}
		last = now
	}
	return last, err
}
