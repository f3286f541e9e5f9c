package sessions_test

import (
	"encoding/hex"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"troupe/actors"
	"troupe/messages/workerproto"
	"troupe/storage/localstore"
)

// captured are the clients' sides of sessions with the real nix-daemon, one a
// connection.
func captured(t *testing.T) (sessions [][]byte) {
	t.Helper()
	files, err := filepath.Glob("../../../messages/workerproto/testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captured sessions: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		client := false
		for line := range strings.Lines(string(text)) {
			switch {
			case line == "> hello\n":
				sessions, client = append(sessions, nil), true
			case strings.HasPrefix(line, "> "):
				client = true
			case strings.HasPrefix(line, "< "):
				client = false
			case client && len(sessions) > 0:
				digits, _, _ := strings.Cut(line, "|")
				b, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				last := len(sessions) - 1
				sessions[last] = append(sessions[last], b...)
			}
		}
	}
	return sessions
}

// TestHangUps lets clients hang up in the middle of what real ones say: at every
// byte where TROUPE_EVERY_BYTE is set, otherwise at some of each session, by the
// seed in the log. They leave nothing behind, and nobody else notices.
func TestHangUps(t *testing.T) {
	var layout localstore.Layout
	w := newWorld(t, func(s *actors.Settings) {
		layout = s.Services.Layout
		layout.Root, layout.Dir = filepath.Dir(layout.StateDir), "/nix/store" // as it is captured
		if err := localstore.Prepare(layout, ""); err != nil {
			t.Fatal(err)
		}
		s.Services.Layout, s.Machines.Goal.StoreDir = layout, layout.Dir
	})
	w.layout = layout
	before := runtime.NumGoroutine()
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	all, cuts := captured(t), 0
	for i, s := range all {
		at := []int{0, 1, 7, 8, 15, 16, len(s) - 1, len(s)}
		for range 12 {
			at = append(at, rng.IntN(len(s)))
		}
		if os.Getenv("TROUPE_EVERY_BYTE") != "" {
			at = nil
			for n := range len(s) + 1 {
				at = append(at, n)
			}
		}
		var wg sync.WaitGroup
		for _, n := range at {
			c := w.raw(rootUser)
			wg.Go(func() {
				c.write(s[:n])
				switch n % 3 {
				case 0:
					c.conn.Close()
				case 1: // it reads to the end
					c.hangUp()
					c.closes()
				case 2: // it does not
					c.hangUp()
					c.conn.Close()
				}
				<-c.served
			})
			cuts++
		}
		wg.Wait()
		if t.Failed() {
			t.Fatalf("session %d", i)
		}
	}
	t.Logf("%d sessions, %d hang-ups", len(all), cuts)
	tell[*workerproto.One](w.connect(anybody, newest), &workerproto.SyncWithGC{}, nil)
	eventually(t, "nothing is left of them", func() bool { return runtime.NumGoroutine() <= before+4 })
	if left, err := os.ReadDir(w.layout.BuildsDir()); err != nil || len(left) > 0 {
		t.Errorf("build directories %v, %v", left, err)
	}
}

// TestClientThatDoesNotRead: what a builder writes for it is kept where it is,
// on disk; whoever else wants the build has it, and what it hears.
func TestClientThatDoesNotRead(t *testing.T) {
	w := newWorld(t)
	const megabytes = 6
	r := w.derivation("talks", "i=0; while [ $i -lt 6 ]; do head -c 1048576 /dev/zero | tr '\\0' 'y' | fold -w 63; echo; i=$((i+1)); done; echo end; echo > $out")
	deaf, other := w.connect(rootUser, newest), w.connect(anybody, newest)
	deaf.add(r)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if err := deaf.send(build(r), nil); err != nil {
		t.Fatal(err)
	}
	q := build(r)
	if err := other.send(q, nil); err != nil {
		t.Fatal(err)
	}
	bytes, last := 0, ""
	for {
		m, err := workerproto.ReadFrame(other.r, other.Dialect)
		if err != nil {
			t.Fatal(err)
		}
		if _, over := m.(*workerproto.Last); over {
			break
		}
		for _, l := range lines([]workerproto.Frame{m}) {
			bytes, last = bytes+len(l), l
		}
	}
	if last != "end" || bytes < megabytes<<20 {
		t.Errorf("the other hears %d bytes, the last line is %q", bytes, last)
	}
	grown := int64(0)
	for range 200 { // the log is being compressed, which takes some memory, too
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown = int64(after.HeapAlloc) - int64(before.HeapAlloc); grown <= 4<<20 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if grown > 4<<20 {
		t.Errorf("%d bytes are held for the one that does not read", grown)
	}
	deaf.conn.Close()
	deaf.closesNow()
}

// TestThousand: a thousand clients at once are served, and cost next to nothing
// while they say nothing.
func TestThousand(t *testing.T) {
	w := newWorld(t)
	const clients = 1000
	cost := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := cost()
	all := make([]*client, clients)
	for i := range all {
		all[i] = w.raw(anybody)
		all[i].write(wire(magic, 0x122, 0, 0))
		if _, err := io.ReadFull(all[i].conn, make([]byte, len(wire(magic, 0x126, "2.34.8", 0)))); err != nil {
			t.Fatal(err)
		}
		all[i].Dialect = workerproto.Dialect{Dir: w.layout.Dir, Version: 0x122}
	}
	each := (cost() - min(before, cost())) / clients
	t.Logf("%d bytes a connection, of both ends", each)
	if each > 16<<10 {
		t.Errorf("%d bytes a connection", each)
	}
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			for range 5 {
				tell[*workerproto.Bool](c, &workerproto.IsValidPath{Path: record(t, hash1+"-x", nil).Path}, nil)
			}
		})
	}
	wg.Wait()
	slices.Reverse(all)
	for _, c := range all {
		c.conn.Close()
	}
	for _, c := range all {
		c.closesNow()
	}
}
