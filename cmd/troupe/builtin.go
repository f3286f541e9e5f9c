package main

import (
	"encoding/json"
	"fmt"
	"os"

	"troupe/actors/ports"
	"troupe/sandbox/builtin"
	"troupe/sandbox/linux"
	"troupe/storage/nar"
)

// runBuiltin runs a builder of our own, where this process was executed to be
// one inside a sandbox. What it says is the build's log.
func runBuiltin() (code int, ran bool) {
	name, input, ok := linux.Builtin()
	if !ok {
		return 0, false
	}
	var in ports.BuiltinInput
	err := json.NewDecoder(input).Decode(&in)
	if err == nil {
		err = builtin.Run(name, builtin.Input{
			Env: in.Env, Outputs: in.Outputs, FixedOrImpure: in.FixedOrImpure, Log: os.Stderr, Restore: nar.Restore,
			Mirrors: in.Mirrors, Hash: in.Hash, Netrc: in.Netrc, CA: in.CA, Proxy: in.Proxy, UserAgent: "troupe/" + version,
			Attempts: in.Attempts, ConnectTimeout: in.ConnectTimeout, StallTimeout: in.StallTimeout,
		})
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		return exitFailure, true
	}
	return 0, true
}
