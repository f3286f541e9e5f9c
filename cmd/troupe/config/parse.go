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

// assignment is one "NAME = VALUE", the words of the value joined by one blank each.
type assignment struct {
	name, value string
	// origin says where it was written, for errors: a file and a line.
	origin string
}

// parse reads the text of one file and of those that it includes, in the order in which they take effect.
// name is the file's name: in errors, and what relative includes start from. above lists the files that
// led to this one, so that a circle is an error and not a hang.
func parse(text, name string, above []string) ([]assignment, error) {
	var list []assignment
	for i, line := range strings.Split(text, "\n") {
		origin := fmt.Sprintf("%s:%d", name, i+1)
		line, _, _ = strings.Cut(line, "#")
		tokens := words(line)
		switch {
		case len(tokens) == 0:
		case tokens[0] == "include" || tokens[0] == "!include":
			included, err := parseInclude(tokens, append(slices.Clip(above), name))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", origin, err)
			}
			list = append(list, included...)
		case len(tokens) < 2 || tokens[1] != "=":
			return nil, fmt.Errorf("%s: syntax error in configuration line %q: want NAME = VALUE", origin, strings.TrimSpace(line))
		default:
			list = append(list, assignment{name: tokens[0], value: strings.Join(tokens[2:], " "), origin: origin})
		}
	}
	return list, nil
}

// parseInclude reads the file of an include line; only "!include" may name one that is not there.
// open are the files being read, the one with this line last.
func parseInclude(tokens, open []string) ([]assignment, error) {
	if len(tokens) != 2 {
		return nil, fmt.Errorf("%s: want exactly one file", tokens[0])
	}
	file := tokens[1]
	if !filepath.IsAbs(file) {
		file = filepath.Join(filepath.Dir(open[len(open)-1]), file)
	}
	file = filepath.Clean(file)
	if slices.Contains(open, file) {
		return nil, fmt.Errorf("include %q: it is being read already", file)
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && tokens[0] == "!include" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("include: %w", err)
	}
	return parse(string(text), file, open)
}
