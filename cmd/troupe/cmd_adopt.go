package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/term"

	"troupe/cmd/troupe/moving"
)

type adoptCmd struct {
	moveFlags
}

type leaveCmd struct {
	moveFlags
}

type moveFlags struct {
	DryRun bool `short:"n" help:"Only say what would be done."`
	Yes    bool `short:"y" help:"Do not ask."`
}

func (c *adoptCmd) Run(s *session) error {
	i, err := installation(s)
	if err != nil {
		return err
	}
	plan, err := i.Adopt()
	if errors.Is(err, moving.ErrNothing) {
		fmt.Fprintf(s.stderr, "the store '%s' is adopted already\n", s.location.RealStoreDir())
		return nil
	}
	if err != nil {
		return notOurs(s.location, os.LookupEnv, err)
	}
	if err := c.move(s, plan, "Adopting the store '"+s.location.RealStoreDir()+"' takes these steps:"); err != nil || c.DryRun {
		return err
	}
	fmt.Fprintf(s.stderr, "troupe has the store now. Nix's commands use it through the daemon; those of root do so with NIX_REMOTE=daemon.\n")
	if i.Systemctl == nil {
		fmt.Fprintf(s.stderr, "troupe daemon serves it.\n")
	}
	return nil
}

// notOurs adds to an error which store it is about where that is not the machine's,
// and nobody has said so.
func notOurs(l location, env func(string) (string, bool), err error) error {
	if own, unknown := userDir(env); unknown == nil && l.Root == own {
		return hinted(err, "that is the store of your own; the machine's is for root to adopt")
	}
	return err
}

func (c *leaveCmd) Run(s *session) error {
	i, err := installation(s)
	if err != nil {
		return err
	}
	plan, err := i.Leave()
	if errors.Is(err, moving.ErrNothing) {
		fmt.Fprintf(s.stderr, "the store '%s' is not adopted\n", s.location.RealStoreDir())
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.move(s, plan, "Giving the store '"+s.location.RealStoreDir()+"' back to Nix takes these steps:"); err != nil || c.DryRun {
		return err
	}
	fmt.Fprintf(s.stderr, "Nix has the store again.\n")
	return nil
}

// move says what will be done, asks, and does it.
func (c *moveFlags) move(s *session, plan *moving.Plan, head string) error {
	if plan.Continues() {
		head = "This was begun and interrupted. What is left:"
	}
	fmt.Fprintln(s.stderr, head)
	for n, line := range plan.Steps() {
		fmt.Fprintf(s.stderr, "  %d. %s\n", n+1, line)
	}
	if c.DryRun {
		return nil
	}
	if err := c.ask(s); err != nil {
		return err
	}
	if err := plan.Run(s.ctx); err != nil {
		return hinted(err, "the same command goes on where this one ended; nothing is lost")
	}
	return nil
}

// ask returns nil if the person agrees.
func (c *moveFlags) ask(s *session) error {
	if c.Yes {
		return nil
	}
	if in, is := s.stdin.(*os.File); !is || !term.IsTerminal(int(in.Fd())) {
		return hinted(&codedError{code: exitUsage, text: "nobody is there to be asked"}, "--yes does it without asking; --dry-run only says what would be done")
	}
	fmt.Fprint(s.stderr, "Do it? [y/N] ")
	answer, err := bufio.NewReader(s.stdin).ReadString('\n')
	if strings.EqualFold(strings.TrimSpace(answer), "y") {
		return nil
	}
	return errors.Join(err, errors.New("nothing was done"))
}

// nixState is the state directory of the machine's own store, which units of
// systemd are about.
const nixState = "/nix/var/nix"

// installation is the store that is to be moved, and what runs it.
func installation(s *session) (*moving.Installation, error) {
	command, err := daemonCommand(s)
	if err != nil {
		return nil, err
	}
	socket := daemonSocket(s.location, os.LookupEnv)
	i := &moving.Installation{Layout: s.location, Database: databaseDir(s.location), Command: command, Socket: socket,
		UnitDir: "/etc/systemd/system", Listening: func() bool { return answers(socket) },
		Say: func(line string) { fmt.Fprintln(s.stderr, line) }}
	if s.location.StateDir == nixState && exists("/run/systemd/system") { // as sd_booted(3) asks
		i.Systemctl = systemctl
	}
	return i, nil
}

// daemonCommand starts the daemon of the store.
func daemonCommand(s *session) ([]string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	command := []string{program}
	if s.location.Root != "" {
		command = append(command, "--store", s.location.Root)
	}
	return append(command, "daemon"), nil
}

// systemctl performs one of its commands.
func systemctl(ctx context.Context, args ...string) (string, error) {
	var said strings.Builder
	cmd := exec.CommandContext(ctx, "systemctl", args...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return string(out), nil
}

// printUnits prints the units, each under its name.
func printUnits(s *session) error {
	command, err := daemonCommand(s)
	if err != nil {
		return err
	}
	for n, u := range moving.Units(s.location, daemonSocket(s.location, os.LookupEnv), command) {
		if n > 0 {
			fmt.Fprintln(s.stdout)
		}
		if _, err := fmt.Fprintf(s.stdout, "# %s\n%s", u.Name, u.Text); err != nil {
			return err
		}
	}
	return nil
}
