package goal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"troupe/messages"
	"troupe/storage/storepath"
)

// cannotBuild says that the derivation failed and why, in the words of Nix
// 2.34, which programs look for.
func (g *Derivation) cannotBuild(reason string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Cannot build '%s'.\nReason: %s.", g.policy.StoreDir.Join(g.target.Path), reason)
	paths := g.outputPaths()
	slices.SortFunc(paths, storepath.Path.Compare)
	if len(paths) > 0 {
		b.WriteString("\nOutput paths:")
	}
	for _, p := range paths {
		fmt.Fprintf(&b, "\n  %s", g.policy.StoreDir.Join(p))
	}
	return b.String()
}

func (g *Derivation) builderFailed(m *messages.BuilderExited) messages.Result {
	status, reason := messages.PermanentFailure, ""
	switch m.Cause {
	case messages.NotStarted:
		return messages.Result{Status: messages.MiscFailure, Error: g.cannotBuild(m.Error)}
	case messages.FailedElsewhere:
		if m.Error != "" { // which has the last lines that were seen there
			return messages.Result{Status: m.Status, Error: m.Error, Duration: m.Exit.Wall}
		}
		if status, reason = m.Status, exitReason(m.Exit); status == messages.TimedOut {
			reason = fmt.Sprintf("timed out on '%s'", g.place.Name())
		}
	case messages.NotExecutable:
		reason = m.Error
	case messages.SilentTooLong:
		status, reason = messages.TimedOut, fmt.Sprintf("timed out after %d seconds of silence", int(g.terms.Limits.Silence.Seconds()))
	case messages.RanTooLong:
		status, reason = messages.TimedOut, fmt.Sprintf("timed out after %d seconds", int(g.terms.Limits.Total.Seconds()))
	case messages.LogTooLong:
		status, reason = messages.LogLimitExceeded, fmt.Sprintf("killed after writing more than %d bytes of log output", g.terms.Limits.LogBytes)
	default:
		reason = exitReason(m.Exit)
	}
	return messages.Result{Status: status, Error: g.cannotBuild(reason) + g.lastLines(m), Duration: m.Exit.Wall}
}

func exitReason(e messages.Exit) string {
	if e.Signal != 0 {
		name := syscall.Signal(e.Signal).String() // as C has it, but for the first letter
		return fmt.Sprintf("builder failed due to signal %d (%s)", e.Signal, strings.ToUpper(name[:1])+name[1:])
	}
	return fmt.Sprintf("builder failed with exit code %d", e.Code)
}

func (g *Derivation) lastLines(m *messages.BuilderExited) string {
	if len(m.LastLog) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nLast %d log lines:", len(m.LastLog))
	for _, l := range m.LastLog {
		fmt.Fprintf(&b, "\n> %s", l)
	}
	if g.log != "" {
		fmt.Fprintf(&b, "\nFor full logs, run:\n  %s %s", cmp.Or(g.policy.LogCommand, "troupe log"), g.policy.StoreDir.Join(g.target.Path))
	}
	return b.String()
}
