package sessions_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"troupe/actors"
	"troupe/actors/ports/sessions"
	"troupe/messages/workerproto"
)

// greeting is all that is said to a new client before its first operation.
func greeting(peer sessions.Peer) []byte {
	trust := 2
	if peer.UID == 0 {
		trust = 1
	}
	return wire(0x6478696f, 0x126, 1, workerproto.RealisationWithPath, "2.34.8", trust, 0x616c7473)
}

// counted counts what is written.
type counted struct {
	net.Conn
	writes atomic.Int32
}

func (c *counted) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// counting is a connection on which nothing is said yet, and how often the service
// writes.
func (w *world) counting(peer sessions.Peer) (*client, *counted) {
	var conn *counted
	made := make(chan struct{})
	c := w.rawAs(peer, func(inner net.Conn) net.Conn {
		conn = &counted{Conn: inner}
		close(made)
		return conn
	})
	<-made
	return c, conn
}

// read reads so many bytes.
func (c *client) read(n int) []byte {
	c.t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c.conn, b); err != nil {
		c.t.Fatal(err)
	}
	return b
}

// TestGreetedAtOnce: who has said its version is told all that there is to say by one
// write; an old client says its version when it knows ours, and there are two.
func TestGreetedAtOnce(t *testing.T) {
	w := newWorld(t)
	all := greeting(anybody)
	c, conn := w.counting(anybody)
	c.write(wire(magic, 0x126))
	if got := c.read(len(all)); !bytes.Equal(got, all) || conn.writes.Load() != 1 {
		t.Errorf("a new client reads %x by %d writes", got, conn.writes.Load())
	}
	c.write(wire(1, "x", 0, 0, 23)) // features, nothing more, and all paths
	if got, want := c.read(16), wire(0x616c7473, 0); !bytes.Equal(got, want) {
		t.Errorf("its question is answered %x", got)
	}
	c, conn = w.counting(rootUser)
	c.write(wire(magic))
	if got, want := c.read(16), all[:16]; !bytes.Equal(got, want) {
		t.Errorf("an old client reads %x", got)
	}
	c.write(wire(0x122, 0, 0))
	if got, want := c.read(24), wire("2.34.8", 0x616c7473); !bytes.Equal(got, want) || conn.writes.Load() != 2 {
		t.Errorf("an old client reads %x by %d writes", got, conn.writes.Load())
	}
}

// TestRefusedAfterAll: who may not come in is told so when it has said all that it
// had to say: before, it would not be reading, and find the connection closed.
func TestRefusedAfterAll(t *testing.T) {
	w := newWorld(t, func(s *actors.Settings) { s.Machines.Door.MaxSessions = 1 })
	w.connect(anybody, newest)
	c := w.raw(anybody)
	c.write(wire(magic, 0x126))
	all := greeting(anybody)
	if got, want := c.read(len(all)-8), all[:len(all)-8]; !bytes.Equal(got, want) {
		t.Fatalf("it reads %x", got)
	}
	c.Dialect = workerproto.Dialect{Dir: w.layout.Dir, Version: 0x126}
	for b := range slices.Chunk(wire(0, 0, 0), 8) {
		c.write(b)
	}
	var refused *workerproto.Error
	if err := c.listen(); !errors.As(err, &refused) || refused.Message != "there are 1 connections already" {
		t.Errorf("it is told %v", err)
	}
}
