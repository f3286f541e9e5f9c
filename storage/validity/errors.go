package validity

import (
	"errors"
	"fmt"
	"strings"

	"troupe/storage/storepath"
)

// ErrHeld is what a [*HeldError] is.
var ErrHeld = errors.New("held by another process")

// HeldError says who has the database that was to be opened.
type HeldError struct {
	Dir     string
	PID     int    // 0 where the holder has not said, or has gone since
	Command string // its arguments, joined by spaces
}

func (e *HeldError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("open %q: %v", e.Dir, ErrHeld)
	}
	return fmt.Sprintf("open %q: held by process %d (%s)", e.Dir, e.PID, e.Command)
}

// Is makes errors.Is(err, ErrHeld) true.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// NewerFormatError says that the database was written by a later program.
type NewerFormatError struct {
	Dir          string
	Found, Known uint64
}

func (e *NewerFormatError) Error() string {
	return fmt.Sprintf("open %q: its format is %d and this program knows formats up to %d", e.Dir, e.Found, e.Known)
}

// CorruptError names a record that cannot be understood.
type CorruptError struct {
	Key string // quoted where it is not text
	Err error
}

func (e *CorruptError) Error() string { return fmt.Sprintf("read record %s: %v", e.Key, e.Err) }
func (e *CorruptError) Unwrap() error { return e.Err }

// NotValidError names a path that must be valid for what was asked.
type NotValidError struct{ Path storepath.Path }

func (e *NotValidError) Error() string { return fmt.Sprintf("path %q is not valid", e.Path.Base()) }

// MissingReferenceError refuses a registration that would not be closed.
type MissingReferenceError struct{ Path, Reference storepath.Path }

func (e *MissingReferenceError) Error() string {
	return fmt.Sprintf("register %q: its reference %q is not valid", e.Path.Base(), e.Reference.Base())
}

// ReferrersError refuses to forget a path that others refer to.
type ReferrersError struct {
	Path      storepath.Path
	Referrers []storepath.Path // at least one
}

func (e *ReferrersError) Error() string {
	names := make([]string, len(e.Referrers))
	for i, r := range e.Referrers {
		names[i] = r.Base()
	}
	return fmt.Sprintf("forget %q: in use by %s", e.Path.Base(), strings.Join(names, ", "))
}

// ErrBroken is wrapped by every write after the database could not write its
// log: what the disk has is then unknown until it is opened anew.
var ErrBroken = errors.New("an earlier write failed; open the database anew")

// ErrDiskFull refuses a write that might fill the disk half way.
var ErrDiskFull = errors.New("disk is full")
