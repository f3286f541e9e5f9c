package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A file of the flight recorder is named by the start of its run, its process
// and its number in the run, so that names sort by age.

const suffix = ".journal"

func fileName(h Header) string {
	return fmt.Sprintf("%s-%d-%06d%s", h.Started.UTC().Format("20060102T150405.000000"), h.PID, h.Segment, suffix)
}

// Run is what the flight recorder has of one process.
type Run struct {
	Name  string   // start and process id
	Files []string // in order; the first ones may be gone
}

// Runs lists what a flight recorder's directory has, oldest first.
func Runs(dir string) ([]Run, error) {
	files, err := recorded(dir)
	var runs []Run
	for _, f := range files {
		name, _, _ := cutLast(strings.TrimSuffix(filepath.Base(f.path), suffix), "-")
		if n := len(runs); n == 0 || runs[n-1].Name != name {
			runs = append(runs, Run{Name: name})
		}
		last := &runs[len(runs)-1]
		last.Files = append(last.Files, f.path)
	}
	return runs, err
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

type recordedFile struct {
	path string
	size int64
}

// recorded lists the files in a directory, oldest first.
func recorded(dir string) (files []recordedFile, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // another process has made room
		}
		if err != nil {
			return nil, err
		}
		files = append(files, recordedFile{filepath.Join(dir, e.Name()), info.Size()})
	}
	slices.SortFunc(files, func(a, b recordedFile) int { return strings.Compare(a.path, b.path) })
	return files, err
}

// prune removes the oldest files until the others have at most size bytes.
func prune(dir string, size int64) error {
	files, err := recorded(dir)
	if err != nil {
		return err
	}
	var total int64
	for _, f := range slices.Backward(files) {
		if total += f.size; total <= size {
			continue
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Started is when a run began, by its name.
func (r Run) Started() (time.Time, error) {
	text, _, _ := strings.Cut(r.Name, "-")
	return time.Parse("20060102T150405.000000", text)
}
