package localstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"troupe/storage/storepath"
)

// A collector holds <state>/gc.lock alone; who adds a temporary root holds it
// with others while the file is written. Who finds it taken tells the collector
// of the root over <state>/gc-socket/socket: a line with the path, answered by
// a byte once the collector will spare it. This is what Nix 2.8 to 2.34 do.
const (
	collectorLockName = "gc.lock"
	collectorDirName  = "gc-socket"
	collectorSocket   = "socket"
)

func openCollectorLock(stateDir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(stateDir, collectorLockName), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
}

// consentPatience is how long a collector may take to answer.
const consentPatience = 2 * time.Minute

// consent makes sure that no collector deletes the paths before they are in the
// file; release says that they are.
func (t *TempRoots) consent(paths []storepath.Path) (release func() error, err error) {
	none := func() error { return nil }
	if t.run != nil { // the collector is ours and knows
		return none, nil
	}
	for deadline := time.Now().Add(consentPatience); ; {
		if unlock, free := t.shareLock(); free {
			return unlock, nil
		}
		conn, err := t.tellCollector(paths)
		if err == nil {
			return conn.Close, nil
		}
		// It has ended, or not begun to listen.
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("the garbage collector of another process does not answer: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// shareLock says false where a collector is at work.
func (t *TempRoots) shareLock() (unlock func() error, free bool) {
	fd := int(t.lock.Fd())
	if t.run != nil || unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB) != nil {
		return nil, false
	}
	return func() error { return unix.Flock(fd, unix.LOCK_UN) }, true
}

// tellCollector keeps the connection open, so that the collector can count on
// the paths being written.
func (t *TempRoots) tellCollector(paths []storepath.Path) (net.Conn, error) {
	address, done, err := socketAddress(t.stateDir)
	if err != nil {
		return nil, err
	}
	defer done()
	conn, err := net.DialTimeout("unix", address, consentPatience)
	if err != nil {
		return nil, err
	}
	err = conn.SetDeadline(time.Now().Add(consentPatience))
	answers := bufio.NewReader(conn)
	for _, p := range paths {
		if err == nil {
			_, err = fmt.Fprintf(conn, "%s\n", t.dir.Join(p))
		}
		if err == nil {
			_, err = answers.ReadByte()
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// socketAddress names the socket by the directory's descriptor: the name of a
// socket may not have more than 107 bytes, and that of a state directory may.
func socketAddress(stateDir string) (address string, done func(), err error) {
	fd, err := unix.Open(filepath.Join(stateDir, collectorDirName), unix.O_PATH|directoryFlags, 0)
	if err != nil {
		return "", nil, err
	}
	return procPath(fd) + "/" + collectorSocket, func() { unix.Close(fd) }, nil
}

// lockAlone polls: in the kernel's queue we could not answer our own callers,
// who would take us for another process's collector.
func (t *TempRoots) lockAlone(ctx context.Context, run *Collection, waits func()) error {
	for told := false; ; told = true {
		t.mu.Lock()
		busy := t.run != nil
		if !busy {
			err := unix.Flock(int(t.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			if busy = errors.Is(err, unix.EWOULDBLOCK); !busy && err != nil {
				t.mu.Unlock()
				return &os.PathError{Op: "lock", Path: t.lock.Name(), Err: err}
			}
			if !busy {
				t.run = run
				run.take(t)
			}
		}
		t.mu.Unlock()
		if !busy {
			return nil
		}
		if !told && waits != nil {
			waits()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pollLock):
		}
	}
}

const pollLock = 20 * time.Millisecond

// ownPID is the name of our own file among the temporary roots.
func ownPID() string { return strconv.Itoa(os.Getpid()) }
