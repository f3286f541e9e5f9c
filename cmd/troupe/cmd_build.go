package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"troupe/actors"
	"troupe/actors/ports/remotestore"
	"troupe/actors/ports/sessions"
	"troupe/cmd/troupe/config"
	"troupe/cmd/troupe/progress"
	"troupe/messages"
	"troupe/storage/storepath"
)

type buildCmd struct {
	Jobs          string   `short:"j" name:"max-jobs" help:"Builds at a time; auto is one a CPU." placeholder:"N"`
	Cores         *uint    `help:"What NIX_BUILD_CORES says; 0 is all." placeholder:"N"`
	KeepGoing     bool     `short:"k" help:"Go on with what does not depend on a failure."`
	KeepFailed    bool     `short:"K" help:"Keep the directory of a failed build."`
	CacheFailure  bool     `help:"Remember failures, and do not try them again."`
	MaxSilentTime *uint    `help:"Kill a builder that writes nothing for that long." placeholder:"SECONDS"`
	Timeout       *uint    `help:"Kill a builder that runs for that long." placeholder:"SECONDS"`
	DryRun        bool     `help:"Only say what would be built."`
	Rebuild       bool     `help:"Build again what is valid, and compare."`
	JSON          bool     `help:"Print the results as JSON."`
	Journal       string   `help:"Record every step." placeholder:"FILE" type:"path"`
	NoWait        bool     `help:"Fail rather than wait while a process holds the store that serves nobody."`
	Targets       []string `arg:"" name:"target" help:"A .drv in the store or a file, x.drv^out,dev or x.drv^*, a derivation as JSON, or a store path."`
}

// apply lets flags override settings.
func (c *buildCmd) apply(s *session) error {
	set := map[string]string{}
	if c.Jobs != "" {
		set["max-jobs"] = c.Jobs
	}
	for name, v := range map[string]*uint{"cores": c.Cores, "max-silent-time": c.MaxSilentTime, "timeout": c.Timeout} {
		if v != nil {
			set[name] = fmt.Sprint(*v)
		}
	}
	if c.KeepGoing {
		set["keep-going"] = "true"
	}
	if c.KeepFailed {
		set["keep-failed"] = "true"
	}
	for name, v := range set {
		if err := s.set(name, v); err != nil {
			return err
		}
	}
	return nil
}

// Run builds through whoever serves the store or, where nobody does, takes the
// store and serves others meanwhile. When who served goes away, the rest is done
// in the same way.
func (c *buildCmd) Run(s *session) error {
	if err := c.apply(s); err != nil {
		return err
	}
	for losses := 0; ; losses++ {
		st, client, err := join(s, readWrite, !c.NoWait)
		if err != nil {
			return err
		}
		if client == nil {
			return c.here(s, st)
		}
		err = errors.Join(c.there(s, client), client.Close())
		if !remotestore.IsLost(err) || losses == maxLosses {
			return err
		}
		s.warn(err.Error() + "; trying again")
	}
}

// maxLosses is how many services may go away during one command.
const maxLosses = 3

func (c *buildCmd) mode() messages.Mode {
	if c.Rebuild {
		return messages.Check
	}
	return messages.Normal
}

// here builds in this process, which holds the store.
func (c *buildCmd) here(s *session, st *openedStore) (err error) {
	defer func() { err = errors.Join(err, st.close()) }()
	wishes, err := targets(s, st.adder(), c.Targets, c.mode())
	if err != nil {
		return err
	}
	if c.DryRun {
		return dryRun(s, st, plain(wishes))
	}
	display := progress.New(s.stderr, terminalSize)
	defer display.Close()
	log := zerolog.New(zerolog.ConsoleWriter{Out: displayWriter{display}, NoColor: true, PartsExclude: []string{"time"}}).Level(zerolog.WarnLevel)
	own := newOwnGoals(display.Observe)
	d := &service{s: s, log: log, access: trustingMe, socket: daemonSocket(s.location, os.LookupEnv), journal: c.Journal,
		fatal: func(actor messages.Address, reason string) {
			fmt.Fprintf(os.Stderr, "error: actor %s panicked: %s\n", actor, reason)
		},
		adjust: func(a *actors.Settings) {
			a.Machines.Goal.CacheFailure = c.CacheFailure
			a.Observe = own.hear
		}}
	return d.run(st, func(d *service) error { return c.realise(d, own, display, wishes) })
}

