package main

import (
	"errors"
	"fmt"

	"troupe/messages"
)

// The exit codes, all of them. Those of failed builds are Nix's: 100 and the
// bits of what went wrong.
//
//	0    everything asked for is done
//	1    it is not, for a reason that is not in this list
//	2    the command line is wrong
//	100  a build failed
//	101  a build timed out
//	102  a fixed output had another hash
//	104  a build was not deterministic
//	130  interrupted
const (
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130

	buildFailures = 96 // with at least one of the bits below
)

// exitBits are the bits that Nix gives to what went wrong.
var exitBits = map[messages.Flaw]int{
	messages.BuildFailed:    4,
	messages.TimeOut:        4 | 1,
	messages.HashMismatch:   4 | 2,
	messages.Nondeterminism: 8,
}

// buildCode is the exit code for the results of a build.
func buildCode(results []messages.Result) int {
	bits, failed := 0, false
	for _, r := range results {
		failed = failed || !r.Status.OK()
		for flaw, bit := range exitBits {
			if r.Flaw&flaw != 0 {
				bits |= bit
			}
		}
	}
	switch {
	case bits != 0:
		return buildFailures | bits
	case failed:
		return exitFailure
	}
	return 0
}

// codedError is an error that has an exit code of its own. Its text may be
// empty where everything has been said.
type codedError struct {
	code int
	text string
}

func (e *codedError) Error() string { return e.text }

// hintError is an error that says what to try instead.
type hintError struct {
	err   error
	hints []string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// hinted adds hints to an error.
func hinted(err error, hints ...string) error { return &hintError{err, hints} }

// exitCode maps an error to the exit code.
func exitCode(err error) int {
	var coded *codedError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		return coded.code
	}
	return exitFailure
}

// explain renders an error for a person: what is wrong, and what to try.
func explain(err error) string {
	text := ""
	if err.Error() != "" {
		text = fmt.Sprintf("error: %v\n", err)
	}
	var h *hintError
	if errors.As(err, &h) {
		for _, hint := range h.hints {
			text += fmt.Sprintf("hint: %s\n", hint)
		}
	}
	return text
}
