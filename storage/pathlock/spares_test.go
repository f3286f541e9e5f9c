package pathlock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	return st.Ino
}

// One inode serves one lock after the other.
func TestSpareIsUsedAgain(t *testing.T) {
	dir, spares := t.TempDir(), t.TempDir()
	s := NewSpares(spares)
	var first uint64
	for i, path := range []string{dir + "/a", dir + "/b"} {
		h, err := s.TryLock([]string{path})
		must(t, err)
		if _, err := s.TryLock([]string{path}); !isBusy(err) {
			t.Errorf("locked twice: %v", err)
		}
		now := inode(t, path+".lock")
		if i == 0 {
			first = now
		} else if now != first {
			t.Error("it is another file")
		}
		must(t, h.Release(true))
		if n := names(t, dir); len(n) > 0 {
			t.Errorf("left behind: %v", n)
		}
	}
	if n := names(t, spares); len(n) != 1 {
		t.Errorf("spares: %v", n)
	}
	must(t, s.Close())
	h, err := s.TryLock([]string{dir + "/c"})
	must(t, err)
	must(t, h.Release(true))
	if n := append(names(t, spares), names(t, dir)...); len(n) > 0 {
		t.Errorf("left behind: %v", n)
	}
}

func isBusy(err error) bool {
	var busy *BusyError
	return errors.As(err, &busy)
}

// Another process that waits for a lock whose file was a spare gets that lock, and
// keeps the file from being one again.
func TestSpareThatAnotherWaitsFor(t *testing.T) {
	dir, spares := t.TempDir(), t.TempDir()
	s := NewSpares(spares)
	h, err := s.TryLock([]string{dir + "/a"})
	must(t, err)
	defer s.Close() // which lets the other go on, whatever happens
	p := start(t, dir+"/a")
	awaitOpen(t, p.cmd.Process.Pid, dir+"/a.lock")
	must(t, h.Release(true))
	if n := names(t, spares); len(n) > 0 {
		t.Fatalf("a file that another waits for is spare: %v", n)
	}
	p.awaitLocked(t)
	if _, err := s.TryLock([]string{dir + "/a"}); !isBusy(err) {
		t.Errorf("locked twice: %v", err)
	}
	p.end(t, "delete")
}

// Who waits for a lock waits with spares as well: the file is the one that was there,
// and a wait that has ended takes none.
func TestSpareForOneWhoWaits(t *testing.T) {
	dir, spares := t.TempDir(), t.TempDir()
	s := NewSpares(spares)
	defer s.Close()
	path := []string{dir + "/a"}
	first, err := s.Lock(t.Context(), path)
	must(t, err)
	before := inode(t, dir+"/a.lock")
	got := make(chan *Held)
	go func() {
		h, err := s.Lock(t.Context(), path)
		if err != nil {
			t.Error(err)
		}
		got <- h
	}()
	must(t, first.Release(true))
	h := <-got
	if after := inode(t, dir+"/a.lock"); after != before {
		t.Errorf("it made a file: %d, %d before", after, before)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := s.Lock(ended, []string{dir + "/b"}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	if _, err := s.Lock(ended, path); !errors.Is(err, context.Canceled) {
		t.Errorf("ended, and busy: %v", err)
	}
	must(t, h.Release(true))
	if in, spare := names(t, dir), names(t, spares); len(in) > 0 || len(spare) != 1 {
		t.Errorf("left: %v, spare: %v", in, spare)
	}
	var none *Spares
	h, err = none.Lock(t.Context(), path)
	must(t, err)
	must(t, h.Release(true))
}

// One that has opened a lock file just before it became a spare, and was not seen,
// is told soon that this is a lock no more.
func TestSpareThatWasOpenedMeanwhile(t *testing.T) {
	dir, spares := t.TempDir(), t.TempDir()
	s := NewSpares(spares)
	defer s.Close()
	h, err := s.TryLock([]string{dir + "/a"})
	must(t, err)
	must(t, h.Release(true))
	f, err := os.OpenFile(filepath.Join(spares, names(t, spares)[0]), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX)) // as one that waits does
	if info, err := f.Stat(); err != nil || info.Size() == 0 {
		t.Errorf("it has the lock, and does not know that it is worth nothing: %v", err)
	}
	if n := names(t, spares); len(n) > 0 {
		t.Errorf("a file that another has open is spare: %v", n)
	}
}

// awaitOpen returns when a process has a file open.
func awaitOpen(t *testing.T, pid int, file string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if isOpen(t, pid, file) {
			return
		}
	}
	t.Fatal("it does not open the file")
}

func isOpen(t *testing.T, pid int, file string) bool {
	t.Helper()
	fds, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "fd", "*"))
	must(t, err)
	return slices.ContainsFunc(fds, func(fd string) bool {
		to, err := os.Readlink(fd)
		return err == nil && to == file
	})
}

// What lies at the place already is locked as it is: here what a crash has left.
func TestSpareAndWhatIsThere(t *testing.T) {
	dir, spares := t.TempDir(), t.TempDir()
	s := NewSpares(spares)
	must(t, os.WriteFile(dir+"/a.lock", nil, 0o600))
	there := inode(t, dir+"/a.lock")
	h, err := s.TryLock([]string{dir + "/a"})
	must(t, err)
	if inode(t, dir+"/a.lock") != there {
		t.Error("it was replaced")
	}
	must(t, h.Release(false))
	h, err = Lock(context.Background(), []string{dir + "/a"})
	must(t, err)
	must(t, h.Release(true))
	must(t, s.Drop())
	if n := append(names(t, spares), names(t, dir)...); len(n) > 0 {
		t.Errorf("left behind: %v", n)
	}
}

// Without their directory there are none, and locks work as ever.
func TestNoSpares(t *testing.T) {
	dir := t.TempDir()
	s := NewSpares(dir + "/none")
	h, err := s.TryLock([]string{dir + "/a"})
	must(t, err)
	if !exists(dir + "/a.lock") {
		t.Error("no lock file")
	}
	must(t, h.Release(true))
	if n := names(t, dir); len(n) > 0 {
		t.Errorf("left behind: %v", n)
	}
	must(t, s.Close())
}
