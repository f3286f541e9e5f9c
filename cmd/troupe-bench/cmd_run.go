package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"troupe/cmd/troupe-bench/report"
	"troupe/cmd/troupe-bench/rows"
	"troupe/cmd/troupe-bench/side"
)

type runCmd struct {
	Rows   []string `help:"What is measured, by name: P1,P3. Otherwise all of P1 to P16; G1 to G6 show how cost grows, B how long a large path takes, E what an evaluation adds." placeholder:"NAME,…" xor:"work"`
	Graph  string   `help:"Build this with trivial builders instead: a .drv file whose inputs lie beside it, or a directory or tar archive of them." placeholder:"FILE" xor:"work"`
	List   bool     `help:"List the rows."`
	Rounds int      `help:"How often each side does each piece of work." default:"3"`
	Scale  float64  `help:"Times the usual size of the work." default:"1"`

	SelfCommand string `help:"Starts the daemon that is measured. Otherwise troupe daemon, from beside this program or from PATH." placeholder:"COMMAND"`
	SelfSocket  string `help:"It runs already and listens here." placeholder:"FILE"`
	SelfStore   string `help:"With its store here." default:"/nix/store"`
	SelfRoot    string `help:"The root directory that it is started in." default:"/"`
	PeerCommand string `help:"Starts the daemon that it is held against." default:"nix-daemon" placeholder:"COMMAND"`
	PeerSocket  string `help:"It runs already and listens here." placeholder:"FILE"`
	PeerStore   string `help:"With its store here." default:"/nix/store"`
	PeerRoot    string `help:"The root directory that it is started in, of another system for instance." default:"/"`
	NoPeer      bool   `help:"Measure the one alone."`

	JSON     bool   `help:"Print every sample as JSON." xor:"form"`
	Markdown bool   `help:"Print a table for a document." xor:"form"`
	Dir      string `help:"Where the stores are made, and removed again." default:"${tmp}" type:"existingdir"`
	Quiet    bool   `help:"Do not say what is going on." short:"q"`
}

// Run measures.
func (c *runCmd) Run(ctx context.Context) (err error) {
	if c.List {
		for _, r := range rows.All() {
			fmt.Printf("%-4s %s\n", r.Name, r.Work)
		}
		return nil
	}
	chosen, err := rows.Choose(c.Rows)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("set up daemons: this needs root, for mounts of their own and build users")
	}
	switch {
	case c.Graph != "":
		shape, err := readShape(c.Graph)
		if err != nil {
			return err
		}
		chosen = []rows.Row{rows.OfGraph(shape)}
	case len(chosen) == 0:
		chosen = rows.Compared()
	}
	work, err := os.MkdirTemp(c.Dir, "troupe-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := os.Chmod(work, 0o755); err != nil { // build users go through it
		return err
	}
	b, err := c.bench(work)
	if err != nil {
		return err
	}
	found, err := c.measure(ctx, b, chosen)
	if err != nil {
		return err
	}
	if err := c.print(found); err != nil {
		return err
	}
	return faults(found)
}

func (c *runCmd) bench(work string) (*rows.Bench, error) {
	self := side.Spec{Name: "self", Command: strings.Fields(c.SelfCommand), Socket: c.SelfSocket, Store: c.SelfStore, Root: c.SelfRoot}
	if self.Socket == "" && len(self.Command) == 0 {
		own, err := ownDaemon()
		if err != nil {
			return nil, err
		}
		self.Command = own
	}
	peer := &side.Spec{Name: "peer", Command: strings.Fields(c.PeerCommand), Socket: c.PeerSocket, Store: c.PeerStore, Root: c.PeerRoot}
	if c.NoPeer {
		peer = nil
	}
	b, err := rows.New(work, self, peer)
	if err != nil {
		return nil, err
	}
	b.Rounds, b.Scale = c.Rounds, c.Scale
	if !c.Quiet {
		b.Log = os.Stderr
	}
	return b, nil
}

// ownDaemon finds troupe beside this program, or on PATH.
func ownDaemon() ([]string, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	beside := filepath.Join(filepath.Dir(exe), "troupe")
	if _, err := os.Stat(beside); err == nil {
		return []string{beside, "daemon"}, nil
	}
	found, err := exec.LookPath("troupe")
	if err != nil {
		return nil, fmt.Errorf("find the daemon to measure: %w; name it: --self-command 'COMMAND'", err)
	}
	return []string{found, "daemon"}, nil
}

func (c *runCmd) measure(ctx context.Context, b *rows.Bench, chosen []rows.Row) (out report.Report, err error) {
	out = report.Report{Date: time.Now().UTC().Format("2006-01-02 15:04"), Rounds: c.Rounds, Scale: c.Scale}
	if out.Machine, err = report.ThisMachine(b.Work); err != nil {
		return out, err
	}
	if out.Self, err = b.Describe(ctx, b.Self); err != nil {
		return out, err
	}
	if b.Peer != nil {
		peer, err := b.Describe(ctx, *b.Peer)
		if err != nil {
			return out, err
		}
		out.Peer = &peer
	}
	for _, r := range chosen {
		out.Rows = append(out.Rows, b.Measure(ctx, r))
		if ctx.Err() != nil {
			return out, errors.New("interrupted")
		}
	}
	return out, nil
}

func (c *runCmd) print(found report.Report) error {
	switch {
	case c.JSON:
		return found.JSON(os.Stdout)
	case c.Markdown:
		return found.Markdown(os.Stdout)
	}
	return found.Table(os.Stdout)
}

// faults are the rows that have no figures.
func faults(found report.Report) (err error) {
	for _, r := range found.Rows {
		if r.Error != "" {
			err = errors.Join(err, fmt.Errorf("%s, %s: %s", r.Name, r.Work, r.Error))
		}
	}
	return err
}
