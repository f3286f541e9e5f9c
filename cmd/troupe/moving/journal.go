package moving

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// going is where a store is between Nix and us.
type going string

const (
	withNix  going = ""        // nothing was begun
	adopting going = "adopt"   // some steps are done
	adopted  going = "adopted" // all of them
	leaving  going = "leave"   // some steps back are done
)

// progress is what is known of a move. It is on disk after each step, so that a
// move that was interrupted goes on where it was.
type progress struct {
	Going going    `json:"going"`
	Done  []string `json:"done,omitempty"`  // names of steps
	Units []unit   `json:"units,omitempty"` // Nix's, as they were found
}

// unit is a unit of Nix's.
type unit struct {
	Name   string `json:"name"`
	Active bool   `json:"active,omitempty"` // it was started
	Masked bool   `json:"masked,omitempty"` // it was masked before we came
	// Aside is where its file was put, since it lay where the mask must be.
	Aside string `json:"aside,omitempty"`
}

// progressFile is beside our database.
func progressFile(stateDir string) string { return filepath.Join(ours(stateDir), "moving.json") }

// ours is what is ours of a state directory.
func ours(stateDir string) string { return filepath.Join(stateDir, "troupe") }

func readProgress(stateDir string) (p progress, err error) {
	name := progressFile(stateDir)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return p, fmt.Errorf("read how far the move is: '%s': %w", name, err)
	}
	return p, nil
}

// UnderwayError is a store that is on its way: nobody may work on it, since what
// he did would be lost.
type UnderwayError struct{ Command string } // that finishes the move

func (e *UnderwayError) Error() string {
	return "the store is on its way between Nix and troupe, and that was interrupted"
}

// Underway returns an [*UnderwayError] while a store is neither Nix's nor ours.
func Underway(stateDir string) error {
	p, err := readProgress(stateDir)
	switch {
	case err != nil:
		return err
	case p.Going == adopting:
		return &UnderwayError{"troupe adopt"}
	case p.Going == leaving:
		return &UnderwayError{"troupe leave"}
	}
	return nil
}

// write puts the progress on disk, whole.
func (i *Installation) write(p progress) error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err == nil {
		err = os.MkdirAll(ours(i.Layout.StateDir), 0o755)
	}
	if err == nil {
		err = replaceFile(progressFile(i.Layout.StateDir), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("note how far the move is: %w", err)
	}
	return nil
}

// replaceFile writes a file that is there as a whole or not at all, also after a
// crash.
func replaceFile(name string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(name))
}

// syncDir makes names in a directory durable.
func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
