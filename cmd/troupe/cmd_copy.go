package main

import (
	"errors"
	"fmt"
	"strings"

	"troupe/cmd/troupe/copying"
	"troupe/storage/realisation"
	"troupe/storage/signature"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

type copyCmd struct {
	From        string   `placeholder:"STORE" help:"Store to copy from; otherwise the one of this command."`
	To          string   `placeholder:"STORE" help:"Store to copy to; otherwise the one of this command."`
	Recursive   bool     `short:"r" default:"true" negatable:"" help:"Also what the paths refer to, and so on; so it is unless --no-recursive is there."`
	NoCheckSigs bool     `help:"Do not ask for signatures by trusted keys."`
	Substitute  bool     `short:"s" name:"substitute-on-destination" help:"Let the store that is copied to fetch what it can by itself."`
	KeyFiles    []string `name:"secret-key-file" placeholder:"FILE" type:"path" sep:"none" help:"Sign with this key too; may be given more than once."`
	Paths       []string `arg:"" name:"path" help:"Store paths, or outputs of derivations that are in either store: x.drv^out, x.drv^*."`
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
	paths, wanted, err := c.parse(s)
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
	finder := copying.Finder{Dir: s.location.Dir, From: from, Drvs: []copying.Source{from, to}}
	var known []realisation.Realisation
	for _, w := range wanted {
		at, are, err := finder.Find(s.ctx, w)
		if err != nil {
			return err
		}
		paths, known = append(paths, at...), append(known, are...)
	}
	return copying.Copy(s.ctx, from, to, paths, known, options)
}

// parse takes outputs of derivations apart from paths.
func (c *copyCmd) parse(s *session) (paths []storepath.Path, wanted []copying.Wanted, err error) {
	for _, arg := range c.Paths {
		name, outputs, chosen := strings.Cut(arg, "^")
		p, err := s.location.Dir.Parse(name)
		switch {
		case err != nil:
			return nil, nil, err
		case chosen && !p.IsDerivation():
			return nil, nil, fmt.Errorf("'%s' is not a derivation, so it has no outputs to choose from", name)
		case chosen:
			wanted = append(wanted, copying.Wanted{Drv: p, Outputs: strings.Split(outputs, ",")})
		default:
			paths = append(paths, p)
		}
	}
	return paths, wanted, nil
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
