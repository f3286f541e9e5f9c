package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"troupe/storage/storepath"
	"troupe/storage/validity"
)

type pathInfoCmd struct {
	Recursive bool     `short:"r" help:"Also what the paths refer to, and so on."`
	JSON      bool     `help:"As JSON, in the form of nix path-info --json."`
	Size      bool     `short:"s" help:"Also the size of each path's archive, in bytes."`
	Closure   bool     `short:"S" name:"closure-size" help:"Also the size of each path's closure, in bytes."`
	Paths     []string `arg:"" name:"path" help:"Store paths."`
}

func (c *pathInfoCmd) Run(s *session) error {
	return s.withKnowledge(func(known knowledge) error { return c.tell(s, known) })
}

func (c *pathInfoCmd) tell(s *session, known knowledge) error {
	paths, err := parsePaths(s, c.Paths)
	if err != nil {
		return err
	}
	if c.Recursive {
		if paths, err = collect(known.Closure(paths...)); err != nil {
			return notValid(s, err)
		}
	}
	slices.SortFunc(paths, storepath.Path.Compare)
	infos := make([]validity.Info, len(paths))
	for i, p := range paths {
		info, ok, err := known.Get(p)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("path '%s' is not valid", s.location.Dir.Join(p))
		}
		infos[i] = info
	}
	if c.JSON {
		return c.printJSON(s, known, infos)
	}
	return c.print(s, known, infos)
}

func (c *pathInfoCmd) print(s *session, known knowledge, infos []validity.Info) error {
	for _, info := range infos {
		line := s.location.Dir.Join(info.Path)
		if c.Size {
			line += fmt.Sprintf("\t%d", info.NarSize)
		}
		if c.Closure {
			size, err := closureSize(known, info.Path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf("\t%d", size)
		}
		if _, err := fmt.Fprintln(s.stdout, line); err != nil {
			return err
		}
	}
	return nil
}

func closureSize(known knowledge, p storepath.Path) (total uint64, err error) {
	for q, err := range known.Closure(p) {
		if err != nil {
			return 0, err
		}
		info, _, err := known.Get(q)
		if err != nil {
			return 0, err
		}
		total += info.NarSize
	}
	return total, nil
}

// pathInfoJSON is version 1 of Nix's form.
type pathInfoJSON struct {
	CA               *string  `json:"ca"`
	ClosureSize      *uint64  `json:"closureSize,omitempty"`
	Deriver          *string  `json:"deriver"`
	NarHash          string   `json:"narHash"`
	NarSize          uint64   `json:"narSize"`
	References       []string `json:"references"`
	RegistrationTime int64    `json:"registrationTime"`
	Signatures       []string `json:"signatures"`
	StoreDir         string   `json:"storeDir"`
	Ultimate         bool     `json:"ultimate"`
	Version          int      `json:"version"`
}

func (c *pathInfoCmd) printJSON(s *session, known knowledge, infos []validity.Info) error {
	all := map[string]pathInfoJSON{}
	for _, info := range infos {
		j := infoJSON(s.location.Dir, info)
		if c.Closure {
			size, err := closureSize(known, info.Path)
			if err != nil {
				return err
			}
			j.ClosureSize = &size
		}
		all[s.location.Dir.Join(info.Path)] = j
	}
	return json.NewEncoder(s.stdout).Encode(all)
}

func infoJSON(dir storepath.Dir, info validity.Info) pathInfoJSON {
	j := pathInfoJSON{
		NarHash: info.NarHash.SRI(), NarSize: info.NarSize, References: []string{},
		RegistrationTime: info.RegistrationTime, Signatures: []string{},
		StoreDir: string(dir), Ultimate: info.Ultimate, Version: 1,
	}
	if info.CA != "" {
		j.CA = &info.CA
	}
	if !info.Deriver.IsZero() {
		deriver := dir.Join(info.Deriver)
		j.Deriver = &deriver
	}
	for _, r := range info.References {
		j.References = append(j.References, dir.Join(r))
	}
	j.Signatures = append(j.Signatures, info.Signatures...)
	return j
}
