package localstore

import (
	"bufio"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"troupe/storage/storepath"
)

// A door is where other processes tell the collector what they have begun to
// need. Everybody on the machine can, since everybody may add to a store.
type door struct {
	dir   storepath.Dir
	spare func(storepath.Path)

	listener net.Listener
	guests   sync.WaitGroup

	mu     sync.Mutex // guards what follows
	open   map[net.Conn]struct{}
	told   int
	closed bool
}

// What one collection listens to; beyond that, connections are closed, and who
// made them waits for its end.
const (
	maxGuests = 256
	maxTold   = 1 << 20
	maxLine   = 4096
)

func openDoor(stateDir string, dir storepath.Dir, spare func(storepath.Path)) (*door, error) {
	if err := makeDir(filepath.Join(stateDir, collectorDirName)); err != nil {
		return nil, err
	}
	address, done, err := socketAddress(stateDir)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := os.Remove(address); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // as Nix: the next collector does
	if err := os.Chmod(address, 0o666); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	d := &door{dir: dir, spare: spare, listener: l, open: map[net.Conn]struct{}{}}
	d.guests.Go(d.accept)
	return d, nil
}

func (d *door) accept() {
	for {
		conn, err := d.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors: who wants to tell us waits
			time.Sleep(pollLock)
			continue
		}
		if !d.admit(conn) {
			conn.Close()
			continue
		}
		d.guests.Go(func() { d.serve(conn) })
	}
}

func (d *door) admit(conn net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.open) >= maxGuests {
		return false
	}
	d.open[conn] = struct{}{}
	return true
}

func (d *door) serve(conn net.Conn) {
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.open, conn)
		conn.Close()
	}()
	lines := bufio.NewReaderSize(conn, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return
		}
		p, err := d.dir.Parse(strings.TrimSuffix(string(line), "\n"))
		if err != nil || !d.count() {
			return
		}
		d.spare(p)
		if _, err := conn.Write([]byte("1")); err != nil {
			return
		}
	}
}

func (d *door) count() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told++
	return d.told <= maxTold
}

// close turns away whoever waits for an answer.
func (d *door) close() error {
	err := d.listener.Close()
	d.mu.Lock()
	d.closed = true
	for conn := range d.open {
		conn.Close()
	}
	d.mu.Unlock()
	d.guests.Wait()
	return err
}
