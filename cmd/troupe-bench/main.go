// Command troupe-bench measures two daemons of Nix's protocol against each other,
// doing the same work with the same stock client, one after the other, some
// times.
//
// The tables go to stdout, what is going on to stderr. It exits with 1 where a row
// has no figures, because something in it went wrong.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"troupe/cmd/troupe-bench/side"
)

// cli is the command line.
type cli struct {
	Run      runCmd      `cmd:"" default:"withargs" help:"Measure two daemons (the default)."`
	Makespan makespanCmd `cmd:"" help:"Say how long a graph takes by each policy of who goes next, in virtual time."`
}

func main() {
	if ran, err := side.Within(os.Args); ran {
		fmt.Fprintln(os.Stderr, "error:", err) // it has become another program otherwise
		os.Exit(1)
	}
	args, code, ran := side.Private(os.Args)
	if ran {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process, as signals do
	os.Exit(run(ctx, args))
}

func run(ctx context.Context, args []string) int {
	var c cli
	parser, err := kong.New(&c, kong.Name("troupe-bench"), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Description("Measures two daemons of Nix's protocol against each other."), kong.Vars{"tmp": os.TempDir()}, kong.BindTo(ctx, (*context.Context)(nil)))
	if err == nil {
		var chosen *kong.Context
		if chosen, err = parser.Parse(args); err != nil {
			fmt.Fprintf(os.Stderr, "error: %v\nhint: troupe-bench --help lists what there is\n", err)
			return 2
		}
		err = chosen.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}
