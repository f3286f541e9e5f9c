package side

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"troupe/actors/ports/remotestore"
	"troupe/cmd/troupe-bench/graph"
	"troupe/cmd/troupe/remote"
	"troupe/messages/workerproto"
	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// Client is a command of Nix that talks to the daemon. [Side.Show] comes before.
func (s *Side) Client(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.client, "NIX_STORE_DIR=" + string(s.Dir), "NIX_REMOTE=unix://" + s.Socket,
		"NIX_STATE_DIR=" + s.client + "/state", "NIX_CONF_DIR=" + s.client, "NIX_CONFIG=" + fmt.Sprintf("experimental-features = nix-command\nmax-jobs = %d", s.conf.Jobs)}
	cmd.Dir = s.client
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us, who end it
	cmd.WaitDelay = time.Second
	return cmd
}

// Ran is a command that has run.
type Ran struct {
	Out  string // without white space around it
	Said string // on stderr
	Took time.Duration
}

// Run runs such a command.
func (s *Side) Run(ctx context.Context, name string, args ...string) (Ran, error) {
	cmd := s.Client(ctx, name, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	begun := time.Now()
	text, err := cmd.Output()
	took := time.Since(begun)
	if ctx.Err() != nil {
		return Ran{}, context.Cause(ctx)
	}
	if err != nil {
		return Ran{}, fmt.Errorf("run %s at the daemon '%s': %w: %s", name, s.Name, err, complaint(said.String()))
	}
	return Ran{strings.TrimSpace(string(text)), said.String(), took}, nil
}

// Dial is a connection of our own.
func (s *Side) Dial(ctx context.Context) (*remote.Client, error) {
	return remote.Dial(ctx, s.Socket, s.Dir)
}

// with runs f with a connection.
func (s *Side) with(ctx context.Context, f func(*remote.Client) error) error {
	c, err := s.Dial(ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(c), c.Close())
}

// AddTree adds a file or a directory.
func (s *Side) AddTree(ctx context.Context, file, name string) (p storepath.Path, err error) {
	err = s.with(ctx, func(c *remote.Client) error {
		p, err = c.Adder(ctx, s.layout()).Tree(ctx, file, name)
		return err
	})
	return p, err
}

func (s *Side) layout() localstore.Layout { return localstore.Layout{Dir: s.Dir} }

// AddDerivations adds derivations, each after its inputs.
func (s *Side) AddDerivations(ctx context.Context, items []graph.Item) error {
	return s.with(ctx, func(c *remote.Client) error {
		a := c.Adder(ctx, s.layout())
		for _, i := range items {
			p, err := a.Derivation(ctx, i.Drv)
			if err == nil && p != i.Path {
				err = fmt.Errorf("add '%s': the path is '%s'", i.Path, p)
			}
			if err != nil {
				return err
			}
		}
		return a.Commit(ctx)
	})
}

// Check reports an output that is not valid, or whose contents are not those that
// its derivation makes.
func (s *Side) Check(ctx context.Context, items []graph.Item) error {
	return s.with(ctx, func(c *remote.Client) error {
		records := c.Records(ctx)
		for _, i := range items {
			if err := s.check(records, i.Out, i.NarHash); err != nil {
				return err
			}
		}
		return nil
	})
}

// CheckHash reports a path that is not valid, or whose contents have another hash.
func (s *Side) CheckHash(ctx context.Context, p storepath.Path, want nixhash.Hash) error {
	return s.with(ctx, func(c *remote.Client) error { return s.check(c.Records(ctx), p, want) })
}

func (s *Side) check(records *remote.Records, p storepath.Path, want nixhash.Hash) error {
	info, ok, err := records.Get(p)
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("check the work of the daemon '%s': '%s' is not valid", s.Name, s.Dir.Join(p))
	case !want.IsZero() && info.NarHash != want:
		return fmt.Errorf("check the work of the daemon '%s': '%s' has the hash %s, not %s", s.Name, s.Dir.Join(p), info.NarHash.SRI(), want.SRI())
	}
	return nil
}

// Valid lists all valid paths.
func (s *Side) Valid(ctx context.Context) (all []storepath.Path, err error) {
	err = s.with(ctx, func(c *remote.Client) error {
		reply, err := remotestore.Tell[*workerproto.Paths](ctx, c.Conn, &workerproto.QueryAllValidPaths{})
		if err == nil {
			all = reply.Paths
		}
		return err
	})
	return all, err
}

// ValidAmong are those of some paths that are valid, sorted.
func (s *Side) ValidAmong(ctx context.Context, paths []storepath.Path) (valid []storepath.Path, err error) {
	err = s.with(ctx, func(c *remote.Client) error {
		valid, err = c.Valid(ctx, paths, false)
		return err
	})
	return valid, err
}

// Version is what the daemon says that it is.
func (s *Side) Version(ctx context.Context) (version string, err error) {
	err = s.with(ctx, func(c *remote.Client) error {
		version = c.NixVersion
		return nil
	})
	return version, err
}

// Collect deletes all that is dead.
func (s *Side) Collect(ctx context.Context) error {
	return s.with(ctx, func(c *remote.Client) error {
		_, err := remotestore.Tell[*workerproto.GCResult](ctx, c.Conn, &workerproto.CollectGarbage{Action: workerproto.GCDeleteDead, MaxFreed: math.MaxUint64})
		return err
	})
}

// complaint is the first error in what a client says.
func complaint(text string) string {
	if i := strings.Index(text, "error"); i >= 0 {
		text = text[i:]
	}
	return strings.TrimSpace(text[:min(len(text), 1000)])
}
