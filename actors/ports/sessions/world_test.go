package sessions_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"troupe/actors"
	"troupe/actors/goal"
	"troupe/actors/machines"
	"troupe/actors/ports"
	"troupe/actors/ports/sessions"
	"troupe/actors/store"
	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/sandbox"
	"troupe/sandbox/linux"
	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/nar"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// world is a real tree of actors on a store of its own, which reads as where it
// is.
type world struct {
	t      *testing.T
	dir    string
	layout localstore.Layout
	db     *validity.DB
	tree   *actors.Tree
	panics chan string // why actors of the tree's own ended
	of     sessions.Settings
}

// platform is the system of derivations in these tests.
const platform = "test-system"

// newWorld starts one; change may change what it is made of.
func newWorld(t *testing.T, change ...func(*actors.Settings)) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "troupe-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := localstore.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, dir: dir, panics: make(chan string, 1),
		layout: localstore.Layout{Dir: storepath.Dir(dir + "/store"), StateDir: dir + "/var", LogDir: dir + "/log"}}
	if err := localstore.Prepare(w.layout, ""); err != nil {
		t.Fatal(err)
	}
	if w.db, err = validity.Open(dir+"/db", validity.Options{}); err != nil {
		t.Fatal(err)
	}
	roots, err := localstore.OpenTempRoots(w.layout)
	if err != nil {
		t.Fatal(err)
	}
	launcher, err := linux.NewLauncher()
	if err != nil {
		t.Fatal(err)
	}
	policy := ports.BuildPolicy{Experimental: derivation.Features{"ca-derivations", "dynamic-derivations", "impure-derivations"}, BuildDir: w.layout.BuildsDir(), KeepLog: true, LogLines: 10, HostEnv: func(string) string { return "" },
		Sandbox: sandbox.Policy{Mode: sandbox.Off, BuildDir: "/build", System: platform}}
	of := &sessions.Settings{Access: sessions.Access{Allowed: []string{"*"}, Trusted: []string{"root"}},
		Terms: func(*workerproto.SetOptions, bool) (messages.Terms, []string) { return messages.Terms{}, nil }}
	s := actors.Settings{
		Machines: machines.Settings{Goal: goal.Policy{StoreDir: w.layout.Dir}, Store: store.Policy{Gather: 16, Linger: time.Second},
			MaxJobs: 4, Users: []messages.BuildUser{{UID: os.Geteuid(), GID: os.Getegid(), Shared: true}}},
		Services: ports.Services{Layout: w.layout, DB: w.db, Roots: roots, Launcher: launcher,
			PolicyOf: func(string) (ports.BuildPolicy, error) { return policy, nil }},
		Sessions: of,
		Fatal:    func(at messages.Address, reason string) { w.panics <- fmt.Sprint(at, ": ", reason) },
	}
	for _, f := range change {
		f(&s)
	}
	w.of = *s.Sessions
	w.tree = actors.Start(s)
	t.Cleanup(func() { w.end(roots, launcher) })
	return w
}

// end ends everything; what holds a file or a process of this world is an error.
func (w *world) end(roots *localstore.TempRoots, launcher *linux.Launcher) {
	w.tree.Sessions.Drain(0)
	// The test's own context is over by now.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.tree.Clients.AwaitRest(ctx); err != nil {
		w.t.Error(err)
	}
	w.tree.Close()
	if err := errors.Join(roots.Close(), launcher.Close(), w.db.Close()); err != nil {
		w.t.Error(err)
	}
	select {
	case reason := <-w.panics:
		w.t.Error(reason)
	default:
	}
	for _, dir := range []string{w.layout.BuildsDir(), w.layout.SandboxesDir()} {
		if left, err := os.ReadDir(dir); err != nil && !errors.Is(err, os.ErrNotExist) || len(left) > 0 {
			w.t.Errorf("%s has %v, %v", dir, left, err)
		}
	}
}

var (
	rootUser = sessions.Peer{UID: 0, User: "root", Group: "root"}
	anybody  = sessions.Peer{UID: 1000, GID: 1000, User: "ann", Group: "ann"}
)

// client is one at the other end of a socket.
type client struct {
	t    *testing.T
	conn net.Conn
	workerproto.Peer
	r      *workerproto.Reader
	w      *workerproto.Writer
	served chan struct{} // closed when the connection is over on the other side

	pulls  []byte              // what is given when the server asks
	frames []workerproto.Frame // that came
	heard  chan workerproto.Frame
}

