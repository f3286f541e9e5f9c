package sessions

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

// targets are what a client wants, as the worker takes it.
func (c *connection) targets(paths []workerproto.DerivedPath, mode workerproto.BuildMode) ([]messages.Target, error) {
	targets := make([]messages.Target, len(paths))
	for i, p := range paths {
		if len(p.Through) > 0 {
			if err := c.require("dynamic-derivations", fmt.Sprintf("building output '%s' of '%s'", p.Through[0], p.Path.Base())); err != nil {
				return nil, err
			}
		}
		p, err := c.lead(p)
		if err != nil {
			return nil, err
		}
		targets[i] = messages.Target{Path: p.Path, Outputs: p.Outputs, Mode: modes[mode]}
	}
	return targets, c.mayBuild(mode)
}

// lead makes the derivations valid that lead to one that is an output, each of
// which is known when the one before it is built.
func (c *connection) lead(p workerproto.DerivedPath) (workerproto.DerivedPath, error) {
	for ; len(p.Through) > 0; p.Through = p.Through[1:] {
		step := messages.Target{Path: p.Path, Outputs: p.Through[:1]}
		results, err := c.realise([]messages.Target{step})
		if err != nil {
			return p, err
		}
		at := c.d.Dir.Join(p.Path) + "^" + p.Through[0]
		if r := results[0]; !r.Status.OK() {
			return p, fmt.Errorf("failed to obtain derivation of '%s': %s", at, r.Error)
		}
		for _, o := range results[0].Outputs {
			if o.Name == p.Through[0] {
				p.Path = o.Path
			}
		}
		if !p.Path.IsDerivation() {
			return p, fmt.Errorf("output '%s' is no derivation", at)
		}
	}
	return p, nil
}

// mayBuild refuses what takes trust.
func (c *connection) mayBuild(mode workerproto.BuildMode) error {
	if mode == workerproto.BuildRepair && !c.trusted {
		return errors.New("repairing is not allowed because you are not in 'trusted-users'")
	}
	return nil
}

var modes = map[workerproto.BuildMode]messages.Mode{
	workerproto.BuildNormal: messages.Normal, workerproto.BuildCheck: messages.Check, workerproto.BuildRepair: messages.Repair,
}

// realise makes targets valid: where they are, nobody else is asked.
func (c *connection) realise(targets []messages.Target) ([]messages.Result, error) {
	results, err := c.realiseAny(targets)
	if err == nil && c.nest != nil {
		err = c.see(results)
	}
	return results, err
}

func (c *connection) realiseAny(targets []messages.Target) ([]messages.Result, error) {
	if !c.ending() {
		if results, all, err := c.already(targets); all || err != nil {
			return results, err
		}
	}
	return c.ask(targets)
}

// ending reports whether the client is given nothing more; its session says why.
func (c *connection) ending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// already looks whether everything that is wanted is valid and on disk, in which
// case it stays while the client is there. So a hook that asks for what was just
// built does not wait for its own end.
func (c *connection) already(targets []messages.Target) (results []messages.Result, all bool, err error) {
	for _, t := range targets {
		if t.Mode != messages.Normal {
			return nil, false, nil
		}
		r := messages.Result{Status: messages.AlreadyValid}
		paths := []storepath.Path{t.Path}
		if valid, err := c.keptAndValid(paths); err != nil || !valid {
			return nil, false, err
		}
		if t.IsBuild() {
			outputs, err := c.knownOutputs(t.Path)
			if err != nil {
				return nil, false, nil // the worker says it better
			}
			paths = nil
			for _, o := range outputs {
				if t.Wants(o.Name) {
					if o.Path.IsZero() {
						return nil, false, nil
					}
					paths = append(paths, o.Path)
					r.Outputs = append(r.Outputs, o)
				}
			}
			if valid, err := c.keptAndValid(paths); err != nil || !valid || !r.Covers(t.Outputs) {
				return nil, false, err
			}
		}
		results = append(results, r)
	}
	return results, true, nil
}

// knownOutputs are those of a derivation, with their paths as far as they are
// known.
func (c *connection) knownOutputs(drv storepath.Path) ([]messages.Output, error) {
	d, err := c.p.s.ReadDerivation(drv)
	if err != nil {
		return nil, err
	}
	return c.p.s.KnownOutputs(d)
}

// keptAndValid keeps paths, and then looks whether all are valid.
func (c *connection) keptAndValid(paths []storepath.Path) (bool, error) {
	if err := c.keep(paths...); err != nil {
		return false, err
	}
	valid, err := c.durableOf(paths)
	return len(valid) == len(paths), err
}

// ask lets the session's actor make targets valid, and tells the client what is
// done meanwhile. The error is that nothing was tried, or that the client is
// gone.
func (c *connection) ask(targets []messages.Target) (results []messages.Result, err error) {
	request := c.p.number()
	c.watchful(func(ctx context.Context) {
		w := c.p.progress.watch(ctx, request, targets, c.out)
		defer c.p.progress.drop(request)
		ask := &messages.RealiseForClient{Request: request, Targets: targets, KeepGoing: c.keepGoing(), Terms: c.terms()}
		if c.nest != nil {
			ask.Within = c.nest.Goal
		}
		c.p.out.Send(c.address, ask)
		select {
		case a := <-c.answers:
			c.p.out.Send(messages.Progress, &messages.SyncProgress{Request: request})
			w.wait()
			results = a.Results
			if a.Refused != "" {
				err = errors.New(a.Refused)
			}
		case <-ctx.Done():
			err = errGone
		}
	})
	return results, err
}

func (c *connection) buildPaths(q *workerproto.BuildPaths) (workerproto.Reply, error) {
	targets, err := c.targets(q.Paths, q.Mode)
	if err != nil {
		return nil, err
	}
	results, err := c.realise(targets)
	if err != nil {
		return nil, err
	}
	return &workerproto.One{}, c.failure(targets, results)
}

