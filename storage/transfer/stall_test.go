package transfer

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slow gives one byte a read, after a while.
type slow struct {
	pause time.Duration
	text  io.Reader
}

func (s slow) Read(p []byte) (int, error) {
	time.Sleep(s.pause)
	return s.text.Read(p[:1])
}

// ended reads n bytes from a server that takes a pause for each, itself resting after each, and says whether the
// watch ended it. It runs on a clock of its own.
func ended(t *testing.T, limit, pause, rest time.Duration, speed int64, n int) (ended bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(context.Background())
		watch := NewStall(limit, speed, cancel)
		defer watch.Stop()
		body := &Body{Reader: slow{pause, strings.NewReader(strings.Repeat("x", n))}, Stall: watch}
		for range n {
			if _, err := body.Read(make([]byte, 8)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(rest)
		}
		synctest.Wait()
		ended = ctx.Err() != nil
	})
	return ended
}

func TestStall(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name               string
		limit, pause, rest time.Duration
		speed              int64
		want               bool
	}{
		{"what comes puts the end off", 10 * s, 9 * s, 0, 0, false},
		{"silence does not", 10 * s, 11 * s, 0, 0, true},
		{"a byte a second is too slow", 10 * s, s, 0, 2, true},
		{"ten bytes in nine seconds are enough", 10 * s, s * 9 / 10, 0, 1, false},
		{"our own rest does not count", 10 * s, s * 9 / 10, 60 * s, 1, false},
		{"without a limit", 0, 1000 * s, 0, 100, false},
	} {
		if got := ended(t, c.limit, c.pause, c.rest, c.speed, 30); got != c.want {
			t.Errorf("%s: ended %v", c.name, got)
		}
	}
}
