package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"troupe/actors/ports"
	"troupe/cmd/troupe/config"
	"troupe/sandbox"
	"troupe/storage/addition"
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

// current are the service's settings, the policy that they make, and those that
// they make with the changes of clients.
type current struct {
	settings config.Settings
	policy   ports.BuildPolicy

	mu      sync.Mutex // guards changed
	changed map[string]ports.BuildPolicy
}

// changesKept bounds the policies that are kept: making one reads files.
const changesKept = 64

// set changes the service's own settings for builds that begin from now on.
func (p *policies) set(c config.Settings) error {
	policy, err := p.make(c)
	if err == nil {
		p.now.Store(&current{settings: c, policy: policy})
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
	policy.Sandbox.Own, policy.Optimise, policy.Experimental = p.own, c.AutoOptimiseStore, c.ExperimentalFeatures
	var err error
	if policy.Keys, err = signature.ReadSecretKeys(c.SecretKeyFiles); err != nil {
		return policy, fmt.Errorf("secret-key-files: %w", err)
	}
	if policy.Builtin, err = builtinPolicy(c); err != nil {
		return policy, err
	}
	policy.Remote = p.remotePolicy(c)
	policy.Caches, err = cachePolicy(c, policy.Builtin)
	return policy, err
}

// cachePolicy is what the settings say about substituters.
func cachePolicy(c config.Settings, b ports.BuiltinPolicy) (ports.CachePolicy, error) {
	trust, err := trustOf(c)
	p := ports.CachePolicy{Trust: trust, Fallback: c.Fallback,
		Connections: int(c.HTTPConnections), HTTP1: !c.HTTP2,
		Positive: c.NarinfoPositiveTTL, Negative: c.NarinfoNegativeTTL, Meta: c.NarinfoMetaTTL}
	if c.Substitute {
		p.Substituters = c.Substituters
	}
	netrc, authorities := sha256.Sum256(b.Netrc), sha256.Sum256(b.CA)
	b.Netrc, b.CA = nil, nil // some 200 KB, of which each byte would be printed as a number
	p.Transfers = fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, netrc, authorities, b, p.Connections, p.HTTP1, p.Positive, p.Negative, p.Meta)))
	return p, err
}

// trustOf is whose signatures count: who signs here is trusted here, as with Nix.
func trustOf(c config.Settings) (addition.Trust, error) {
	keys, err := signature.ParsePublicKeys(c.TrustedPublicKeys)
	if err != nil {
		return addition.Trust{}, fmt.Errorf("trusted-public-keys: %w", err)
	}
	own, err := signature.ReadSecretKeys(c.SecretKeyFiles)
	return addition.Trust{Keys: append(keys, own.Public()...), Everything: !c.RequireSigs}, err
}

// of implements [ports.Services.PolicyOf]; changes are what [termsReader.text]
// writes.
func (p *policies) of(changes string) (ports.BuildPolicy, error) {
	now := p.now.Load()
	if changes == "" {
		return now.policy, nil
	}
	now.mu.Lock()
	defer now.mu.Unlock()
	if policy, known := now.changed[changes]; known {
		return policy, nil
	}
	policy, err := p.changed(now.settings, changes)
	if err != nil {
		return policy, err
	}
	if now.changed == nil || len(now.changed) >= changesKept {
		now.changed = map[string]ports.BuildPolicy{}
	}
	now.changed[changes] = policy
	return policy, nil
}

func (p *policies) changed(c config.Settings, changes string) (ports.BuildPolicy, error) {
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
