package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"troupe/cmd/troupe/remote"
	"troupe/storage/derivation"
	"troupe/storage/nar"
	"troupe/storage/registration"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

type storeCmd struct {
	DumpDB   dumpDBCmd   `cmd:"" name:"dump-db" help:"Write what is valid, as nix-store --dump-db does."`
	LoadDB   loadDBCmd   `cmd:"" name:"load-db" help:"Read that from stdin; the paths must be there."`
	Add      addCmd      `cmd:"" help:"Copy files and directories into the store."`
	Dump     dumpCmd     `cmd:"" help:"Write the archive of a file or directory to stdout."`
	Export   exportCmd   `cmd:"" help:"Write paths to stdout for another store, as nix-store --export does."`
	Import   importCmd   `cmd:"" help:"Add what such an export on stdin holds."`
	Optimise optimiseCmd `cmd:"" help:"Make files with the same contents one file each, by hard links."`
	Restore  restoreCmd  `cmd:"" help:"Make what an archive on stdin holds."`
}

type dumpDBCmd struct{}

func (*dumpDBCmd) Run(s *session) error {
	return s.withKnowledge(func(known knowledge) error {
		out := bufio.NewWriter(s.stdout)
		w := registration.NewWriter(out, s.location.Dir, registration.Dump)
		for info, err := range known.All() {
			if err != nil {
				return err
			}
			if err := w.Write(info); err != nil {
				return err
			}
		}
		return errors.Join(w.Flush(), out.Flush())
	})
}

type loadDBCmd struct{}

func (*loadDBCmd) Run(s *session) error {
	return s.either(takingOver, func(st *openedStore) error { return loadDB(s, st) },
		func(*remote.Client) error { return notThere("load what is valid") })
}

func loadDB(s *session, st *openedStore) error {
	r := registration.NewReader(s.stdin, s.location.Dir, registration.Dump)
	var paths []storepath.Path
	reg := []validity.Registration{{}}
	for {
		info, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if _, err := os.Lstat(s.location.RealPath(info.Path)); err != nil {
			return fmt.Errorf("load '%s': %w", s.location.Dir.Join(info.Path), err)
		}
		reg[0].Paths = append(reg[0].Paths, info)
		paths = append(paths, info.Path)
		if info.Path.IsDerivation() {
			reg = append(reg, outputsOf(s, info.Path))
		}
	}
	if err := st.db.RegisterProvisional(reg...); err != nil {
		return err
	}
	if err := s.location.Flush(s.location.RealStoreDir()); err != nil {
		return err
	}
	return st.db.Commit(s.ctx, paths...)
}

// outputsOf tells which outputs a derivation has; one that cannot be read is
// valid all the same, and its outputs are not known.
func outputsOf(s *session, p storepath.Path) validity.Registration {
	reg := validity.Registration{Drv: p, Outputs: map[string]storepath.Path{}}
	data, err := os.ReadFile(s.location.RealPath(p))
	if err != nil {
		return reg
	}
	d, err := derivation.Parse(s.location.Dir, strings.TrimSuffix(p.Name(), ".drv"), data)
	if err != nil {
		return reg
	}
	for _, o := range d.Outputs {
		if !o.Path.IsZero() {
			reg.Outputs[o.Name] = o.Path
		}
	}
	return reg
}

type addCmd struct {
	Name  string   `short:"n" help:"Name in the store; the file's own otherwise."`
	Files []string `arg:"" name:"file" help:"Files and directories." type:"path"`
}

func (c *addCmd) Run(s *session) error {
	if c.Name != "" && len(c.Files) > 1 {
		return &codedError{code: exitUsage, text: "--name names one file, and there are several"}
	}
	return s.either(readWrite, func(st *openedStore) error { return c.add(s, st.adder()) },
		func(client *remote.Client) error { return c.add(s, client.Adder(s.ctx, s.location)) })
}

// treeAdder adds files to a store, whoever has it.
type treeAdder interface {
	Tree(ctx context.Context, file, name string) (storepath.Path, error)
	Commit(context.Context, ...storepath.Path) error
}

func (c *addCmd) add(s *session, adder treeAdder) error {
	var paths []storepath.Path
	for _, f := range c.Files {
		name := c.Name
		if name == "" {
			name = filepath.Base(f)
		}
		p, err := adder.Tree(s.ctx, f, name)
		if err != nil {
			return err
		}
		paths = append(paths, p)
	}
	if err := adder.Commit(s.ctx, paths...); err != nil {
		return err
	}
	for _, p := range paths {
		fmt.Fprintln(s.stdout, s.location.Dir.Join(p))
	}
	return nil
}

type dumpCmd struct {
	Path string `arg:"" help:"A file or directory, also one of the store."`
}

func (c *dumpCmd) Run(s *session) error {
	path := c.Path
	if p, rest, err := s.location.Dir.ParseInside(path); err == nil {
		path = s.location.RealPath(p) + rest
	}
	return nar.Dump(s.stdout, path)
}

type restoreCmd struct {
	Path string `arg:"" help:"Where to make it; nothing may be there." type:"path"`
}

func (c *restoreCmd) Run(s *session) error {
	return nar.Restore(bufio.NewReaderSize(s.stdin, 1<<17), c.Path)
}
