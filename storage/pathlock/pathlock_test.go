package pathlock

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// The test binary is also the second process: it locks the paths given, says
// so, and releases them when its input has a line: "delete" or "keep".
func TestMain(m *testing.M) {
	if paths := os.Getenv("TEST_LOCK_PATHS"); paths != "" {
		if err := second(strings.Split(paths, ":")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func second(paths []string) error {
	h, err := Lock(context.Background(), paths)
	if err != nil {
		return err
	}
	fmt.Println("locked")
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return err
	}
	return h.Release(line == "delete\n")
}

type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(t *testing.T, paths ...string) process {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "TEST_LOCK_PATHS="+strings.Join(paths, ":"))
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	return process{cmd, in, bufio.NewReader(out)}
}

func (p process) awaitLocked(t *testing.T) {
	t.Helper()
	if line, err := p.out.ReadString('\n'); line != "locked\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
}

func (p process) end(t *testing.T, how string) {
	t.Helper()
	_, err := io.WriteString(p.in, how+"\n")
	must(t, err)
	must(t, p.cmd.Wait())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exists(p string) bool { _, err := os.Lstat(p); return err == nil }

func TestAnotherProcessHasOne(t *testing.T) {
	dir := t.TempDir()
	a, b := dir+"/a", dir+"/b"
	p := start(t, b)
	p.awaitLocked(t)
	var busy *BusyError
	if _, err := TryLock([]string{b, a}); !errors.As(err, &busy) || busy.Path != b || !errors.Is(err, ErrBusy) {
		t.Fatalf("error is %v", err)
	}
	h, err := TryLock([]string{a}) // it was given back
	must(t, err)
	must(t, h.Release(true))
	p.end(t, "keep")
	h, err = TryLock([]string{b, a, a})
	must(t, err)
	if !exists(a+".lock") || !exists(b+".lock") {
		t.Error("no lock files")
	}
	must(t, h.Release(true))
	must(t, h.Release(true))
	if exists(a+".lock") || exists(b+".lock") {
		t.Error("lock files stay")
	}
}

// Whoever waited on a lock file that was deleted locks the one that is at the
// path now.
func TestWaitersOfADeletedFile(t *testing.T) {
	path := t.TempDir() + "/p"
	for _, how := range []string{"delete", "keep"} {
		p := start(t, path)
		p.awaitLocked(t)
		var waiters sync.WaitGroup
		holders := make(chan struct{}, 1) // one at a time
		for range 3 {
			waiters.Go(func() {
				h, err := Lock(context.Background(), []string{path})
				if err != nil {
					t.Error(err)
					return
				}
				select {
				case holders <- struct{}{}:
				default:
					t.Error("two hold the lock")
				}
				if !exists(path + ".lock") {
					t.Error("a lock is held on a file that is not there")
				}
				<-holders
				if err := h.Release(how == "delete"); err != nil {
					t.Error(err)
				}
			})
		}
		p.end(t, how)
		waiters.Wait()
	}
}

func TestProcessesTakeTurns(t *testing.T) {
	dir := t.TempDir()
	h, err := TryLock([]string{dir + "/a", dir + "/b"})
	must(t, err)
	first, second := start(t, dir+"/a", dir+"/b"), start(t, dir+"/b", dir+"/a")
	must(t, h.Release(true))
	locked := make(chan process, 2)
	for _, p := range []process{first, second} {
		go func() {
			if line, err := p.out.ReadString('\n'); line != "locked\n" {
				t.Errorf("another process says %q, %v", line, err)
			}
			locked <- p
		}()
	}
	p := <-locked
	if _, err := TryLock([]string{dir + "/b"}); !errors.Is(err, ErrBusy) {
		t.Errorf("error is %v", err)
	}
	p.end(t, "delete")
	p = <-locked
	p.end(t, "delete")
}

func TestALockIsHeldOnceInAProcess(t *testing.T) {
	path := t.TempDir() + "/uid"
	l, err := TryFile(path)
	must(t, err)
	if _, err := TryFile(path); !errors.Is(err, ErrBusy) {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := WaitFile(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	got := make(chan *File)
	go func() {
		l, err := WaitFile(context.Background(), path)
		if err != nil {
			t.Error(err)
		}
		got <- l
	}()
	must(t, l.Unlock())
	must(t, (<-got).Delete())
}

// A cancelled wait leaves nothing held once the other process lets go.
func TestACancelledWait(t *testing.T) {
	path := t.TempDir() + "/p"
	p := start(t, path)
	p.awaitLocked(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Lock(ctx, []string{path}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	p.end(t, "keep")
	h, err := Lock(context.Background(), []string{path})
	must(t, err)
	must(t, h.Release(true))
}

// Nor does it make a file anew that the other process deletes.
func TestACancelledWaitMakesNoFile(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir+"/p")
	p.awaitLocked(t)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error)
	go func() {
		_, err := Lock(ctx, []string{dir + "/p"})
		over <- err
	}()
	awaitOpen(t, os.Getpid(), dir+"/p.lock")
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	p.end(t, "delete")
	for isOpen(t, os.Getpid(), dir+"/p.lock (deleted)") || isOpen(t, os.Getpid(), dir+"/p.lock") {
		time.Sleep(time.Millisecond)
	}
	if n := names(t, dir); len(n) > 0 {
		t.Errorf("left behind: %v", n)
	}
}

// A Nix process that waits on a deleted lock file knows it by its mark.
func TestADeletedFileIsMarked(t *testing.T) {
	path := t.TempDir() + "/p"
	l, err := TryFile(path)
	must(t, err)
	waiter, err := os.Open(path)
	must(t, err)
	must(t, l.Delete())
	if text, err := io.ReadAll(waiter); err != nil || len(text) == 0 {
		t.Errorf("the deleted file has %q, %v", text, err)
	}
	must(t, waiter.Close())
}

// What a crash between unlinking and marking leaves, either way round, does
// not hold anybody up.
func TestAMarkedFileThatIsStillThere(t *testing.T) {
	path := t.TempDir() + "/p"
	must(t, os.WriteFile(path+".lock", []byte("d"), 0o600))
	h, err := TryLock([]string{path})
	must(t, err)
	if text, err := os.ReadFile(path + ".lock"); err != nil || len(text) > 0 {
		t.Errorf("the lock file has %q, %v", text, err)
	}
	must(t, h.Release(true))
}

func TestAnUnlinkedFileIsNotTaken(t *testing.T) {
	path := t.TempDir() + "/p"
	f, err := os.Create(path)
	must(t, err)
	must(t, os.Remove(path))
	stale, err := lockOpen(f, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil || !stale {
		t.Errorf("stale is %v, %v", stale, err)
	}
	must(t, f.Close())
}

func TestALinkIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Symlink(dir+"/victim", dir+"/p.lock"))
	if _, err := TryLock([]string{dir + "/p"}); !errors.Is(err, unix.ELOOP) {
		t.Errorf("error is %v", err)
	}
	if exists(dir + "/victim") {
		t.Error("the link's target was made")
	}
}

// The real Nix waits for our lock on an output and builds when it is free.
func TestNixWaitsForUs(t *testing.T) {
	nix, err := exec.LookPath("nix-store")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("nix-store is missing")
		}
		t.Skip("nix-store is missing")
	}
	dir := t.TempDir()
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(filepath.Dir(nix), name), args...)
		cmd.Env = append(os.Environ(), "NIX_REMOTE=", "NIX_STORE_DIR="+dir+"/store", "NIX_STATE_DIR="+dir+"/var", "NIX_LOG_DIR="+dir+"/log", "NIX_CONF_DIR="+dir+"/etc")
		return cmd
	}
	drv, err := command("nix-instantiate", "-E", `derivation { name = "x"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; }`).Output()
	must(t, err)
	out, err := command("nix-store", "-q", "--outputs", strings.TrimSpace(string(drv))).Output()
	must(t, err)
	path := strings.TrimSpace(string(out))
	h, err := TryLock([]string{path})
	must(t, err)
	build := command("nix-store", "--option", "sandbox", "false", "--option", "build-users-group", "", "--option", "substitute", "false", "-vvvvv", "-r", strings.TrimSpace(string(drv)))
	talk, err := build.StderrPipe()
	must(t, err)
	must(t, build.Start())
	lines := bufio.NewScanner(talk)
	waits := false
	for lines.Scan() {
		if !waits && strings.Contains(lines.Text(), "waiting for lock on") {
			waits = true
			if exists(path) {
				t.Error("nix built what we have locked")
			}
			must(t, h.Release(true))
		}
	}
	must(t, lines.Err())
	must(t, build.Wait())
	if !waits || !exists(path) {
		t.Errorf("nix waited: %v, built: %v", waits, exists(path))
	}
}
