package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"troupe/actors/ports"
	"troupe/actors/ports/sessions"
	"troupe/cmd/troupe/config"
	"troupe/messages/workerproto"
)

// ownSettings are those of a service of which clients want something else.
func ownSettings(t *testing.T) config.Settings {
	t.Helper()
	s := config.Defaults(config.Host{System: "x86_64-linux", Root: true}, "/etc/nix")
	for name, value := range map[string]string{"substituters": "https://a.example", "trusted-substituters": "https://b.example/"} {
		if err := s.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestTrustOnPipes: who runs a service on its pipes is trusted, unless the command line
// has it otherwise.
func TestTrustOnPipes(t *testing.T) {
	own := sessions.Lookup(os.Getuid(), os.Getgid(), os.Getpid()).User
	settings := ownSettings(t)
	settings.TrustedUsers = []string{"somebody"}
	for _, c := range []struct {
		cmd  daemonCmd
		want []string
	}{
		{daemonCmd{}, []string{"somebody"}},
		{daemonCmd{Stdio: true}, []string{"somebody", own}},
		{daemonCmd{Stdio: true, ForceUntrusted: true}, nil},
		{daemonCmd{Stdio: true, ForceTrusted: true}, []string{"*"}},
	} {
		if got := c.cmd.access(settings).Trusted; !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.cmd, got, c.want)
		}
	}
}

// termsWith are those of a client that sets one thing, by name.
func termsWith(own config.Settings, trusted bool, name, value string) (settings string, warnings []string) {
	terms, warnings := clientTerms(own, &workerproto.SetOptions{UseSubstitutes: true, Overrides: map[string]string{name: value}}, trusted)
	return terms.Settings, warnings
}

// settingNames are all names by which a setting can be said.
func settingNames() (names []string) {
	for _, r := range config.Table() {
		for _, n := range append([]string{r.Name}, r.Aliases...) {
			names = append(names, n)
			if r.Extends {
				names = append(names, "extra-"+n)
			}
		}
	}
	return names
}

// evil are values that would let a client have something run, read or written, or
// say a second setting behind the first.
var evil = []string{"/bin/sh", "/tmp/x", "unix:///tmp/socket", "@/tmp/machines", "ssh://evil x86_64-linux", "/=/", "sh=/bin/sh", "true", "false", "relaxed",
	"0", "7", "*", "kvm", "X=Y", "[]", "https://evil.example", "https://a.example\nsandbox = false", "9\nsandbox = false",
	"\nsandbox = false", "9 \nbuild-dir = /tmp/x"}

// oddNames are no setting's, and look like those that are.
var oddNames = []string{"", " ", "extra-", "extra-sandbox", "sandbox ", " sandbox", "SANDBOX", "extra-extra-sandbox-paths", "connect-timeout = 3\nsandbox",
	"sandbox = false\n#", "connect-timeout\n", "substituters ", ports.IdentitySetting}

// TestNobodyIsTrustedBySettings: whatever an untrusted client says by whatever
// name, its builds differ from those of others in nothing but how long they may
// take and where they may be had from, and of that only what the service allows.
func TestNobodyIsTrustedBySettings(t *testing.T) {
	own := ownSettings(t)
	plain, _ := termsWith(own, false, "experimental-features", "x")
	harmless := []string{"connect-timeout", "substituters", "extra-substituters", "build-poll-interval"}
	for _, name := range append(settingNames(), oddNames...) {
		for _, value := range evil {
			said, warnings := termsWith(own, false, name, value)
			for line := range strings.Lines(strings.TrimPrefix(said, plain)) {
				key, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " = ")
				if !ok || !slices.Contains(harmless, key) {
					t.Errorf("%s = %q makes the terms %q", name, value, said)
				}
				if strings.Contains(key, "substituters") && strings.Contains(v, "evil") {
					t.Errorf("%s = %q is let through: %q", name, value, line)
				}
			}
			for _, w := range warnings {
				if !strings.HasPrefix(w, "ignoring the client-specified setting '"+name+"'") && !strings.HasPrefix(w, "ignoring untrusted substituter") {
					t.Errorf("%s = %q: %q", name, value, w)
				}
			}
		}
	}
}

