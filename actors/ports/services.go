package ports

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"troupe/messages"
	"troupe/sandbox"
	"troupe/sandbox/linux"
	"troupe/storage/addition"
	"troupe/storage/derivation"
	"troupe/storage/gc"
	"troupe/storage/localstore"
	"troupe/storage/pathlock"
	"troupe/storage/signature"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Services is what the ports do their I/O with.
type Services struct {
	Layout   localstore.Layout
	DB       *validity.DB
	Roots    *localstore.TempRoots
	Launcher *linux.Launcher
	// PolicyOf is the policy where a client's settings (see [messages.Terms])
	// differ from the service's own; "" is where none does.
	PolicyOf func(settings string) (BuildPolicy, error)
	// Optimiser links outputs to equal files, where the policy wants it.
	Optimiser *localstore.Optimiser
	// Collector collects garbage for everybody; the tree makes it.
	Collector *gc.Collector
	// Given has derivations that are not in the store; nil is none.
	Given  *Given
	Hashes *Hashes
	// Identity tells this service from all others; the tree makes it.
	Identity string
	// Spares are lock files for store paths; the tree makes them.
	Spares *pathlock.Spares
	// Lent are outputs that hooks may add; the tree makes it.
	Lent *addition.Lent
	// Stages has directories for all that is added; the tree makes it.
	Stages *addition.Stages
	Log    zerolog.Logger
}

// BuildPolicy is what the settings say about how builders run.
type BuildPolicy struct {
	Sandbox    sandbox.Policy
	Cores      uint
	BuildDir   string // where build directories are made
	KeepFailed bool
	KeepLog    bool
	LogLines   int // of a failed build that its error shows
	Hooks      Hooks
	Space      SpacePolicy
	Optimise   bool                 // link files that are equal
	Keys       signature.SecretKeys // sign what is built
	HostEnv    func(name string) string
	Builtin    BuiltinPolicy
	// Experimental are the features that are on.
	Experimental derivation.Features
	Caches       CachePolicy
	Remote       RemotePolicy
}

// CachePolicy is what the settings say about substituters. Attempts, time-outs,
// passwords and authorities are those of [BuiltinPolicy].
type CachePolicy struct {
	Substituters             []string // URLs; none where nothing is to be fetched
	Trust                    addition.Trust
	Fallback                 bool // what cannot be asked for is built
	Connections              int  // to one server
	HTTP1                    bool
	Positive, Negative, Meta time.Duration // for how long answers count
	// Transfers is equal where all but Substituters, Trust and Fallback is.
	Transfers string
}

// Shared has what there is one of in a process.
func (s Services) Shared() Services {
	s.Stages, s.Spares = &addition.Stages{}, pathlock.NewSpares(s.Layout.StagingDir())
	s.Collector = &gc.Collector{Layout: s.Layout, DB: s.DB, Roots: s.Roots, Unstage: s.Unstage}
	s.Hashes = NewHashes(s.Layout, s.DB)
	s.Given, s.Lent, s.Identity = &Given{}, &addition.Lent{}, rand.Text()
	return s
}

// Unstage removes what the staging directory keeps to be used again.
func (s Services) Unstage() error { return errors.Join(s.Stages.Close(), s.Spares.Drop()) }

// OptimiserFor is the one that a policy wants, or nil.
func (s Services) OptimiserFor(p BuildPolicy) *localstore.Optimiser {
	if !p.Optimise {
		return nil
	}
	return s.Optimiser
}

// ReadDerivation reads a derivation that is valid or given.
func (s Services) ReadDerivation(p storepath.Path) (*derivation.Derivation, error) {
	if d := s.Given.find(p); d != nil {
		return d, nil
	}
	data, err := os.ReadFile(s.Layout.RealPath(p))
	if err != nil {
		return nil, fmt.Errorf("read derivation '%s': %w", s.Layout.Dir.Join(p), err)
	}
	return derivation.Parse(s.Layout.Dir, strings.TrimSuffix(p.Name(), ".drv"), data)
}

// recipe is what a goal must know of a derivation; it refuses what cannot be
// built here.
func (d *Database) recipe(p storepath.Path, drv *derivation.Derivation, settings string) (messages.Recipe, error) {
	policy, err := d.s.PolicyOf("") // no client may turn a feature on
	if err != nil {
		return messages.Recipe{}, err
	}
	if err := policy.Experimental.Allow(drv); err != nil {
		return messages.Recipe{}, err
	}
	if err := d.s.mayDepend(p, drv); err != nil {
		return messages.Recipe{}, err
	}
	r := messages.Recipe{Drv: p, Sources: d.names.paths(drv.Sources), Fixed: drv.IsFixed(), CA: drv.Outputs[0].ContentAddress(),
		Unknown: !drv.KnowsOutputs(), Impure: drv.IsImpure(), Resolve: drv.MustResolve()}
	if !r.Resolve { // else it is not this one that is built, and options may have placeholders
		options, err := drv.Options(d.s.Layout.Dir)
		if err != nil {
			return messages.Recipe{}, err
		}
		r.PreferLocal, r.OnlyBuilt, r.Nests = options.PreferLocalBuild, !options.AllowSubstitutes, wantsNest(drv, options)
		if r.Elsewhere, err = d.elsewhere(p, drv, options.RequiredSystemFeatures, settings); err != nil {
			return messages.Recipe{}, err
		}
	}
	if r.Unknown && !r.Resolve {
		if r.Locks, err = lockNames(p, drv); err != nil {
			return messages.Recipe{}, err
		}
	}
	r.Outputs = make([]messages.Output, len(drv.Outputs))
	for i, o := range drv.Outputs {
		r.Outputs[i] = messages.Output{Name: o.Name, Path: o.Path.Clone()}
	}
	r.Inputs = slices.Grow(r.Inputs, len(drv.Inputs))
	for _, in := range drv.Inputs {
		at := d.names.path(in.Path)
		for _, n := range in.Nested() {
			if len(n.Through) > 0 {
				r.Dynamic = append(r.Dynamic, messages.DynamicInput{Drv: at, Through: n.Through, Outputs: n.Outputs})
			} else {
				r.Inputs = append(r.Inputs, messages.Target{Path: at, Outputs: outputNames(n.Outputs)})
			}
		}
	}
	r.Expected, err = d.expected(p, drv.Name)
	return r, err
}

// expected is how long a build took before: this very one, or the last of the
// same name.
func (d *Database) expected(p storepath.Path, name string) (time.Duration, error) {
	last, ok, err := d.s.DB.LastBuild(p)
	if err != nil {
		return 0, err
	}
	if ok && last.Failure == "" {
		return last.Duration(), nil
	}
	return d.s.DB.LastDuration(name)
}
