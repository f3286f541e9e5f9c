package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"troupe/actors/journal"
	"troupe/storage/storepath"
)

type journalCmd struct {
	Actor string `help:"Only steps of actors whose address matches, for instance 'drv/*' or '*hello*'." placeholder:"PATTERN"`
	Drv   string `help:"Only what has to do with this derivation or path." placeholder:"PATH"`
	Since string `help:"Only from here on: a duration after the start, as 1m30s, or a time of day, as 15:04:05." placeholder:"TIME"`
	JSON  bool   `help:"Print lines of JSON, which this command and replay read as well."`
	Runs  bool   `help:"List the runs that the flight recorder has."`
	File  string `arg:"" optional:"" help:"A journal; - is stdin. Without one, the newest run that the flight recorder has; a run's name chooses another."`
}

func (c *journalCmd) Run(s *session) (err error) {
	if c.Runs {
		return c.list(s)
	}
	j, err := openJournal(s, c.File)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	show, err := c.filter(s, j.Header)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(s.stdout)
	err = errors.Join(c.print(out, j, show), out.Flush())
	var cut *journal.CutError
	if errors.As(err, &cut) { // as in the journal of any run that was killed
		fmt.Fprintf(s.stderr, "note: %v\n", cut)
		return nil
	}
	return err
}

func (c *journalCmd) list(s *session) error {
	runs, err := journal.Runs(flightDir(s.location))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, r := range runs {
		if _, err := fmt.Fprintln(s.stdout, r.Name); err != nil {
			return err
		}
	}
	return nil
}

// openJournal opens a file, or a run of the flight recorder.
func openJournal(s *session, name string) (*journal.Reader, error) {
	if name == "-" {
		return journal.NewReader(s.stdin)
	}
	if name != "" && exists(name) {
		j, err := journal.Open(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return j, nil
	}
	runs, err := journal.Runs(flightDir(s.location))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for i := len(runs) - 1; i >= 0; i-- {
		if name == "" || runs[i].Name == name {
			j, err := journal.Open(runs[i].Files...)
			if err != nil {
				return nil, fmt.Errorf("run %s: %w", runs[i].Name, err)
			}
			return j, nil
		}
	}
	if name == "" {
		return nil, fmt.Errorf("the flight recorder has nothing in '%s'", flightDir(s.location))
	}
	return nil, hinted(fmt.Errorf("there is neither a file nor a recorded run '%s'", name), "troupe journal --runs lists the runs")
}

// filter makes of the flags what decides which records are shown.
func (c *journalCmd) filter(s *session, h journal.Header) (func(journal.Record) bool, error) {
	if _, err := path.Match(c.Actor, ""); err != nil {
		return nil, &codedError{code: exitUsage, text: fmt.Sprintf("--actor '%s': %v", c.Actor, err)}
	}
	since, err := parseSince(c.Since, h.Started)
	if err != nil {
		return nil, err
	}
	var drv storepath.Path
	if c.Drv != "" {
		if drv, err = s.location.Dir.Parse(c.Drv); err != nil {
			return nil, err
		}
	}
	return func(r journal.Record) bool {
		return r.At >= since && (c.Actor == "" || matches(c.Actor, string(r.Actor))) && (drv.IsZero() || r.Concerns(drv))
	}, nil
}

// matches is path.Match in which a star also stands for slashes.
func matches(pattern, name string) bool {
	swap := func(s string) string {
		b := []byte(s)
		for i := range b {
			if b[i] == '/' {
				b[i] = ':'
			}
		}
		return string(b)
	}
	ok, err := path.Match(swap(pattern), swap(name))
	return err == nil && ok
}

func parseSince(text string, started time.Time) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.Sub(started), nil
	}
	t, err := time.ParseInLocation(time.TimeOnly, text, time.Local)
	if err != nil {
		return 0, &codedError{code: exitUsage, text: fmt.Sprintf("--since '%s' is neither a duration, a time of day nor a time as RFC 3339 has it", text)}
	}
	day := started.Local()
	at := time.Date(day.Year(), day.Month(), day.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.Local)
	return at.Sub(started), nil
}

func (c *journalCmd) print(out io.Writer, j *journal.Reader, show func(journal.Record) bool) error {
	if c.JSON {
		if err := journal.WriteHeader(out, j.Header); err != nil {
			return err
		}
	}
	for {
		r, err := j.Next()
		var lost *journal.LostError
		switch {
		case err == io.EOF:
			return nil
		case errors.As(err, &lost):
			if _, err := fmt.Fprintf(out, "# %v\n", lost); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		if !show(r) {
			continue
		}
		if err := c.printOne(out, r); err != nil {
			return err
		}
	}
}

func (c *journalCmd) printOne(out io.Writer, r journal.Record) error {
	text := r.String()
	if c.JSON {
		b, err := r.JSON()
		if err != nil {
			return err
		}
		text = string(b)
	}
	_, err := fmt.Fprintln(out, text)
	return err
}
