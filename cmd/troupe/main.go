// Command troupe makes Nix store paths valid.
//
// Results go to stdout and everything else to stderr. exit.go has the exit
// codes. Each verb has a file of its own, cmd_<verb>.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"troupe/cmd/troupe/config"
)

// cli is the command line.
type cli struct {
	Store   string           `help:"Directory that the store lies in; its paths still read /nix/store. Also as Nix writes it: local?root=DIR." placeholder:"DIR"`
	Option  []string         `help:"Set a setting of nix.conf by its name: --option NAME VALUE." placeholder:"NAME VALUE" sep:"none"`
	Version kong.VersionFlag `help:"Print the version."`

	Copy       copyCmd       `cmd:"" help:"Copy store paths, and what they refer to, to another store or from one."`
	Daemon     daemonCmd     `cmd:"" help:"Serve the clients of Nix in place of nix-daemon."`
	Build      buildCmd      `cmd:"" help:"Make derivation outputs and store paths valid."`
	Derivation derivationCmd `cmd:"" help:"Show and check derivations."`
	Log        logCmd        `cmd:"" help:"Print the build log of a derivation or an output."`
	PathInfo   pathInfoCmd   `cmd:"" help:"Say what is known of valid paths."`
	Verify     verifyCmd     `cmd:"" help:"Check that the store is what its database says."`
	GC         gcCmd         `cmd:"" name:"gc" help:"Delete what nothing needs any more."`
	StoreCmd   storeCmd      `cmd:"" name:"store" help:"Work on the store itself."`
	Adopt      adoptCmd      `cmd:"" help:"Take a store over from Nix."`
	Leave      leaveCmd      `cmd:"" help:"Give an adopted store back to Nix."`
	Journal    journalCmd    `cmd:"" help:"Print what the actors did: a journal, or what the flight recorder has."`
	Simulate   simulateCmd   `cmd:"" help:"Drive the actors through a world of faults, by seeds."`
	Replay     replayCmd     `cmd:"" help:"Let the actors decide again what a journal has, and compare."`
}

// session is what every verb runs with.
type session struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
	location       location
	settings       config.Settings
	overrides      []config.Override
}

// load reads the settings.
func (s *session) load() (config.Loaded, error) {
	return config.Load(config.Sources{Host: config.DetectHost(os.LookupEnv), Overrides: s.overrides})
}

// warn is for what is odd and holds nothing up.
func (s *session) warn(text string) { fmt.Fprintf(s.stderr, "warning: %s\n", text) }

const version = "0.1.0"

func main() {
	if code, ran := runBuiltin(); ran {
		os.Exit(code)
	}
	syscall.Umask(0o022) // as Nix: what a store holds can be read
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process, as signals do
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run runs one command line and returns the exit code.
func run(ctx context.Context, args []string) int {
	err := dispatch(ctx, args)
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = &codedError{code: exitInterrupted, text: "interrupted"}
	}
	fmt.Fprint(os.Stderr, explain(err))
	return exitCode(err)
}

func dispatch(ctx context.Context, args []string) error {
	args, overrides, err := takeOptions(args)
	if err != nil {
		return err
	}
	var c cli
	parser, err := kong.New(&c, kong.Name("troupe"),
		kong.Description("A Nix build scheduler: it makes store paths valid, by building them in the right order, in a sandbox, many at once."),
		kong.Vars{"version": "troupe " + version}, kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return err
	}
	chosen, err := parser.Parse(args)
	if err != nil {
		return hinted(&codedError{code: exitUsage, text: plainly(err.Error())}, "troupe --help lists the commands; troupe COMMAND --help says what one takes")
	}
	root, more, err := storeFlag(c.Store)
	if err != nil {
		return err
	}
	s := &session{ctx: ctx, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, overrides: append(overrides, more...)}
	loaded, err := s.load()
	if err != nil {
		return err
	}
	for _, w := range loaded.Warnings {
		s.warn(w)
	}
	s.settings = loaded.Settings
	if s.location, err = locate(root, os.LookupEnv, os.Geteuid(), answers, theirs); err != nil {
		return err
	}
	return chosen.Run(s)
}

// plainly says of a flag without its value, in our words, what the parser says in its own.
func plainly(said string) string {
	if flag, _, is := strings.Cut(said, ": expected "); is && strings.HasSuffix(said, `got "EOL" (<EOL>)`) {
		return fmt.Sprintf("flag '%s' requires a value", flag)
	}
	return said
}

// takeOptions takes "--option NAME VALUE" out of the arguments: it has two
// values, which is Nix's way and no flag library's.
func takeOptions(args []string) (rest []string, overrides []config.Override, err error) {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--":
			return append(rest, args[i:]...), overrides, nil
		case args[i] != "--option":
			rest = append(rest, args[i])
		case i+2 >= len(args):
			return nil, nil, &codedError{code: exitUsage, text: "flag '--option' requires 2 arguments, a name and a value"}
		default:
			overrides = append(overrides, config.Override{Name: args[i+1], Value: args[i+2]})
			i += 2
		}
	}
	return rest, overrides, nil
}

// quoteAll lists things in an error message.
func quoteAll(names []string) string { return "'" + strings.Join(names, "', '") + "'" }
