package localstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
	"troupe/storage/storepath"
)

func roots(t *testing.T) (localstore.Layout, *localstore.TempRoots) {
	t.Helper()
	l := layout(t)
	r, err := localstore.OpenTempRoots(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, r
}

func add(t *testing.T, r *localstore.TempRoots, owner string, paths ...storepath.Path) {
	t.Helper()
	if err := r.Add(owner, paths...); err != nil {
		t.Fatal(err)
	}
}

func wantKept(t *testing.T, r *localstore.TempRoots, want ...storepath.Path) {
	t.Helper()
	if got := r.Kept(); !slices.Equal(got, want) {
		t.Errorf("kept are %v, want %v", got, want)
	}
}

// A path is kept for as long as one owner wants it.
func TestOwners(t *testing.T) {
	l, r := roots(t)
	p := numbered(t, 0, 3)
	add(t, r, "a", p[0], p[1], p[1])
	add(t, r, "a", p[1])
	add(t, r, "b", p[1], p[2])
	wantKept(t, r, p...)
	r.Drop("a")
	r.Drop("a")
	wantKept(t, r, p[1], p[2])
	r.Drop("b")
	wantKept(t, r)
	add(t, r, "c", p[0])
	wantKept(t, r, p[0])
	if got := listed(t, l); len(got) != 3 { // each once, whoever wants it
		t.Error("the file has", got)
	}
}

// The file has all that is kept, and is made anew when it has much more.
func TestTheFileIsCompacted(t *testing.T) {
	l, r := roots(t)
	p := numbered(t, 0, 2000)
	add(t, r, "long", p[:500]...)
	add(t, r, "short", p[400:]...)
	before, err := os.Open(rootsFile(l))
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	r.Drop("short")
	if got, want := listed(t, l), logical(p[:500]); !slices.Equal(got, want) {
		t.Errorf("the file has %d paths, want %d", len(got), len(want))
	}
	now, err := os.Open(rootsFile(l))
	if err != nil {
		t.Fatal(err)
	}
	defer now.Close()
	for _, f := range []*os.File{before, now} { // whoever opened the old one must not take it for stale
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
			t.Error("it is not locked:", err)
		}
	}
	add(t, r, "next", p[1000])
	if got := listed(t, l); len(got) != 501 {
		t.Errorf("the file has %d paths", len(got))
	}
}

