// Package buildmachines reads what the setting "builders" says: which other
// machines build, and what. It is unaware of how they are reached.
package buildmachines

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Machine is a line of the setting, or of a file that it names.
type Machine struct {
	URL       string // of its store; a bare name is "ssh://NAME"
	Systems   []string
	SSHKey    string // a file; "" for what ssh uses by itself
	Jobs      int    // how many builds at a time
	Speed     float64
	Supported []string // features
	Mandatory []string // features that a derivation must require to be built there
	HostKey   string   // base64 of a line as known_hosts has it, without the name; ""
}

// Fits reports whether it can build what needs a system and features.
func (m Machine) Fits(system string, features []string) bool {
	if system != "builtin" && !slices.Contains(m.Systems, system) || m.Jobs == 0 {
		return false
	}
	for _, f := range features {
		if !slices.Contains(m.Supported, f) && !slices.Contains(m.Mandatory, f) {
			return false
		}
	}
	return !slices.ContainsFunc(m.Mandatory, func(f string) bool { return !slices.Contains(features, f) })
}

// Unfit says that none of some machines fits, as Nix says it.
func Unfit(all []Machine, drv, system string, features []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Failed to find a machine for remote build!\nderivation: %s\nrequired (system, features): (%s, [%s])",
		drv, system, strings.Join(features, ", "))
	fmt.Fprintf(&b, "\n%d available machines:\n(systems, maxjobs, supportedFeatures, mandatoryFeatures)", len(all))
	for _, m := range all {
		fmt.Fprintf(&b, "\n([%s], %d, [%s], [%s])", strings.Join(m.Systems, ", "), m.Jobs, strings.Join(m.Supported, ", "), strings.Join(m.Mandatory, ", "))
	}
	return b.String()
}

// parseLine reads one machine: columns that blanks part, of which the last may be
// left out, and "-" is as if it were. system is of those that name none.
func parseLine(line, system string) (Machine, error) {
	columns := strings.Fields(line)
	column := func(i int) string {
		if i >= len(columns) || columns[i] == "-" {
			return ""
		}
		return columns[i]
	}
	m := Machine{URL: storeURL(column(0)), Systems: []string{system}, SSHKey: column(2), Jobs: 1, Speed: 1,
		Supported: words(column(5)), Mandatory: words(column(6)), HostKey: column(7)}
	if column(0) == "" {
		return m, fmt.Errorf("bad machine specification: store URL was not found at the first column of a row: '%s'", line)
	}
	if list := words(column(1)); len(list) > 0 {
		m.Systems = list
	}
	if n := column(3); n != "" {
		jobs, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			return m, fmt.Errorf("bad machine specification: failed to convert column #3 in a row: '%s' to 'unsigned int'", line)
		}
		m.Jobs = int(jobs)
	}
	if n := column(4); n != "" {
		speed, err := strconv.ParseFloat(n, 32)
		if err != nil || speed != speed {
			return m, fmt.Errorf("bad machine specification: failed to convert column #4 in a row: '%s' to 'float'", line)
		}
		if speed < 0 {
			return m, fmt.Errorf("bad machine specification: speed factor must be >= 0 in a row: '%s'", line)
		}
		if speed > 0 { // 0 is 1, as in Nix
			m.Speed = speed
		}
	}
	if _, err := base64.StdEncoding.DecodeString(m.HostKey); err != nil {
		return m, fmt.Errorf("bad machine specification: column #7 is not base64 in a row: '%s'", line)
	}
	return m, nil
}

// words are sorted and without repetitions.
func words(list string) []string {
	all := strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
	slices.Sort(all)
	return slices.Compact(all)
}

// storeURL is the store of a machine, of which earlier versions of Nix had only
// the name.
func storeURL(s string) string {
	for _, special := range []string{"auto", "daemon", "local"} {
		if s == special || strings.HasPrefix(s, special+"?") {
			return s
		}
	}
	if s == "" || strings.Contains(s, "/") || strings.HasPrefix(s, "?") {
		return s
	}
	return "ssh://" + s
}
