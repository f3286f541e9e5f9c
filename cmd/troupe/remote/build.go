package remote

import (
	"context"
	"slices"
	"strings"

	"troupe/messages"
	"troupe/messages/workerproto"
)

// Build makes targets valid, which no collector takes meanwhile, and returns how each ended, in their order. Those of
// which the daemon says nothing were cancelled.
func (c *Client) Build(ctx context.Context, targets []messages.Target) ([]messages.Result, error) {
	var paths []workerproto.DerivedPath
	var mode workerproto.BuildMode
	for _, t := range targets {
		paths = append(paths, derived(t))
		mode = max(mode, modes[t.Mode])
		if err := c.Keep(ctx, t.Path); err != nil {
			return nil, err
		}
	}
	built, err := c.Conn.Build(ctx, paths, mode)
	if err != nil {
		return nil, err
	}
	said := map[string]workerproto.BuildResult{}
	for _, k := range built {
		said[k.Path.Format(c.Dir)] = k.Result
	}
	results := make([]messages.Result, len(targets))
	for i, t := range targets {
		r, ok := said[derived(t).Format(c.Dir)]
		if !ok {
			results[i] = messages.Result{Status: messages.Cancelled, Error: "it was not tried"}
			continue
		}
		if results[i], err = c.result(ctx, t, r); err != nil {
			return nil, err
		}
	}
	return results, nil
}

var modes = map[messages.Mode]workerproto.BuildMode{
	messages.Normal: workerproto.BuildNormal, messages.Check: workerproto.BuildCheck, messages.Repair: workerproto.BuildRepair,
}

func derived(t messages.Target) workerproto.DerivedPath {
	return workerproto.DerivedPath{Path: t.Path, Outputs: t.Outputs}
}

// result is a result as goals have it.
func (c *Client) result(ctx context.Context, t messages.Target, b workerproto.BuildResult) (messages.Result, error) {
	r := messages.Result{Status: messages.MiscFailure, Error: colours.ReplaceAllString(b.Error, "")}
	if b.Status < uint8(messages.Cancelled) {
		r.Status = messages.Status(b.Status)
	}
	r.Flaw = flaw(r)
	if !r.Status.OK() || !t.IsBuild() {
		return r, nil
	}
	for _, o := range b.BuiltOutputs {
		r.Outputs = append(r.Outputs, messages.Output{Name: o.ID.Output, Path: o.OutPath})
	}
	slices.SortFunc(r.Outputs, func(a, b messages.Output) int { return strings.Compare(a.Name, b.Name) })
	if len(r.Outputs) > 0 {
		return r, nil
	}
	known, err := c.Records(ctx).Outputs(t.Path)
	for _, o := range known {
		if t.Wants(o.Name) && !o.Path.IsZero() {
			r.Outputs = append(r.Outputs, messages.Output{Name: o.Name, Path: o.Path})
		}
	}
	return r, err
}

// flaw is what went wrong, as far as a result tells: of a failed dependency it
// does not tell what failed, and hash mismatches have no status of their own.
func flaw(r messages.Result) messages.Flaw {
	switch {
	case r.Status == messages.DependencyFailed:
		return messages.BuildFailed
	case r.Status == messages.OutputRejected && strings.Contains(r.Error, "hash mismatch"):
		return messages.HashMismatch
	}
	return r.Status.Flaw()
}

// Missing tells what would have to be built, in no order, and what nobody can
// make.
func (c *Client) Missing(ctx context.Context, targets []messages.Target) (*workerproto.Missing, error) {
	var paths []workerproto.DerivedPath
	for _, t := range targets {
		paths = append(paths, derived(t))
	}
	return c.Conn.Missing(ctx, paths)
}
