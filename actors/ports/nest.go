package ports

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"troupe/messages"
	"troupe/sandbox"
	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
)

// Nest is what one builder may see and do of the store while it runs, where its
// derivation asks for that (the feature recursive-nix): the closure of its inputs,
// and what it adds or has built through a socket in its build directory.
type Nest struct {
	Goal     messages.Address
	Settings string // those of the build; see [messages.Terms]

	s        Services
	b        *build
	listener *net.UnixListener
	ctx      context.Context // ends when the builder does
	cancel   func()
	serving  sync.WaitGroup

	mu    sync.Mutex // guards what follows
	seen  map[storepath.Path]bool
	added []storepath.Path // in the order in which they came
	over  bool
}

// ServeNest speaks with one connection of a builder until that goes or ctx ends,
// and closes it.
type ServeNest func(ctx context.Context, conn net.Conn, n *Nest)

// nestsAtOnce bounds the connections of one builder; more wait.
const nestsAtOnce = 64

const nestSocket = ".nix-socket"

// errNestOver is what is answered to what comes while the build ends.
var errNestOver = errors.New("the build that asks is over")

// wantsNest reports whether a derivation's builder is to have a nest.
func wantsNest(d *derivation.Derivation, o derivation.Options) bool {
	return slices.Contains(o.RequiredSystemFeatures, "recursive-nix") && d.Platform != "builtin"
}

// openNest gives a build a nest, if its builder is to have one.
func (p *Builds) openNest(b *build) error {
	if !wantsNest(b.drv, b.options) {
		return nil
	}
	if err := b.policy.Experimental.Require("recursive-nix", ""); err != nil {
		return inputError{err}
	}
	if p.nests == nil {
		return inputError{errors.New("a builder cannot ask for builds here")}
	}
	n := &Nest{Goal: b.id, Settings: b.settings, s: p.s, b: b, seen: map[storepath.Path]bool{}}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	all, err := b.inputs.closure()
	if err != nil {
		return err
	}
	for _, in := range all {
		n.seen[in] = true
	}
	b.nest = n
	return nil
}

// listen makes the socket, in the build directory, where nobody but the service is
// yet. That goes by a descriptor: the directory's name may be longer than the
// kernel takes for a socket.
func (n *Nest) listen(id sandbox.Identity) error {
	if n == nil {
		return nil
	}
	dir, err := os.Open(n.b.hostBuild())
	if err != nil {
		return err
	}
	defer dir.Close() // it is only read
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), nestSocket), Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	n.listener = l
	socket := filepath.Join(n.b.hostBuild(), nestSocket)
	if err := os.Chmod(socket, 0o600); err != nil || !id.Change {
		return err
	}
	return os.Lchown(socket, id.OutsideUID, id.OutsideGID)
}

// begin lets the builder in, which runs: what connected before waits.
func (n *Nest) begin(serve ServeNest) {
	if n != nil {
		n.serving.Go(func() { n.accept(serve) })
	}
}

// accept serves the builder's connections until the listener is closed.
func (n *Nest) accept(serve ServeNest) {
	busy := make(chan struct{}, nestsAtOnce)
	for {
		conn, err := n.listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) { // the builder is told by the connection that it does not get
				n.s.Log.Warn().Err(err).Str("goal", string(n.Goal)).Msg("accept builder")
			}
			return
		}
		busy <- struct{}{}
		n.serving.Go(func() {
			defer func() { <-busy }()
			serve(n.ctx, conn, n)
		})
	}
}

// close ends all connections, and returns when nothing is added any more.
func (n *Nest) close() {
	if n == nil {
		return
	}
	n.mu.Lock()
	n.over = true
	n.mu.Unlock()
	n.cancel()
	if n.listener != nil {
		n.listener.Close() // the second time it is closed already
	}
	n.serving.Wait()
}

// Allows reports whether the builder may know of a path.
func (n *Nest) Allows(p storepath.Path) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seen[p]
}

// All are the paths that the builder may know of, sorted.
func (n *Nest) All() (all []storepath.Path) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.seen {
		all = append(all, p)
	}
	slices.SortFunc(all, storepath.Path.Compare)
	return all
}

// Keep keeps paths from the collector for as long as the goal is there. It
// refuses what the build itself is about to make: the goal has the lock of that
// until its builder ends.
func (n *Nest) Keep(paths ...storepath.Path) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over { // the goal may be gone, and nobody would let go of them
		return errNestOver
	}
	for _, o := range n.b.drv.Outputs {
		for _, p := range paths {
			if p == o.Path || p == n.b.place(o) {
				return fmt.Errorf("path '%s' is an output of the build that asks", n.s.Layout.Dir.Join(p))
			}
		}
	}
	return n.s.Roots.Add(string(n.Goal), paths...)
}

// Add lets the builder see valid paths, and its outputs refer to them. They are
// in its sandbox when Add returns.
func (n *Nest) Add(paths ...storepath.Path) error {
	if err := n.Keep(paths...); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range paths {
		if n.seen[p] {
			continue
		}
		if err := n.show(p); err != nil {
			return err
		}
		n.seen[p] = true
		n.added = append(n.added, p)
	}
	return nil
}

// show makes a path appear in the sandbox, if there is one. As an ordinary user the
// service may not mount what it sees there, and makes a copy.
func (n *Nest) show(p storepath.Path) error {
	if !n.b.spec.Boxed {
		return nil
	}
	real := n.s.Layout.RealPath(p)
	if os.Geteuid() != 0 {
		return n.copyIn(real, p.Base())
	}
	proc := n.b.runner.process()
	if proc == nil {
		return errNestOver
	}
	return proc.Show(real, n.s.Layout.Dir.Join(p), n.b.places)
}

// copyIn copies where nobody but the service can be, and then moves: whatever the
// builder does in its store, nothing is followed there.
func (n *Nest) copyIn(real, name string) (err error) {
	stage, err := n.s.Layout.Stage("show-")
	if err != nil {
		return err
	}
	defer func() {
		_, rerr := localstore.Remove(stage)
		err = errors.Join(err, rerr)
	}()
	place := filepath.Join(stage, name)
	if err := localstore.Copy(real, place); err != nil {
		return err
	}
	return localstore.Rename(place, filepath.Join(n.b.places.Store, name))
}

// candidates are all paths that outputs may refer to, beside each other.
func (b *build) candidates() ([]storepath.Path, error) {
	all, err := b.inputs.closure()
	if err != nil || b.nest == nil {
		return all, err
	}
	b.nest.mu.Lock()
	defer b.nest.mu.Unlock()
	return slices.Concat(all, b.nest.added), nil
}
