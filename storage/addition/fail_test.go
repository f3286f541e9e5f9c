package addition_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"troupe/storage/addition"
	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// endsAfter is a context that ends when it was asked a number of times.
type endsAfter struct {
	context.Context
	asked, end int
}

func (c *endsAfter) Err() error {
	if c.asked++; c.asked > c.end {
		return context.Canceled
	}
	return nil
}

// An addition that is cancelled leaves nothing, at whatever moment that is.
func TestAddCancelled(t *testing.T) {
	s := newStore(t)
	tree := sampleTree(t)
	must(t, os.WriteFile(tree+"/large", make([]byte, 3<<20), 0o644))
	must(t, os.Chmod(tree+"/sub", 0o555)) // an ordinary user cannot simply remove a copy
	for end := 0; ; end++ {
		p, err := s.adder().Tree(&endsAfter{Context: context.Background(), end: end}, tree, "tree")
		if err == nil {
			if end < 5 {
				t.Errorf("after %d looks at the context it was done", end)
			}
			s.want(t, p)
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if got := s.contents(t); len(got) > 0 {
			t.Fatalf("cancelled at look %d: the store has %q", end, got)
		}
	}
}

// changesAfter never ends, and does something when it was asked a number of
// times.
type changesAfter struct {
	context.Context
	asked, moment int
	change        func()
}

func (c *changesAfter) Err() error {
	if c.asked++; c.asked == c.moment {
		c.change()
	}
	return nil
}

// A source that is changed meanwhile is added as it was or as it is, or not at
// all.
func TestAddWhatChanges(t *testing.T) {
	refused := 0
	for moment := 1; ; moment++ {
		s := newStore(t)
		tree := sampleTree(t)
		ctx := &changesAfter{Context: context.Background(), moment: moment, change: func() {
			must(t, os.WriteFile(tree+"/text", []byte("longer text\n"), 0o644))
		}}
		p, err := s.adder().Tree(ctx, tree, "tree")
		if err != nil {
			if !strings.Contains(err.Error(), "changed while it was copied") {
				t.Fatal(err)
			}
			refused++
			s.want(t)
			continue
		}
		s.want(t, p)
		h, err := localstore.HashTree(s.RealPath(p), storepath.NAR, nixhash.SHA256)
		must(t, err)
		if want, err := s.Dir.MakeFixed("tree", storepath.NAR, h, nil, false); err != nil || p != want {
			t.Errorf("%s has what %s should have", p, want)
		}
		if ctx.asked < moment {
			break
		}
	}
	if refused == 0 {
		t.Error("it was never changed between hash and copy")
	}
}

// Who waits for the lock of a path can be cancelled, too.
func TestAddCancelledWhileItWaits(t *testing.T) {
	s := newStore(t)
	tree := sampleTree(t)
	lock := s.RealStoreDir() + "/j3vx8azsp3sa8smjiynkaxinwd5v7z6m-tree.lock"
	f, err := os.Create(lock)
	must(t, err)
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, err := s.adder().Tree(ctx, tree, "tree")
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	must(t, errors.Join(f.Close(), os.Remove(lock)))
	// The wait is in the kernel, and gives the lock back when it has it.
	for range 1000 {
		if len(s.contents(t)) == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.want(t)
}

// missing skips a test, where nobody has promised that it can run.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("missing: ", what)
	}
	t.Skip("missing: ", what)
}

const insideVar = "ADDITION_TEST_INSIDE"

// withMounts runs the calling test again where its mounts are nobody else's and
// go when it ends. It says true inside.
func withMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVar) != "" {
		must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		return true
	}
	c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), insideVar+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := c.CombinedOutput()
	if len(out) == 0 && err != nil {
		missing(t, "mount namespaces: "+err.Error())
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("inside: %v\n%s", err, out)
	}
	return false
}

// A disk that fills up keeps nothing of what was added, and takes it once there
// is space. It fills with blocks, and with inodes.
func TestAddToFullDisk(t *testing.T) {
	if !withMounts(t) {
		return
	}
	ctx := context.Background()
	tree := sampleTree(t)
	must(t, os.WriteFile(tree+"/large", make([]byte, 4<<20), 0o644))
	sent := archiveOf(t, tree)
	for _, small := range []string{"size=256k", "size=900k", "size=3m", "size=16m,nr_inodes=19", "size=16m,nr_inodes=21", "size=16m,nr_inodes=23"} {
		disk := tempDir(t)
		must(t, unix.Mount("none", disk, "tmpfs", 0, small))
		t.Cleanup(func() { must(t, unix.Unmount(disk, unix.MNT_DETACH)) })
		s := storeIn(t, disk)
		if _, err := s.adder().Tree(ctx, tree, "tree"); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s: %v", small, err)
		}
		o := addition.Object{Name: "tree", Method: storepath.NAR, Algorithm: nixhash.SHA256}
		if _, err := s.adder().Add(ctx, o, bytes.NewReader(sent)); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s, received: %v", small, err)
		}
		s.want(t)
		must(t, unix.Mount("none", disk, "tmpfs", unix.MS_REMOUNT, "size=16m,nr_inodes=100"))
		p, err := s.adder().Tree(ctx, tree, "tree")
		must(t, err)
		s.want(t, p)
	}
}
