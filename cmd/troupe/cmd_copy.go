package main

import (
	"errors"
	"fmt"

	"troupe/cmd/troupe/copying"
	"troupe/storage/signature"
	"troupe/storage/validity"
)

type copyCmd struct {
	From        string   `placeholder:"STORE" help:"Store to copy from; otherwise the one of this command."`
	To          string   `placeholder:"STORE" help:"Store to copy to; otherwise the one of this command."`
	Recursive   bool     `short:"r" default:"true" negatable:"" help:"Also what the paths refer to, and so on; so it is unless --no-recursive is there."`
	NoCheckSigs bool     `help:"Do not ask for signatures by trusted keys."`
	Substitute  bool     `short:"s" name:"substitute-on-destination" help:"Let the store that is copied to fetch what it can by itself."`
	KeyFiles    []string `name:"secret-key-file" placeholder:"FILE" type:"path" sep:"none" help:"Sign with this key too; may be given more than once."`
	Paths       []string `arg:"" name:"path" help:"Store paths."`
}

// Help is shown below the flags.
func (c *copyCmd) Help() string {
	return `A store is named by a URL: file:///DIRECTORY, http://, https:// and s3:// for binary caches, daemon, unix:///SOCKET,
ssh-ng://HOST and ssh://HOST for stores that others hold, local?root=DIR or DIR for one that lies in a directory. Settings follow as
?NAME=VALUE&NAME=VALUE.`
}

func (c *copyCmd) Run(s *session) (err error) {
	if c.From == "" && c.To == "" {
		return hinted(&codedError{code: exitUsage, text: "copy: neither --from nor --to is there"}, "troupe copy --to STORE PATH…; troupe copy --from STORE PATH…")
	}
	paths, err := parsePaths(s, c.Paths)
	if err != nil {
		return err
	}
	options, err := c.options(s)
	if err != nil {
		return err
	}
	ends := &ends{s: s, checkSigs: !c.NoCheckSigs, paths: paths}
	defer func() { err = errors.Join(err, ends.close()) }()
	from, err := ends.open(c.From, readOnly)
	if err != nil {
		return err
	}
	to, err := ends.open(c.To, readWrite)
	if err != nil {
		return err
	}
	return copying.Copy(s.ctx, from, to, paths, options)
}

func (c *copyCmd) options(s *session) (copying.Options, error) {
	o := copying.Options{Dir: s.location.Dir, Recursive: c.Recursive, Substitute: c.Substitute,
		Tell: func(line string) { fmt.Fprintln(s.stderr, line) }}
	keys, err := signature.ReadSecretKeys(c.KeyFiles)
	if len(keys) > 0 {
		o.Sign = func(i validity.Info) ([]string, error) { return keys.Sign(s.location.Dir, i) }
	}
	return o, err
}
