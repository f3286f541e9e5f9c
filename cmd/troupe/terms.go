package main

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"troupe/cmd/troupe/config"
	"troupe/messages"
	"troupe/messages/workerproto"
)

// clientTerms turns what a client of the daemon sets into its terms. What it may
// not set, or what is not known, it is told of.
func clientTerms(own config.Settings, set *workerproto.SetOptions, trusted bool) (messages.Terms, []string) {
	if set == nil {
		return termsOf(own), nil
	}
	t := termsReader{own: own, now: own, trusted: trusted, changed: map[string]string{}}
	t.set("keep-failed", strconv.FormatBool(set.KeepFailed))
	t.set("fallback", strconv.FormatBool(set.TryFallback))
	t.set("substitute", strconv.FormatBool(set.UseSubstitutes))
	t.set("cores", strconv.FormatUint(set.BuildCores, 10))
	t.set("max-silent-time", strconv.FormatUint(set.MaxSilentTime, 10))
	for _, name := range slices.Sorted(maps.Keys(set.Overrides)) {
		t.override(name, set.Overrides[name])
	}
	terms := termsOf(t.now)
	terms.Settings, terms.Jobs = t.text(), jobs(own, set, trusted)
	return terms, t.warnings
}

// termsOf are those of settings, but what only clients have.
func termsOf(c config.Settings) messages.Terms {
	return messages.Terms{Limits: limits(c), Fallback: c.Fallback, AnySubstitutes: c.AlwaysAllowSubstitutes,
		NoSubstitutes: !c.Substitute || len(c.Substituters) == 0}
}

// jobs is how many builds a client wants at a time. There is one number for all,
// which those who are trusted may raise while they are there.
func jobs(own config.Settings, set *workerproto.SetOptions, trusted bool) int {
	switch n := set.MaxBuildJobs; {
	case n == 0 && own.MaxJobs > 0:
		return messages.NoLocalBuilds
	case trusted && n > uint64(own.MaxJobs):
		return int(min(n, maxClientJobs))
	}
	return 0
}

// maxClientJobs bounds what a client can want.
const maxClientJobs = 10_000

type termsReader struct {
	own, now config.Settings
	trusted  bool
	changed  map[string]string
	warnings []string
}

// set takes a value that differs from the service's own.
func (t *termsReader) set(name, value string) {
	before := t.now
	switch err := t.now.Set(name, value); {
	case errors.Is(err, config.ErrUnknown):
		t.denied(name, "is not known")
	case err != nil:
		t.warn("ignoring the client-specified setting '%s': %v", name, err)
	case reflect.DeepEqual(before, t.now): // it is so already
	default:
		t.changed[config.Canonical(name)] = value
	}
}

func (t *termsReader) warn(format string, args ...any) {
	t.warnings = append(t.warnings, fmt.Sprintf(format, args...))
}

// anybodyMay are settings that the untrusted may change. None names a file, a
// program or a socket.
var anybodyMay = []string{"timeout", "max-silent-time", "build-poll-interval", "connect-timeout"}

func (t *termsReader) override(name, value string) {
	switch canonical := config.Canonical(name); {
	case canonical == "experimental-features", canonical == "extra-experimental-features", name == "ssh-auth-sock":
		// the daemon's own count
	case canonical == "plugin-files":
		t.warn("ignoring the client-specified setting 'plugin-files': plugins are not for a daemon to load")
	case canonical == "max-jobs":
		// there is one number for all clients
	case canonical == "builders" && value == "":
		t.set(name, value)
	case config.IsDaemons(name):
		t.denied(name, "is the daemon's own")
	case t.trusted || slices.Contains(anybodyMay, canonical):
		t.set(name, value)
	case canonical == "substituters" || canonical == "extra-substituters":
		t.substituters(name, value)
	default:
		t.restricted(name, value)
	}
}

// restricted is a setting that takes trust, which is no matter where it is so
// already.
func (t *termsReader) restricted(name, value string) {
	same := t.now
	switch err := same.Set(name, value); {
	case errors.Is(err, config.ErrUnknown):
		t.denied(name, "is not known")
	case err != nil || !reflect.DeepEqual(same, t.now):
		t.denied(name, "is a restricted setting and you are not a trusted user")
	}
}

func (t *termsReader) denied(name, why string) {
	t.warn("ignoring the client-specified setting '%s', because it %s", name, why)
}

// substituters are those that somebody who is trusted has allowed.
func (t *termsReader) substituters(name, value string) {
	allowed := slices.Concat(t.own.Substituters, t.own.TrustedSubstituters)
	var kept []string
	for _, s := range strings.Fields(value) {
		if slices.Contains(allowed, s) || slices.Contains(allowed, s+"/") || slices.Contains(allowed, strings.TrimSuffix(s, "/")) {
			kept = append(kept, s)
		} else {
			t.warn("ignoring untrusted substituter '%s', you are not a trusted user.\nRun `man nix.conf` for more information on the `substituters` configuration option.", s)
		}
	}
	t.set(name, strings.Join(kept, " "))
}

// text are the settings that differ, as lines of nix.conf sorted by name.
func (t *termsReader) text() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(t.changed)) {
		if name != "max-silent-time" && name != "timeout" { // these are limits
			fmt.Fprintf(&b, "%s = %s\n", name, oneLine.Replace(t.changed[name]))
		}
	}
	return b.String()
}

// A value that has lines is written in one, which [policies.of] undoes.
var (
	oneLine   = strings.NewReplacer("\\", `\\`, "\n", `\n`)
	manyLines = strings.NewReplacer(`\\`, "\\", `\n`, "\n")
)
