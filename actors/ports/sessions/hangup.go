package sessions

import (
	"context"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchful runs something that takes a while, and ends its context when the
// client hangs up.
func (c *connection) watchful(f func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	watch := make(chan error, 1)
	c.mu.Lock()
	if c.watch == nil {
		c.watch = watch
		go c.await(ctx, watch)
	}
	c.mu.Unlock()
	f(ctx)
}

// await waits for the client to hang up or to say something. Whoever has said
// something can still hang up before it is read.
func (c *connection) await(ctx context.Context, watch chan<- error) {
	err := c.r.Await()
	if err != nil {
		c.cancel()
	}
	watch <- err
	if err != nil {
		return
	}
	t := time.NewTicker(lookForHangUp)
	defer t.Stop()
	for !c.hungUp() {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
	c.cancel()
}

// lookForHangUp is how often a client is looked at that has sent more than was
// read, as none of Nix's own does.
const lookForHangUp = 250 * time.Millisecond

// hungUp asks the kernel whether the client has closed its end.
func (c *connection) hungUp() (gone bool) {
	conn, ok := c.conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(p, 0)
		gone = err == nil && n > 0 && p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone && err == nil
}