// TestUntrustedSettings are those that anybody may change, what is said of the
// others, and what is not worth a word.
func TestUntrustedSettings(t *testing.T) {
	own := ownSettings(t)
	const restricted = "ignoring the client-specified setting '%s', because it is a restricted setting and you are not a trusted user"
	for _, c := range []struct{ name, value, settings, warning string }{
		{"connect-timeout", "3", "connect-timeout = 3\n", ""},
		{"connect-timeout", "soon", "", `ignoring the client-specified setting 'connect-timeout': set connect-timeout to "soon": want a whole number, with K, M, G or T after it if need be`},
		{"substituters", "https://a.example https://b.example", "substituters = https://a.example https://b.example\n", ""},
		{"binary-caches", "https://b.example", "substituters = https://b.example\n", ""},
		{"extra-substituters", "https://b.example", "extra-substituters = https://b.example\n", ""},
		{"substituters", "https://evil.example", "substituters = \n", "ignoring untrusted substituter 'https://evil.example', you are not a trusted user.\n" +
			"Run `man nix.conf` for more information on the `substituters` configuration option."},
		{"builders", "", "builders = \n", ""}, // to build nothing elsewhere is allowed to all
		{"builders", "ssh://mac", "", fmt.Sprintf(restricted, "builders")},
		{"post-build-hook", "/bin/sh", "", fmt.Sprintf(restricted, "post-build-hook")},
		{"post-build-hook", "", "", ""}, // it is so already
		{"diff-hook", "", "", ""},
		{"sandbox", "false", "", fmt.Sprintf(restricted, "sandbox")},
		{"sandbox", "true", "", ""},
		{"extra-sandbox-paths", "/etc", "", fmt.Sprintf(restricted, "extra-sandbox-paths")},
		{"secret-key-files", "/etc/shadow", "", fmt.Sprintf(restricted, "secret-key-files")},
		{"netrc-file", "/etc/shadow", "", fmt.Sprintf(restricted, "netrc-file")},
		{"trusted-users", "*", "", "ignoring the client-specified setting 'trusted-users', because it is the daemon's own"},
		{"plugin-files", "/tmp/x.so", "", "ignoring the client-specified setting 'plugin-files': plugins are not for a daemon to load"},
		{"experimental-features", "nix-command", "", ""},
		{"extra-experimental-features", "nix-command", "", ""},
		{"ssh-auth-sock", "/tmp/agent", "", ""},
		{"max-jobs", "9", "", ""},
		{"wings", "2", "", "ignoring the client-specified setting 'wings', because it is not known"},
	} {
		settings, warnings := termsWith(own, false, c.name, c.value)
		settings = strings.Replace(settings, "cores = 0\n", "", 1)
		if settings != c.settings || strings.Join(warnings, "|") != c.warning {
			t.Errorf("%s = %q: %q, %q", c.name, c.value, settings, warnings)
		}
	}
	limited, _ := clientTerms(own, &workerproto.SetOptions{UseSubstitutes: true, MaxSilentTime: 5, Overrides: map[string]string{"build-timeout": "7"}}, false)
	if l := limited.Limits; l.Silence.Seconds() != 5 || l.Total.Seconds() != 7 {
		t.Errorf("limits: %v", limited)
	}
}

// TestTermsOfTheTrusted: what the trusted set is what their builds are made by,
// also where a value has lines.
func TestTermsOfTheTrusted(t *testing.T) {
	own := ownSettings(t)
	p := &policies{location: location{Dir: storeDir, StateDir: "/nix/var/nix"}}
	if err := p.set(own); err != nil {
		t.Fatal(err)
	}
	terms, warnings := clientTerms(own, &workerproto.SetOptions{UseSubstitutes: true, KeepFailed: true, BuildCores: 3, Overrides: map[string]string{
		"keep-failed": "true", "sandbox": "relaxed", "impure-env": "A=1\nB=2", "builders": "ssh://a\nssh://b\\n", "extra-system-features": "apricot", "log-lines": "3",
	}}, true)
	if len(warnings) > 0 {
		t.Errorf("%q", warnings)
	}
	policy, err := p.of(terms.Settings)
	if err != nil {
		t.Fatal(err)
	}
	if !policy.KeepFailed || policy.Cores != 3 || policy.LogLines != 3 || !slices.Contains(policy.Sandbox.Features, "apricot") ||
		policy.HostEnv("A") != "1" || policy.HostEnv("B") != "2" {
		t.Errorf("%q makes %+v", terms.Settings, policy)
	}
	if strings.Count(terms.Settings, "\n") != 7 {
		t.Errorf("a line a setting: %q", terms.Settings)
	}
	if _, err := p.of("wings = 2\n"); err == nil || !strings.Contains(err.Error(), "the client's settings: ") {
		t.Errorf("unknown: %v", err)
	}
}

// What a client says of fetching counts, whoever it is: also what is no setting in
// its list.
func TestTermsOfFetching(t *testing.T) {
	own := ownSettings(t)
	own.Substituters = []string{"https://a.example"}
	for what, c := range map[string]struct {
		set  workerproto.SetOptions
		want string
	}{
		"nothing else": {workerproto.SetOptions{UseSubstitutes: true}, "silence:0s,total:0s,log:0"},
		"nothing":      {workerproto.SetOptions{}, "silence:0s,total:0s,log:0,no-substitutes,substitute = false"},
		"fallback":     {workerproto.SetOptions{UseSubstitutes: true, TryFallback: true}, "silence:0s,total:0s,log:0,fallback,fallback = true"},
		"from nowhere": {workerproto.SetOptions{UseSubstitutes: true, Overrides: map[string]string{"substituters": ""}}, "silence:0s,total:0s,log:0,no-substitutes,substituters ="},
	} {
		c.set.MaxBuildJobs = uint64(own.MaxJobs)
		terms, warnings := clientTerms(own, &c.set, false)
		if got := terms.String(); got != c.want || len(warnings) > 0 {
			t.Errorf("%s: %q, want %q; %q", what, got, c.want, warnings)
		}
	}
}

// TestTransfers: what is fetched with other authorities or passwords is fetched apart, and
// to tell it is not to print each of their bytes, which took a policy 27 ms.
func TestTransfers(t *testing.T) {
	c := ownSettings(t)
	seen := map[string]bool{}
	big := []byte(strings.Repeat("x", 200_000))
	for _, b := range []ports.BuiltinPolicy{{}, {CA: big}, {CA: big[1:]}, {Netrc: big}, {Netrc: big, CA: big}} {
		p, err := cachePolicy(c, b)
		if err != nil || seen[p.Transfers] {
			t.Errorf("%d and %d bytes: %s is another's (%v)", len(b.Netrc), len(b.CA), p.Transfers, err)
		}
		seen[p.Transfers] = true
	}
	if n := testing.AllocsPerRun(5, func() { cachePolicy(c, ports.BuiltinPolicy{CA: big}) }); n > 300 {
		t.Errorf("%.0f allocations", n)
	}
}
