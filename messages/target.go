package messages

import (
	"slices"
	"strings"

	"troupe/storage/storepath"
)

// AllOutputs, as the only wanted output, stands for every output there is.
const AllOutputs = "*"

// Mode says what is wanted of a build.
type Mode uint8

const (
	Normal Mode = iota // make the outputs valid
	Check              // build again and compare with the valid outputs
	Repair             // fetch or build again where the contents are not what is recorded; of a path as it is: whatever they are
)

func (m Mode) String() string { return [...]string{"normal", "check", "repair"}[m] }

// Target is what a client or a goal wants to be valid: some outputs of a
// derivation, or, where Outputs is empty, a store path as it is.
type Target struct {
	Path    storepath.Path
	Outputs []string `json:",omitempty"` // sorted; [AllOutputs] for every one
	Mode    Mode     `json:",omitempty"`
	// CA is the content address of a path as it is, where its derivation fixes it.
	CA string `json:",omitempty"`
}

// IsBuild reports whether outputs of a derivation are wanted, rather than a
// path as it is.
func (t Target) IsBuild() bool { return len(t.Outputs) > 0 }

// Wants reports whether an output is among those wanted.
func (t Target) Wants(output string) bool {
	return slices.Contains(t.Outputs, output) || slices.Contains(t.Outputs, AllOutputs)
}

// Key names the goal that serves this target: wants that differ only in their
// outputs share one.
func (t Target) Key() GoalKey {
	switch {
	case !t.IsBuild() && t.Mode == Repair:
		return GoalKey("path/repair/" + t.Path.Base())
	case !t.IsBuild():
		return GoalKey("path/" + t.Path.Base())
	case t.Mode == Check:
		return GoalKey(checkPrefix + t.Path.Base())
	case t.Mode == Repair:
		return GoalKey(repairPrefix + t.Path.Base())
	}
	return GoalKey("drv/" + t.Path.Base())
}

func (t Target) String() string {
	if !t.IsBuild() {
		return t.Path.Base()
	}
	return t.Path.Base() + "^" + strings.Join(t.Outputs, ",")
}

// GoalKey identifies a goal among those of the worker.
type GoalKey string

const (
	checkPrefix  = "check/"
	repairPrefix = "repair/"
)

// BuildMode is how a derivation's goal builds, by its address.
func (a Address) BuildMode() Mode {
	switch {
	case strings.HasPrefix(string(a), checkPrefix):
		return Check
	case strings.HasPrefix(string(a), repairPrefix):
		return Repair
	}
	return Normal
}

// MergeOutputs unites two lists of wanted outputs, sorted.
func MergeOutputs(a, b []string) []string {
	if slices.Contains(a, AllOutputs) || slices.Contains(b, AllOutputs) {
		return []string{AllOutputs}
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
