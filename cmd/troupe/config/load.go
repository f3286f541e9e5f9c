package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Override is one "--option NAME VALUE" of the command line.
type Override struct{ Name, Value string }

// Sources says where settings come from.
type Sources struct {
	// Lookup reads the environment; nil is os.LookupEnv.
	Lookup func(name string) (string, bool)
	// Host fills in what no source says.
	Host Host
	// Overrides come last, in their order.
	Overrides []Override
}

// Loaded is the outcome of Load.
type Loaded struct {
	Settings Settings
	// ConfDir is the directory of nix.conf.
	ConfDir string
	// Warnings are whole lines without the word "warning", each said once, in a fixed order.
	Warnings []string
}

// Load reads, each overriding the ones before: nix.conf in NIX_CONF_DIR (or /etc/nix); the user's files, which
// are those of NIX_USER_CONF_FILES, or nix/nix.conf below each of XDG_CONFIG_DIRS and then XDG_CONFIG_HOME;
// NIX_CONFIG; the overrides. A file that is not there is passed over, one that cannot be read is an error.
// Errors name the file and the line.
func Load(from Sources) (Loaded, error) {
	if from.Lookup == nil {
		from.Lookup = os.LookupEnv
	}
	confDir := filepath.Clean(nonEmpty(from.Lookup, "NIX_CONF_DIR", "/etc/nix"))
	list, err := gather(from, confDir)
	if err != nil {
		return Loaded{}, err
	}
	result := Loaded{Settings: Defaults(from.Host, confDir), ConfDir: confDir}
	unknown := map[string]bool{}
	for _, a := range list {
		switch err := result.Settings.Set(a.name, a.value); {
		case errors.Is(err, ErrUnknown):
			unknown[a.name] = true
		case err != nil:
			return Loaded{}, fmt.Errorf("%s: %w", a.origin, err)
		}
	}
	result.Warnings = warnings(unknown, result.Settings.Unmet())
	return result, nil
}

func warnings(unknown map[string]bool, unmet []string) []string {
	var lines []string
	for name := range unknown {
		lines = append(lines, fmt.Sprintf("unknown setting '%s'", name))
	}
	slices.Sort(lines)
	for _, name := range unmet {
		lines = append(lines, fmt.Sprintf("setting '%s' has no effect: troupe does not honour it yet", name))
	}
	return lines
}

// gather reads all sources into one list, the last of which counts.
func gather(from Sources, confDir string) ([]assignment, error) {
	var list []assignment
	for _, file := range append([]string{filepath.Join(confDir, "nix.conf")}, userFiles(from.Lookup)...) {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read settings: %w", err)
		}
		added, err := parse(string(text), file, nil)
		if err != nil {
			return nil, err
		}
		list = append(list, added...)
	}
	if text, ok := from.Lookup("NIX_CONFIG"); ok {
		added, err := parse(text, "NIX_CONFIG", nil)
		if err != nil {
			return nil, err
		}
		list = append(list, added...)
	}
	for _, o := range from.Overrides {
		list = append(list, assignment{name: o.Name, value: o.Value, origin: "--option"})
	}
	return list, nil
}

// userFiles lists the user's files, the weightiest last; the variables list it first.
func userFiles(lookup func(string) (string, bool)) []string {
	var files []string
	if list, ok := lookup("NIX_USER_CONF_FILES"); ok {
		files = splitPath(list)
	} else {
		for _, dir := range configDirs(lookup) {
			files = append(files, filepath.Join(dir, "nix.conf"))
		}
	}
	slices.Reverse(files)
	return files
}

// configDirs follows the XDG base directory specification; NIX_CONFIG_HOME goes before XDG_CONFIG_HOME and
// is the directory itself. Without a home directory there is no user's file.
func configDirs(lookup func(string) (string, bool)) []string {
	var dirs []string
	if dir, ok := lookup("NIX_CONFIG_HOME"); ok {
		dirs = append(dirs, dir)
	} else if dir, ok := lookup("XDG_CONFIG_HOME"); ok {
		dirs = append(dirs, filepath.Join(dir, "nix"))
	} else if home := nonEmpty(lookup, "HOME", ""); home != "" {
		dirs = append(dirs, filepath.Join(home, ".config", "nix"))
	}
	for _, dir := range splitPath(nonEmpty(lookup, "XDG_CONFIG_DIRS", "/etc/xdg")) {
		dirs = append(dirs, filepath.Join(dir, "nix"))
	}
	return dirs
}

func splitPath(list string) []string {
	return slices.DeleteFunc(strings.Split(list, ":"), func(s string) bool { return s == "" })
}

func nonEmpty(lookup func(string) (string, bool), name, otherwise string) string {
	if value, ok := lookup(name); ok && value != "" {
		return value
	}
	return otherwise
}