// realise makes the targets valid, tells of it, and sees guests off.
func (c *buildCmd) realise(d *service, own *ownGoals, display *progress.Display, wishes []wish) error {
	s := d.s
	if err := d.keep(wishes); err != nil {
		return err
	}
	guests := d.invite(func(n int) { display.Print(fmt.Sprintf("waiting until all who have joined are done: %d", n)) })
	once := func(targets []messages.Target) ([]messages.Result, error) {
		request := messages.RealiseTargets{Request: d.tree.Clients.Number(), Targets: targets, KeepGoing: s.settings.KeepGoing,
			Terms: termsOf(s.settings)}
		own.watch(request.Request)
		results := d.tree.Clients.Realise(s.ctx, request)
		d.tree.Synchronise()
		tellRest(display, own.wasShown, results)
		return results, nil
	}
	wanted, err := lead(s, wishes, once)
	if err == nil {
		results, _ := once(wanted) // it fails by its results
		err = c.tell(s, wanted, results)
	}
	return errors.Join(err, guests.leave(), awaitRest(d.tree))
}

// keep keeps the targets from guests who collect garbage.
func (d *service) keep(wishes []wish) error {
	paths := make([]storepath.Path, len(wishes))
	for i, t := range wishes {
		paths[i] = t.Path
	}
	return d.roots.Add("command", paths...)
}

// trustingMe trusts whoever the command belongs to, beside those that the
// settings trust: the store is his as it is.
func trustingMe(s config.Settings) sessions.Access {
	me := sessions.Lookup(os.Geteuid(), os.Getegid(), os.Getpid()).User
	return sessions.Access{Allowed: s.AllowedUsers, Trusted: append(slices.Clone(s.TrustedUsers), me), BuildGroup: s.BuildUsersGroup}
}

// tellRest prints the errors that were not shown: those that came after the goals
// had ended well, that what they made could not be put on disk, and what only an
// answer tells.
func tellRest(display *progress.Display, shown func(string) bool, results []messages.Result) {
	told := map[string]bool{}
	for _, r := range results {
		if r.Error != "" && !r.Status.OK() && r.Status != messages.Cancelled && !shown(r.Error) && !told[r.Error] {
			told[r.Error] = true
			display.Print(progress.Error(r.Error))
		}
	}
}

// patience is how long a killed builder may take to go.
const patience = 30 * time.Second

func awaitRest(tree *actors.Tree) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := tree.Clients.AwaitRest(ctx); err != nil {
		return fmt.Errorf("wait for cancelled builds: %w", err)
	}
	return nil
}

func terminalSize() (width, height int, ok bool) {
	width, height, err := term.GetSize(int(os.Stderr.Fd()))
	return width, height, err == nil && os.Getenv("TERM") != "dumb"
}

// displayWriter puts log lines above the progress.
type displayWriter struct{ d *progress.Display }

func (w displayWriter) Write(b []byte) (int, error) {
	w.d.Print(string(b[:max(0, len(b)-1)]))
	return len(b), nil
}

// tell prints what is valid, and turns failures into the exit code.
func (c *buildCmd) tell(s *session, wanted []messages.Target, results []messages.Result) error {
	if c.JSON {
		if err := c.tellJSON(s, wanted, results); err != nil {
			return err
		}
	}
	var failed []string
	for i, r := range results {
		if !r.Status.OK() {
			failed = append(failed, s.location.Dir.Join(wanted[i].Path))
			continue
		}
		if c.JSON {
			continue
		}
		for _, p := range validPaths(wanted[i], r) {
			if _, err := fmt.Fprintln(s.stdout, s.location.Dir.Join(p)); err != nil {
				return err
			}
		}
	}
	if s.ctx.Err() != nil {
		return &codedError{code: exitInterrupted, text: "interrupted"}
	}
	if len(failed) > 0 {
		return &codedError{code: buildCode(results), text: fmt.Sprintf("build of %s failed", quoteAll(failed))}
	}
	return nil
}

// resultJSON is one target in the output of --json.
type resultJSON struct {
	DrvPath string            `json:"drvPath,omitempty"`
	Path    string            `json:"path,omitempty"`
	Status  string            `json:"status"`
	Error   string            `json:"error,omitempty"`
	Outputs map[string]string `json:"outputs,omitempty"`
}

func (c *buildCmd) tellJSON(s *session, wanted []messages.Target, results []messages.Result) error {
	list := make([]resultJSON, len(results))
	for i, r := range results {
		j := resultJSON{Status: r.Status.String(), Error: r.Error}
		if wanted[i].IsBuild() {
			j.DrvPath, j.Outputs = s.location.Dir.Join(wanted[i].Path), map[string]string{}
			for _, o := range wantedOutputs(wanted[i], r) {
				j.Outputs[o.Name] = s.location.Dir.Join(o.Path)
			}
		} else {
			j.Path = s.location.Dir.Join(wanted[i].Path)
		}
		list[i] = j
	}
	return json.NewEncoder(s.stdout).Encode(list)
}