// While somebody collects, the file that the collector may be reading stays.
func TestNoCompactionWhileCollecting(t *testing.T) {
	l, r := roots(t)
	lock, err := os.OpenFile(l.StateDir+"/gc.lock", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	add(t, r, "short", numbered(t, 0, 2000)...)
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	r.Drop("short")
	if got := listed(t, l); len(got) != 2000 {
		t.Errorf("the file has %d paths", len(got))
	}
}

func TestDropsWaitForACollection(t *testing.T) {
	_, r := roots(t)
	p := numbered(t, 0, 3)
	add(t, r, "a", p[0], p[1])
	c, err := r.Collect(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Drop("a")
	wantKept(t, r, p[0], p[1])
	add(t, r, "a", p[1], p[2]) // another of that name
	var told []string
	for range 2 {
		err := c.Exclude(func(fresh []storepath.Path) error {
			slices.SortFunc(fresh, storepath.Path.Compare)
			told = append(told, fmt.Sprint(len(fresh)))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(told, " "); got != "3 0" {
		t.Errorf("told of %s paths", got)
	}
	if err := c.End(); err != nil {
		t.Fatal(err)
	}
	wantKept(t, r, p[1], p[2])
}

// A lease waits for the batch that is under way.
func TestLeasesWaitForABatch(t *testing.T) {
	_, r := roots(t)
	c, err := r.Collect(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	leased := make(chan error, 1)
	err = c.Exclude(func([]storepath.Path) error {
		go func() { leased <- r.Add("", numbered(t, 0, 1)...) }()
		for range 100 {
			select {
			case <-leased:
				return errors.New("it was leased in a batch")
			default:
				unix.Nanosleep(&unix.Timespec{Nsec: 100_000}, nil)
			}
		}
		return nil
	})
	if err := errors.Join(err, <-leased, c.End()); err != nil {
		t.Error(err)
	}
}

// collector is one of another process: the lock and the socket.
func collector(t *testing.T, l localstore.Layout) (lock *os.File, told chan string) {
	t.Helper()
	lock, err := os.OpenFile(l.StateDir+"/gc.lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(l.StateDir+"/gc-socket", 0o755); err != nil {
		t.Fatal(err)
	}
	server, err := net.Listen("unix", l.StateDir+"/gc-socket/socket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(); lock.Close() })
	told = make(chan string)
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				told <- lines.Text()
				told <- "may go on"
				if _, err := conn.Write([]byte("1")); err != nil {
					t.Error(err)
				}
			}
			conn.Close()
		}
	}()
	return lock, told
}

// Another process's collector is told of a path before it is leased.
func TestAnotherCollectorIsTold(t *testing.T) {
	l, r := roots(t)
	lock, told := collector(t, l)
	p := numbered(t, 0, 2)
	leased := make(chan error)
	go func() { leased <- r.Add("", p...) }()
	for _, want := range p {
		if got := <-told; got != l.Dir.Join(want) {
			t.Errorf("told of %s, want %s", got, want)
		}
		if got := listed(t, l); len(got) > 0 {
			t.Error("it was listed before the collector agreed:", got)
		}
		<-told
	}
	if err := <-leased; err != nil {
		t.Fatal(err)
	}
	add(t, r, "again", p...) // which the file has
	if got := listed(t, l); len(got) != 2 {
		t.Error(got)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	add(t, r, "", numbered(t, 2, 3)...)
}

// Our collector spares what other processes tell it, and closes the connection
// on what makes no sense.
func TestOurCollectorIsTold(t *testing.T) {
	l, r := roots(t)
	c, err := r.Collect(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		conn, err := net.Dial("unix", l.StateDir+"/gc-socket/socket")
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	p := numbered(t, 0, 1)[0]
	conn := dial()
	if _, err := fmt.Fprintf(conn, "%s\n", l.Dir.Join(p)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1)
	if _, err := io.ReadFull(conn, answer); err != nil || answer[0] != '1' {
		t.Fatal(answer, err)
	}
	err = c.Exclude(func(fresh []storepath.Path) error {
		if !slices.Equal(fresh, []storepath.Path{p}) {
			t.Error("told of", fresh)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"/etc/passwd\n", "\n", strings.Repeat("x", 10_000)} {
		bold := dial()
		go io.WriteString(bold, bad)
		if n, err := bold.Read(answer); n > 0 || err == nil {
			t.Errorf("%.20q was answered", bad)
		}
		bold.Close()
	}
	silent := dial()
	if err := c.End(); err != nil {
		t.Fatal(err)
	}
	for _, open := range []net.Conn{conn, silent} {
		if n, err := open.Read(answer); n > 0 || err == nil {
			t.Error("the connection is still open")
		}
		open.Close()
	}
	wantKept(t, r)
}

// The real Nix asks our collector, and goes on when it has ended.
func TestNixAsksOurCollector(t *testing.T) {
	if _, err := exec.LookPath("nix-store"); err != nil {
		missing(t, "nix-store")
	}
	dir := tempDir(t)
	l := layoutIn(dir)
	l.Root, l.Dir, l.StateDir = "", storepath.Dir(dir+"/store"), dir+"/state"
	if err := localstore.Prepare(l, ""); err != nil {
		t.Fatal(err)
	}
	r, err := localstore.OpenTempRoots(l)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := r.Collect(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	treeAt(t, dir, map[string]string{"file": "text", "nix.conf": "build-users-group =\n"})
	nix := exec.Command("nix-store", "--add", dir+"/file")
	nix.Env = append(os.Environ(), "NIX_REMOTE=", "NIX_STORE_DIR="+dir+"/store", "NIX_STATE_DIR="+dir+"/state", "NIX_CONF_DIR="+dir, "NIX_USER_CONF_FILES=", "HOME="+dir)
	out, err := nix.CombinedOutput() // it ends while we collect, so it was answered
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	err = c.Exclude(func(fresh []storepath.Path) error {
		if len(fresh) != 1 || l.Dir.Join(fresh[0]) != strings.TrimSpace(string(out)) {
			t.Errorf("told of %v, want %s", fresh, out)
		}
		return nil
	})
	if err := errors.Join(err, c.End()); err != nil {
		t.Fatal(err)
	}
}
