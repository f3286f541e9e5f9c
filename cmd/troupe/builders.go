package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"troupe/actors/ports"
	"troupe/cmd/troupe/config"
	"troupe/storage/buildmachines"
)

// nixHook is the hook of Nix. It asks the machines of the setting "builders", which
// we do ourselves.
var nixHook = []string{"nix", "__build-remote"}

// oldHook is the variable that named the hook of Nix 1, which spoke in lines.
const oldHook = "NIX_BUILD_HOOK"

// remotePolicy is what the settings say about builds elsewhere. Without a hook
// there are none, as in Nix.
func (p *policies) remotePolicy(c config.Settings) ports.RemotePolicy {
	r := ports.RemotePolicy{Substitute: c.BuildersUseSubstitutes, KeepFailed: c.KeepFailed, Cores: c.Cores,
		ConnectTimeout: c.ConnectTimeout}
	switch old := strings.Fields(os.Getenv(oldHook)); {
	case !slices.Equal(c.BuildHook, nixHook):
		r.Hook.Program = c.BuildHook
	case len(old) > 0:
		r.Hook.Program, r.Hook.Lines = old, true
	case strings.TrimSpace(c.Builders) != "":
		r.Machines = buildmachines.NewList(c.Builders, c.System)
	}
	if len(r.Hook.Program) == 0 {
		r.Hook.Program = nil
		return r
	}
	r.Hook.System, r.Hook.Limits = c.System, limits(c)
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }
	r.Hook.Settings = []ports.Setting{
		{Name: "builders", Value: c.Builders},
		{Name: "builders-use-substitutes", Value: strconv.FormatBool(c.BuildersUseSubstitutes)},
		{Name: "connect-timeout", Value: seconds(c.ConnectTimeout)},
		{Name: "cores", Value: strconv.Itoa(int(c.Cores))},
		{Name: "extra-platforms", Value: strings.Join(c.ExtraPlatforms, " ")},
		{Name: "keep-failed", Value: strconv.FormatBool(c.KeepFailed)},
		{Name: "max-jobs", Value: strconv.Itoa(int(c.MaxJobs))},
		{Name: "max-silent-time", Value: seconds(c.MaxSilentTime)},
		{Name: "system", Value: c.System},
		{Name: "system-features", Value: strings.Join(c.SystemFeatures, " ")},
		{Name: "timeout", Value: seconds(c.Timeout)},
	}
	return r
}
