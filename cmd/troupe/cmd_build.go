package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"troupe/actors"
	"troupe/cmd/troupe/progress"
	"troupe/messages"
	"troupe/sandbox/linux"
	"troupe/storage/localstore"
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
	NoWait        bool     `help:"Fail rather than wait while another process holds the store."`
	Targets       []string `arg:"" name:"target" help:"A .drv in the store or a file, x.drv^out,dev or x.drv^*, a derivation as JSON, or a store path."`

	told map[string]bool // the errors of goals, which the display has shown
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
		if err := s.settings.Set(name, v); err != nil {
			return &codedError{code: exitUsage, text: err.Error()}
		}
	}
	return nil
}

func (c *buildCmd) Run(s *session) (err error) {
	if err := c.apply(s); err != nil {
		return err
	}
	st, err := openStoreWait(s, readWrite, !c.NoWait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	c.told = map[string]bool{}
	mode := messages.Normal
	if c.Rebuild {
		mode = messages.Check
	}
	wanted, err := targets(s, st, c.Targets, mode)
	if err != nil {
		return err
	}
	if c.DryRun {
		return dryRun(s, st, wanted)
	}
	results, err := c.realise(s, st, wanted)
	if err != nil {
		return err
	}
	c.tellRest(s, results)
	return c.tell(s, wanted, results)
}

// realise runs a tree of actors for as long as the request takes.
func (c *buildCmd) realise(s *session, st *openedStore, wanted []messages.Target) (results []messages.Result, err error) {
	launcher, err := linux.NewLauncher()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, launcher.Close()) }()
	settings, _, err := treeSettings(s, st, launcher, "")
	if err != nil {
		return nil, err
	}
	roots, err := localstore.OpenTempRoots(s.location)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, roots.Close()) }()
	display := progress.New(s.stderr, terminalSize)
	defer display.Close()
	log := zerolog.New(zerolog.ConsoleWriter{Out: displayWriter{display}, NoColor: true, PartsExclude: []string{"time"}}).Level(zerolog.WarnLevel)
	settings.Services.Roots, settings.Services.Log, settings.Logger = roots, log, log
	useCgroups(launcher, s.settings.UseCgroups, log)
	settings.Machines.Goal.CacheFailure = c.CacheFailure
	settings.Observe = func(m messages.Message) {
		c.hear(m)
		display.Observe(m)
	}
	settings.Fatal = func(actor messages.Address, reason string) {
		fmt.Fprintf(os.Stderr, "error: actor %s panicked: %s\n", actor, reason)
		os.Exit(exitFailure)
	}
	finish, err := record(c.Journal, s, &settings)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, finish()) }()
	tree := actors.Start(settings)
	defer tree.Close()
	results = tree.Clients.Realise(s.ctx, messages.RealiseTargets{
		Targets: wanted, KeepGoing: s.settings.KeepGoing, Terms: termsOf(s.settings)})
	return results, awaitRest(tree)
}

// hear notes which errors are shown.
func (c *buildCmd) hear(m messages.Message) {
	if e, over := m.(*messages.GoalEnded); over && messages.Shown(e.Goal, e.Result) {
		c.told[e.Result.Error] = true
	}
}

// tellRest prints the errors that came after the goals had ended well: that
// what they made could not be put on disk.
func (c *buildCmd) tellRest(s *session, results []messages.Result) {
	for _, r := range results {
		if r.Error != "" && !r.Status.OK() && !c.told[r.Error] {
			c.told[r.Error] = true
			fmt.Fprintln(s.stderr, progress.Error(r.Error))
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