// raw is a connection on which nothing is said yet.
func (w *world) raw(peer sessions.Peer) *client {
	w.t.Helper()
	return w.rawAs(peer, func(conn net.Conn) net.Conn { return conn })
}

// rawAs is raw, where the server's side of the connection is not quite a socket.
func (w *world) rawAs(peer sessions.Peer, as func(net.Conn) net.Conn) *client {
	w.t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	ours, theirs := connOf(w.t, fds[0]), connOf(w.t, fds[1])
	c := &client{t: w.t, conn: ours, r: workerproto.NewReader(ours), w: workerproto.NewWriter(ours), served: make(chan struct{})}
	go func() {
		defer close(c.served)
		w.tree.Sessions.Serve(as(theirs), peer)
	}()
	w.t.Cleanup(func() { ours.Close() })
	return c
}

func connOf(t *testing.T, fd int) net.Conn {
	t.Helper()
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// connect is a client that is welcome.
func (w *world) connect(peer sessions.Peer, minor uint8) *client {
	w.t.Helper()
	c := w.raw(peer)
	var err error
	if c.Peer, err = (workerproto.Client{Dir: w.layout.Dir, Version: workerproto.MakeVersion(1, minor)}).Connect(c.r, c.w); err != nil {
		w.t.Fatal(err)
	}
	if err := c.listen(); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// newest is the minor version of new clients.
const newest = 38

// listen reads up to the end of an operation, and gives what is asked for.
func (c *client) listen() error {
	c.frames = nil
	for {
		m, err := workerproto.ReadFrame(c.r, c.Dialect)
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *workerproto.Last:
			return nil
		case *workerproto.Error:
			return m
		case *workerproto.Read:
			n := min(m.Max, uint64(len(c.pulls)))
			c.w.String(string(c.pulls[:n]))
			c.pulls = c.pulls[n:]
			if err := c.w.Flush(); err != nil {
				return err
			}
		default:
			c.frames = append(c.frames, m)
			if c.heard != nil {
				c.heard <- m
			}
		}
	}
}

// send sends a request and the stream after it, in the form that the request
// says.
func (c *client) send(q workerproto.Request, stream []byte) error {
	if err := workerproto.WriteRequest(c.w, q, c.Dialect); err != nil {
		return err
	}
	switch q.Stream(c.Dialect) {
	case workerproto.StreamFramed:
		s := workerproto.NewFramedWriter(c.w)
		for piece := range slices.Chunk(stream, 1000) {
			s.Write(piece) // the error comes at the end
		}
		if err := s.Close(); err != nil {
			return err
		}
	case workerproto.StreamNAR:
		c.w.Write(stream)
	case workerproto.StreamPull:
		c.pulls = stream
	}
	return c.w.Flush()
}

// ask performs an operation.
func (c *client) ask(q workerproto.Request, stream []byte) (workerproto.Reply, error) {
	if err := c.send(q, stream); err != nil {
		return nil, err
	}
	if err := c.listen(); err != nil {
		return nil, err
	}
	return workerproto.ReadReply(c.r, q, c.Dialect)
}

// tell asks and wants no error.
func tell[P workerproto.Reply](c *client, q workerproto.Request, stream []byte) P {
	c.t.Helper()
	p, err := c.ask(q, stream)
	if err != nil {
		c.t.Fatalf("%v: %v", q.Op(), err)
	}
	return p.(P)
}

// refused asks and wants an error that says something, after which the
// connection is in order.
func (c *client) refused(q workerproto.Request, stream []byte, want string) {
	c.t.Helper()
	reply, err := c.ask(q, stream)
	var said *workerproto.Error
	if !errors.As(err, &said) || !strings.Contains(said.Message, want) {
		c.t.Errorf("%v: %v, %v; want an error with %q", q.Op(), reply, err, want)
	}
	tell[*workerproto.One](c, &workerproto.SyncWithGC{}, nil)
}

// closes reads what the server still has to say, and wants it to hang up.
func (c *client) closes() []byte {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		c.t.Fatal(err)
	}
	rest, err := io.ReadAll(c.conn)
	if err != nil && !errors.Is(err, unix.ECONNRESET) {
		c.t.Errorf("the server does not hang up: %v", err)
	}
	<-c.served
	return rest
}

// lines are those that builders wrote, as the client heard them.
func lines(frames []workerproto.Frame) (all []string) {
	for _, f := range frames {
		if r, ok := f.(*workerproto.Result); ok && r.Type == workerproto.ResBuildLogLine {
			all = append(all, r.Fields[0].Text)
		}
	}
	return all
}