// failure is what a client is told of a request that did not go well: the one
// thing that failed, or that several did, each of which is told before.
func (c *connection) failure(targets []messages.Target, results []messages.Result) error {
	var failed []string
	var errs []string
	seen := map[messages.GoalKey]bool{}
	for i, r := range results {
		if r.Status.OK() || seen[targets[i].Key()] {
			continue
		}
		seen[targets[i].Key()] = true
		failed = append(failed, "'"+c.d.Dir.Join(targets[i].Path)+"'")
		if r.Status != messages.Cancelled {
			errs = append(errs, r.Error)
		}
	}
	switch {
	case len(failed) == 0:
		return nil
	case len(errs) == 1 && (len(failed) == 1 || !c.keepGoing()):
		return errors.New(errs[0])
	}
	if len(errs) == 0 {
		return c.cancelled(targets, results)
	}
	for _, e := range errs {
		c.out.fail(e)
	}
	return fmt.Errorf("build of %s failed", strings.Join(failed, ", "))
}

// cancelled is the error that a request was given up though nothing of it has
// failed; nil where it was not.
func (c *connection) cancelled(targets []messages.Target, results []messages.Result) error {
	var given []string
	for i, r := range results {
		switch {
		case r.Status == messages.Cancelled:
			given = append(given, "'"+c.d.Dir.Join(targets[i].Path)+"'")
		case !r.Status.OK():
			return nil
		}
	}
	if len(given) == 0 {
		return nil
	}
	text := fmt.Sprintf("build of %s was cancelled", strings.Join(given, ", "))
	if c.ending() {
		text += ": the daemon is shutting down"
	}
	return errors.New(text)
}

func (c *connection) buildPathsWithResults(q *workerproto.BuildPathsWithResults) (workerproto.Reply, error) {
	targets, err := c.targets(q.Paths, q.Mode)
	if err != nil {
		return nil, err
	}
	results, err := c.realise(targets)
	if err != nil {
		return nil, err
	}
	// A client takes an answer in which nothing has failed for success.
	if err := c.cancelled(targets, results); err != nil {
		return nil, err
	}
	reply := &workerproto.KeyedBuildResults{}
	for i, r := range results {
		if r.Status == messages.Cancelled { // as it would read, it had failed by itself
			continue
		}
		result, err := c.result(targets[i], r)
		if err != nil {
			return nil, err
		}
		reply.Results = append(reply.Results, workerproto.KeyedBuildResult{Path: q.Paths[i], Result: result})
	}
	return reply, nil
}

// result is a goal's as the protocol has it.
func (c *connection) result(t messages.Target, r messages.Result) (workerproto.BuildResult, error) {
	b := workerproto.BuildResult{Status: uint8(r.Status), Error: r.Error, NonDeterministic: r.Status == messages.NotDeterministic}
	if !t.IsBuild() {
		return b, nil
	}
	if err := c.history(t.Path, r, &b); err != nil || !r.Status.OK() {
		return b, err
	}
	for _, o := range r.Outputs {
		if !t.Wants(o.Name) {
			continue
		}
		told, err := c.realisation(t.Path, o)
		if err != nil {
			return b, err
		}
		b.BuiltOutputs = append(b.BuiltOutputs, told)
	}
	return b, nil
}

// history adds when a build was made and what it used.
func (c *connection) history(drv storepath.Path, r messages.Result, b *workerproto.BuildResult) error {
	if r.Status != messages.Built && r.Status != messages.PermanentFailure {
		return nil
	}
	last, ok, err := c.p.s.DB.LastBuild(drv)
	if err != nil || !ok {
		return err
	}
	b.TimesBuilt, b.Start, b.Stop = 1, last.Start.Unix(), last.Stop.Unix()
	b.UserCPU, b.SystemCPU = &last.UserCPU, &last.SystemCPU
	return nil
}

// repair brings back a path whose contents are lost or changed.
func (c *connection) repair(_ context.Context, p storepath.Path) error {
	return c.p.s.Repair(p, func(t messages.Target) error {
		results, err := c.realise([]messages.Target{t})
		if err != nil {
			return err
		}
		return c.failure([]messages.Target{t}, results)
	})
}

func (c *connection) ensurePath(q *workerproto.EnsurePath) (workerproto.Reply, error) {
	targets := []messages.Target{{Path: q.Path}}
	results, err := c.realise(targets)
	if err != nil {
		return nil, err
	}
	return &workerproto.One{}, c.failure(targets, results)
}

// buildDerivation builds a derivation that the client brings along. What an
// input-addressed one makes cannot be checked without its inputs' derivations,
// so that it takes trust; what is named by its contents anybody may make.
func (c *connection) buildDerivation(q *workerproto.BuildDerivation) (workerproto.Reply, error) {
	d := &q.Derivation
	if err := c.mayBuild(q.Mode); err != nil {
		return nil, err
	}
	path := q.Path
	if !c.trusted {
		if kind := d.Outputs[0].Kind; kind == derivation.InputAddressed || kind == derivation.Deferred {
			return nil, errors.New("you are not privileged to build input-addressed derivations")
		}
		var err error
		if path, err = c.addDerivation(d); err != nil {
			return nil, err
		}
	}
	release := c.p.s.Given.Put(path, d)
	defer release()
	targets := []messages.Target{{Path: path, Outputs: []string{messages.AllOutputs}, Mode: modes[q.Mode]}}
	results, err := c.realise(targets)
	if err != nil {
		return nil, err
	}
	if err := c.cancelled(targets, results); err != nil {
		return nil, err
	}
	result, err := c.result(targets[0], results[0])
	return &result, err
}
