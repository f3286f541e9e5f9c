package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"troupe/actors"
	"troupe/actors/goal"
	"troupe/actors/machines"
	"troupe/actors/ports"
	"troupe/actors/store"
	"troupe/cmd/troupe/config"
	"troupe/messages"
	"troupe/sandbox"
	"troupe/sandbox/linux"
)

// gatherPaths and linger bound what a crash can lose of a build that nobody
// waits for.
const (
	gatherPaths = 256
	linger      = 2 * time.Second
)

// treeSettings turns settings into what the tree decides by, and what its ports
// do. Remote is how programs of Nix reach this process, or "".
func treeSettings(s *session, st *openedStore, launcher *linux.Launcher, remote string) (actors.Settings, *policies, error) {
	c := s.settings
	userns, err := launcher.HasUserNamespaces()
	if err != nil {
		return actors.Settings{}, nil, err
	}
	a := actors.Settings{
		Machines: machines.Settings{
			Goal:    goal.Policy{StoreDir: s.location.Dir},
			Store:   store.Policy{Gather: gatherPaths, Linger: linger},
			MaxJobs: int(c.MaxJobs),
		},
	}
	a.Machines.Users, a.Machines.NoUsers = buildUsers(c)
	own, err := linux.OwnLibraries()
	if err != nil {
		return actors.Settings{}, nil, err
	}
	p := &policies{location: s.location, remote: remote, userns: userns, own: own}
	a.Machines.MaxSubstitutions = int(c.MaxSubstitutionJobs)
	a.UserAgent, a.Memory = userAgent(), memory(s.location)
	a.Services = ports.Services{Layout: s.location, DB: st.db, Launcher: launcher, Optimiser: st.optimiser, PolicyOf: p.of}
	return a, p, p.set(c)
}

// useCgroups gives builders cgroups of their own, unless that is turned off. Who
// asked for them gets no build without.
func useCgroups(l *linux.Launcher, mode config.CgroupMode, log zerolog.Logger) {
	if mode == config.CgroupsOff {
		return
	}
	l.UseCgroups(mode == config.CgroupsNeeded, func(err error) { log.Warn().Err(err).Msg("clean up") })
}

// limits are what a builder may take by the settings.
func limits(c config.Settings) messages.Limits {
	return messages.Limits{Silence: c.MaxSilentTime, Total: c.Timeout, LogBytes: int64(c.MaxBuildLogSize)}
}

func buildDir(c config.Settings, l location) string {
	if c.BuildDir != "" {
		return c.BuildDir
	}
	return l.BuildsDir()
}

// hostEnv is where impureEnvVars come from.
func hostEnv(c config.Settings) func(string) string {
	return func(name string) string {
		if v, ok := c.ImpureEnv[name]; ok {
			return v
		}
		return os.Getenv(name)
	}
}

func sandboxPolicy(c config.Settings, l location, userns bool) sandbox.Policy {
	p := sandbox.Policy{
		Mode:     map[config.SandboxMode]sandbox.Mode{config.SandboxOn: sandbox.On, config.SandboxOff: sandbox.Off, config.SandboxRelaxed: sandbox.Relaxed}[c.Sandbox],
		BuildDir: c.SandboxBuildDir, ShmSize: c.SandboxDevShmSize, System: c.System, ExtraPlatforms: c.ExtraPlatforms,
		Features: systemFeatures(c), FilterSyscalls: c.FilterSyscalls, AllowSetuid: c.AllowNewPrivileges, Linux26: c.ImpersonateLinux26,
		UserNamespaces: userns, Diverted: l.Root != "",
		KVM:          unix.Access("/dev/kvm", unix.R_OK|unix.W_OK) == nil,
		Certificates: c.SSLCertFile,
	}
	for _, h := range c.SandboxPaths {
		p.Paths = append(p.Paths, sandbox.HostPath{Inside: h.Inside, Outside: h.Outside, Optional: h.Optional})
	}
	return p
}

// systemFeatures are those of the settings, and those that come with experimental
// features. A range of ids is not among them, whatever is set: builders have one.
func systemFeatures(c config.Settings) []string {
	features := slices.DeleteFunc(slices.Clone(c.SystemFeatures), func(f string) bool { return f == "uid-range" })
	for _, f := range []string{"ca-derivations", "recursive-nix"} {
		if slices.Contains(c.ExperimentalFeatures, f) && !slices.Contains(features, f) {
			features = append(features, f)
		}
	}
	slices.Sort(features)
	return features
}

// buildUsers are whom builders run as: for root the members of the group of
// build users or, where there are no such accounts, a range of ids that nobody
// has; for everybody else the very user.
func buildUsers(c config.Settings) (users []messages.BuildUser, why string) {
	if os.Geteuid() != 0 || (c.BuildUsersGroup == "" && !c.AutoAllocateUIDs) {
		return []messages.BuildUser{{UID: os.Geteuid(), GID: os.Getegid(), Shared: true}}, ""
	}
	if !c.AutoAllocateUIDs {
		accounts, err := linux.GroupUsers(c.BuildUsersGroup)
		for _, a := range accounts {
			users = append(users, messages.BuildUser{UID: a.UID, GID: a.GID, Account: true})
		}
		if err == nil {
			return users, ""
		}
		if c.BuildUsersGroup != defaultGroup {
			return nil, err.Error()
		}
	}
	return uidRange(c), ""
}

// defaultGroup is the setting's value for root. That it does not exist is no
// error: it may never have been asked for.
const defaultGroup = "nixbld"

// uidRange is as many ids as there can be builds, and some that another process
// may be using.
func uidRange(c config.Settings) (users []messages.BuildUser) {
	n := min(uint32(c.MaxJobs)*2+16, c.IDCount)
	for i := range n {
		id := int(c.StartID + i)
		users = append(users, messages.BuildUser{UID: id, GID: id})
	}
	return users
}

// authorities are whom servers' certificates may come from. A file that is not
// there has none, which only who fetches by https is told: it may be a variable of
// the environment that has named it.
func authorities(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return fmt.Appendf(nil, "# '%s' does not exist\n", file), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ssl-cert-file: %w", err)
	}
	return text, nil
}

func builtinPolicy(c config.Settings) (ports.BuiltinPolicy, error) {
	p := ports.BuiltinPolicy{Attempts: c.DownloadAttempts, ConnectTimeout: c.ConnectTimeout,
		StallTimeout: c.StalledDownloadTimeout, Mirrors: c.HashedMirrors, Proxy: map[string]string{}}
	var err error
	if p.Netrc, err = os.ReadFile(c.NetrcFile); err != nil && !os.IsNotExist(err) && !os.IsPermission(err) {
		return p, fmt.Errorf("read netrc-file: %w", err)
	}
	if p.CA, err = authorities(c.SSLCertFile); err != nil {
		return p, err
	}
	for _, name := range []string{"http_proxy", "https_proxy", "all_proxy", "no_proxy"} {
		for _, n := range []string{name, strings.ToUpper(name)} {
			if v, ok := os.LookupEnv(n); ok && name != "http_proxy" || ok && n == name {
				p.Proxy[name] = v
			}
		}
	}
	return p, nil
}
