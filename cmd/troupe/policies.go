package main

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"troupe/actors/ports"
	"troupe/cmd/troupe/config"
	"troupe/sandbox"
	"troupe/storage/gc"
	"troupe/storage/signature"
)

// policies turn settings into what ports build by: the service's own, and those
// of clients that want it otherwise.
type policies struct {
	location location
	userns   bool
	own      []sandbox.HostPath
	remote   string // how programs of Nix reach this process; "" if they cannot
	now      atomic.Pointer[current]
}

// current are the service's settings, and the policy that they make.
type current struct {
	settings config.Settings
	policy   ports.BuildPolicy
}

// set changes the service's own settings for builds that begin from now on.
func (p *policies) set(c config.Settings) error {
	policy, err := p.make(c)
	if err == nil {
		p.now.Store(&current{c, policy})
	}
	return err
}

func (p *policies) make(c config.Settings) (ports.BuildPolicy, error) {
	policy := ports.BuildPolicy{Sandbox: sandboxPolicy(c, p.location, p.userns), Cores: c.Cores, BuildDir: buildDir(c, p.location),
		KeepFailed: c.KeepFailed, KeepLog: c.KeepBuildLog, LogLines: int(c.LogLines), HostEnv: hostEnv(c)}
	policy.Hooks = ports.Hooks{PostBuild: c.PostBuildHook, Remote: p.remote, Config: os.Getenv("NIX_CONFIG")}
	if c.RunDiffHook {
		policy.Hooks.Diff = c.DiffHook
	}
	policy.Space = ports.SpacePolicy{Limits: gc.Limits{Min: c.MinFree, Max: c.MaxFree}, Every: c.MinFreeCheckInterval,
		KeepDerivations: c.KeepDerivations, KeepOutputs: c.KeepOutputs}
	policy.Sandbox.Own, policy.Optimise = p.own, c.AutoOptimiseStore
	var err error
	if policy.Keys, err = signature.ReadSecretKeys(c.SecretKeyFiles); err != nil {
		return policy, err
	}
	policy.Builtin, err = builtinPolicy(c)
	return policy, err
}

// of implements [ports.Services.PolicyOf]; changes are what [termsReader.text]
// writes.
func (p *policies) of(changes string) (ports.BuildPolicy, error) {
	now := p.now.Load()
	if changes == "" {
		return now.policy, nil
	}
	c := now.settings
	for line := range strings.Lines(changes) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " = ")
		if err := c.Set(name, manyLines.Replace(value)); err != nil {
			return ports.BuildPolicy{}, fmt.Errorf("the client's settings: %w", err)
		}
	}
	policy, err := p.make(c)
	policy.Hooks.Config = os.Getenv("NIX_CONFIG") + "\n" + changes
	return policy, err
}
