package ports

import (
	"errors"
	"fmt"
	"testing"

	"troupe/messages"
	"troupe/sandbox"
)

// What is the derivation's own fault is refused with the status that Nix 2.34 has
// for it, which is no failure of a builder: nobody remembers it.
func TestRefusals(t *testing.T) {
	for err, want := range map[error]messages.Status{
		fmt.Errorf("make sandbox: %w", &sandbox.PlatformError{Text: "another platform"}): messages.InputRejected,
		inputError{errors.New("attribute")}:                                              messages.InputRejected,
		errors.New("disk full"):                                                          messages.MiscFailure,
	} {
		m, ok := refusal(err).(*messages.BuildNotPrepared)
		if !ok || m.Status != want || m.Reason != err.Error() {
			t.Errorf("'%v' is refused with %v, want %v", err, m, want)
		}
	}
	if messages.InputRejected.Flaw() != messages.BuildFailed {
		t.Error("the exit code is not that of a failed build")
	}
}
