// Package builtin holds the builders that Nix has inside itself: builtin:buildenv, builtin:fetchurl and
// builtin:unpack-channel. They run in the build's sandbox as the build user, in our own process, and reach
// nothing but what Input names and what the sandbox shows. It is unaware of stores, goals and sandboxes.
package builtin

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Prefix begins the builder of a derivation that is meant for this package.
const Prefix = "builtin:"

// Input is all that a builder is given.
type Input struct {
	// Env holds the derivation's variables as they stand in the derivation.
	Env map[string]string
	// Outputs maps the name of each output to the absolute path to make, which must not exist.
	Outputs map[string]string
	// FixedOrImpure says that the derivation may use the network.
	FixedOrImpure bool
	// Log takes warnings and progress, one line each.
	Log io.Writer

	// Restore unpacks a NAR to a path that does not exist. Only fetchurl uses it.
	Restore func(nar io.Reader, path string) error

	// Mirrors have files by their hashes, below these URLs; Hash is where that which is wanted is below each, as
	// "<algorithm>/<base 16>", or "" where it is not one file.
	Mirrors []string
	Hash    string

	// Netrc is the text of the netrc file, or empty. Only fetchurl may be given it.
	Netrc []byte
	// CA is a bundle of authorities in PEM; empty means those that the system (as the sandbox shows it) has.
	CA []byte
	// Proxy holds http_proxy, https_proxy, all_proxy and no_proxy of the service's own environment.
	Proxy map[string]string
	// UserAgent is what servers are told; empty for a plain "troupe".
	UserAgent string
	// Attempts is how often a download is tried; 0 counts as 1.
	Attempts uint
	// ConnectTimeout and StallTimeout give up on a server that does not answer, or sends nothing more; 0 never does.
	ConnectTimeout, StallTimeout time.Duration
	// RetryDelay is the wait before the second attempt, doubled for each further one; 0 is Nix's 250 ms.
	RetryDelay time.Duration
}

var builders = map[string]func(Input) error{
	"buildenv":       buildEnv,
	"fetchurl":       fetchURL,
	"unpack-channel": unpackChannel,
}

// Known says whether Run knows a builder; name may have the prefix.
func Known(name string) bool {
	_, ok := builders[strings.TrimPrefix(name, Prefix)]
	return ok
}

// Run runs a builder to its end; name may have the prefix. The error is what belongs into the build's log.
func Run(name string, in Input) error {
	build, ok := builders[strings.TrimPrefix(name, Prefix)]
	if !ok {
		return fmt.Errorf("unsupported builtin builder '%s'", strings.TrimPrefix(name, Prefix))
	}
	return build(in)
}

func (in Input) attribute(name string) (string, error) {
	value, ok := in.Env[name]
	if !ok {
		return "", fmt.Errorf("attribute '%s' missing", name)
	}
	return value, nil
}

func (in Input) out() (string, error) {
	out, ok := in.Outputs["out"]
	if !ok {
		return "", fmt.Errorf("this builder requires an 'out' output")
	}
	return out, nil
}

// warn tells the log. A log that cannot be written to ends the process elsewhere, so the error is of no use here.
func (in Input) warn(format string, args ...any) {
	fmt.Fprintf(in.Log, "warning: "+format+"\n", args...)
}
