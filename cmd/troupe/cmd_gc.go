package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"troupe/actors/ports/remotestore"
	"troupe/cmd/troupe/remote"
	"troupe/messages/workerproto"
	"troupe/storage/gc"
	"troupe/storage/localstore"
)

type gcCmd struct {
	PrintRoots bool     `xor:"what" help:"Only print the roots, and what each one keeps."`
	PrintLive  bool     `xor:"what" help:"Only print the paths that are needed."`
	PrintDead  bool     `xor:"what" help:"Only print what would be deleted."`
	Delete     []string `xor:"what" sep:"none" placeholder:"PATH" help:"Delete only these paths, if nothing needs them."`
	MaxFreed   string   `placeholder:"BYTES" help:"Stop once more is freed; K, M, G and T are powers of 1024."`
	DryRun     bool     `short:"n" help:"Delete nothing; print what would be."`
	JSON       bool     `help:"As JSON."`
	Paths      []string `arg:"" optional:"" name:"path" help:"More paths for --delete."`
}

func (c *gcCmd) Run(s *session) error {
	o, err := c.options(s)
	if err != nil {
		return err
	}
	// To find out that there is no store makes none.
	how := readOnly
	if o.Action >= gc.DeleteDead && exists(databaseDir(s.location)) {
		how = readWrite
	}
	return s.either(how, func(st *openedStore) error { return c.here(s, st, o) },
		func(client *remote.Client) error { return c.there(s, client, o) })
}

func (c *gcCmd) here(s *session, st *openedStore, o gc.Options) (err error) {
	roots, err := localstore.OpenTempRoots(s.location)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, roots.Close()) }()
	collector := &gc.Collector{Layout: s.location, DB: st.db, Roots: roots}
	if c.PrintRoots {
		roots, err := collector.FindRoots(s.ctx, o.Talk)
		if err != nil {
			return err
		}
		return c.tellRoots(s, roots)
	}
	result, err := collector.Collect(s.ctx, o)
	if errors.Is(err, context.Canceled) && s.ctx.Err() != nil {
		err = s.ctx.Err()
	}
	return errors.Join(err, c.tell(s, o, result))
}

// there lets the daemon collect. What it keeps beside what is needed are its own
// settings.
func (c *gcCmd) there(s *session, client *remote.Client, o gc.Options) error {
	if c.PrintRoots {
		found, err := remotestore.Tell[*workerproto.Roots](s.ctx, client.Conn, &workerproto.FindRoots{})
		if err != nil {
			return err
		}
		roots := make([]gc.Root, len(found.Roots))
		for i, r := range found.Roots {
			roots[i] = gc.Root{Link: r.Link, Path: r.Path}
		}
		return c.tellRoots(s, roots)
	}
	q := &workerproto.CollectGarbage{Action: workerproto.GCAction(o.Action), Paths: o.Paths, MaxFreed: o.MaxFreed}
	got, err := remotestore.Tell[*workerproto.GCResult](s.ctx, client.Conn, q)
	if err != nil {
		return err
	}
	return c.tell(s, o, gc.Result{Paths: got.Paths, Freed: got.BytesFreed})
}

func (c *gcCmd) options(s *session) (gc.Options, error) {
	o := gc.Options{Action: gc.DeleteDead, MaxFreed: gc.Unlimited,
		KeepDerivations: s.settings.KeepDerivations, KeepOutputs: s.settings.KeepOutputs,
		Talk: func(line string) { fmt.Fprintln(s.stderr, line) }}
	if len(c.Paths) > 0 && len(c.Delete) == 0 {
		return o, hinted(&codedError{code: exitUsage, text: "paths are for --delete, which is not given"},
			"troupe gc --delete "+strings.Join(c.Paths, " ")+" deletes these paths")
	}
	switch {
	case len(c.Delete) > 0 && c.DryRun:
		return o, &codedError{code: exitUsage, text: "--delete and --dry-run do not go together"}
	case len(c.Delete) > 0:
		o.Action = gc.DeleteSpecific
	case c.PrintLive:
		o.Action = gc.ReturnLive
	case c.PrintDead, c.DryRun, c.PrintRoots:
		o.Action = gc.ReturnDead
	}
	var err error
	if c.MaxFreed != "" {
		if o.MaxFreed, err = parseBytes(c.MaxFreed); err != nil {
			return o, &codedError{code: exitUsage, text: err.Error()}
		}
	}
	o.Paths, err = parsePaths(s, append(c.Delete, c.Paths...))
	return o, err
}

// parseBytes reads a number with K, M, G or T.
func parseBytes(text string) (uint64, error) {
	digits := strings.TrimRight(text, "KMGT")
	shift, known := map[string]int{"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[text[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || !known || n<<shift>>shift != n {
		return 0, fmt.Errorf("'%s' is not a number of bytes", text)
	}
	return n << shift, nil
}

func (c *gcCmd) tellRoots(s *session, roots []gc.Root) error {
	if c.JSON {
		links := map[string][]string{}
		for _, r := range roots {
			p := s.location.Dir.Join(r.Path)
			links[p] = append(links[p], r.Link)
		}
		return json.NewEncoder(s.stdout).Encode(links)
	}
	for _, r := range roots {
		if _, err := fmt.Fprintf(s.stdout, "%s -> %s\n", r.Link, s.location.Dir.Join(r.Path)); err != nil {
			return err
		}
	}
	return nil
}

// gcJSON is what a collection did, or found.
type gcJSON struct {
	Paths      []string `json:"paths"`
	BytesFreed uint64   `json:"bytesFreed"`
}

func (c *gcCmd) tell(s *session, o gc.Options, result gc.Result) error {
	if c.JSON {
		paths := append([]string{}, result.Paths...)
		return json.NewEncoder(s.stdout).Encode(gcJSON{paths, result.Freed})
	}
	if o.Action >= gc.DeleteDead {
		_, err := fmt.Fprintf(s.stdout, "%d store paths deleted, %s freed\n", len(result.Paths), gc.ShowBytes(result.Freed))
		return err
	}
	for _, p := range result.Paths {
		if _, err := fmt.Fprintln(s.stdout, p); err != nil {
			return err
		}
	}
	return nil
}