// recipe is a derivation that runs a script.
type recipe struct {
	drv storepath.Path
	out storepath.Path
	d   *derivation.Derivation

	modulo func(storepath.Path) (derivation.ModuloHash, error) // of its inputs
}

// derivation makes one that has nothing but the host's shell; inputs must have
// been made by it too.
func (w *world) derivation(name, script string, inputs ...recipe) recipe {
	w.t.Helper()
	d := &derivation.Derivation{Name: name, Platform: platform, Builder: "/bin/sh", Args: []string{"-e", "-c", script},
		Outputs: []derivation.Output{{Name: "out"}}, Env: map[string]string{"out": "", "name": name, "PATH": os.Getenv("PATH")}}
	for _, in := range inputs {
		d.Inputs = append(d.Inputs, derivation.Input{Path: in.drv, Wanted: derivation.Wanted{Outputs: []string{"out"}}})
		d.Env["inputs"] += w.layout.Dir.Join(in.out) + " "
	}
	slices.SortFunc(d.Inputs, func(a, b derivation.Input) int { return a.Path.Compare(b.Path) })
	modulo := func(p storepath.Path) (derivation.ModuloHash, error) {
		i := slices.IndexFunc(inputs, func(r recipe) bool { return r.drv == p })
		return inputs[i].d.Modulo(w.layout.Dir, inputs[i].modulo)
	}
	paths, err := d.OutputPaths(w.layout.Dir, modulo)
	if err != nil {
		w.t.Fatal(err)
	}
	d.Outputs[0].Path, d.Env["out"] = paths[0], w.layout.Dir.Join(paths[0])
	drv, err := d.Path(w.layout.Dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return recipe{drv, paths[0], d, modulo}
}

// fixed makes one whose output is a file with given contents.
func (w *world) fixed(name, contents, script string) recipe {
	w.t.Helper()
	sum := nixhash.Sum(nixhash.SHA256, []byte(contents))
	out, err := w.layout.Dir.MakeFixed(name, storepath.Flat, sum, nil, false)
	if err != nil {
		w.t.Fatal(err)
	}
	d := &derivation.Derivation{Name: name, Platform: platform, Builder: "/bin/sh", Args: []string{"-e", "-c", script},
		Outputs: []derivation.Output{{Name: "out", Kind: derivation.Fixed, Path: out, Algorithm: nixhash.SHA256, Hash: sum}},
		Env:     map[string]string{"out": w.layout.Dir.Join(out), "PATH": os.Getenv("PATH")}}
	drv, err := d.Path(w.layout.Dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return recipe{drv: drv, out: out, d: d}
}

// add adds derivations as clients do.
func (c *client) add(recipes ...recipe) {
	c.t.Helper()
	for _, r := range recipes {
		p := tell[*workerproto.AddedPath](c, &workerproto.AddToStore{Name: r.d.Name + ".drv", Method: storepath.Text, Algorithm: nixhash.SHA256, References: r.d.Refs()},
			r.d.Print(c.Dir)).Info.Path
		if p != r.drv {
			c.t.Fatalf("added as %s, want %s", p, r.drv)
		}
	}
}

// build is a request for all outputs.
func build(recipes ...recipe) *workerproto.BuildPaths {
	q := &workerproto.BuildPaths{}
	for _, r := range recipes {
		q.Paths = append(q.Paths, workerproto.DerivedPath{Path: r.drv, Outputs: []string{workerproto.AllOutputs}})
	}
	return q
}

// archive is that of a file with the given contents.
func archive(t *testing.T, contents string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte(contents), 0o644); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := nar.Dump(&b, file); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// record is what a client says of an archive that it brings along.
func record(t *testing.T, base string, archive []byte, refs ...storepath.Path) workerproto.ValidPathInfo {
	t.Helper()
	p, err := storepath.ParseBase(base)
	if err != nil {
		t.Fatal(err)
	}
	return workerproto.ValidPathInfo{Path: p, NarHash: nixhash.Sum(nixhash.SHA256, archive), NarSize: uint64(len(archive)), RegistrationTime: 7, References: refs}
}

const (
	hash1 = "1rz4g4znpzjwh1xymhjpm42vipw92pr7"
	hash2 = "2rz4g4znpzjwh1xymhjpm42vipw92pr7"
)

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(5 * time.Millisecond) {
		if is() {
			return
		}
	}
	buf := make([]byte, 1<<20)
	t.Fatalf("it does not come about that %s\n%s", what, buf[:runtime.Stack(buf, true)])
}

// settings are those that the world began with.
func (w *world) settings() sessions.Settings { return w.of }
