package config

import (
	"errors"
	"fmt"
	"math"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is a type of value: how it is read, and, where Nix lets "extra-NAME" add to it, how.
type kind[T any] struct {
	parse  func(text string) (T, error)
	extend func(old, added T) T
}

// words splits on the blanks that separate words in nix.conf. Go's strings.Fields knows more of them.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n\r", r) })
}

func sortedSet(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

var booleans = kind[bool]{parse: func(text string) (bool, error) {
	switch text {
	case "true", "yes", "1":
		return true, nil
	case "false", "no", "0":
		return false, nil
	}
	return false, errors.New("want true or false")
}}

// parseInteger reads a decimal number with an optional suffix K, M, G or T (powers of 1024, in either case).
// What does not fit below limit is an error; Nix lets the product wrap around.
func parseInteger(text string, limit uint64) (uint64, error) {
	digits, shift := text, 0
	if text != "" {
		if i := strings.IndexByte("KMGT", text[len(text)-1]&^0x20); i >= 0 {
			digits, shift = text[:len(text)-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(digits, "+"), 10, 64)
	if err != nil {
		return 0, errors.New("want a whole number, with K, M, G or T after it if need be")
	}
	if n > limit>>shift {
		return 0, fmt.Errorf("too large: the limit is %d", limit)
	}
	return n << shift, nil
}

func integers[T ~uint | ~uint32 | ~uint64](limit uint64) kind[T] {
	return kind[T]{parse: func(text string) (T, error) {
		n, err := parseInteger(text, limit)
		return T(n), err
	}}
}

var seconds = kind[time.Duration]{parse: func(text string) (time.Duration, error) {
	n, err := parseInteger(text, uint64(math.MaxInt64/time.Second))
	return time.Duration(n) * time.Second, err
}}

var plainText = kind[string]{parse: func(text string) (string, error) { return text, nil }}

var paths = kind[string]{parse: func(text string) (string, error) {
	if text == "" {
		return "", errors.New("want an absolute path")
	}
	return optionalPaths.parse(text)
}}

var optionalPaths = kind[string]{parse: func(text string) (string, error) {
	switch {
	case text == "":
		return "", nil
	case !path.IsAbs(text):
		return "", errors.New("want an absolute path")
	}
	return path.Clean(text), nil
}}

var lists = kind[[]string]{
	parse:  func(text string) ([]string, error) { return words(text), nil },
	extend: func(old, added []string) []string { return append(slices.Clip(old), added...) },
}

var sets = kind[[]string]{
	parse:  func(text string) ([]string, error) { return sortedSet(words(text)), nil },
	extend: func(old, added []string) []string { return sortedSet(append(slices.Clip(old), added...)) },
}

// dictionaries are words NAME=VALUE. As in Nix, a word without "=" is passed over and the first of two
// with the same name counts.
var dictionaries = kind[map[string]string]{
	parse: func(text string) (map[string]string, error) {
		entries := map[string]string{}
		for _, word := range words(text) {
			name, value, ok := strings.Cut(word, "=")
			if _, seen := entries[name]; ok && !seen {
				entries[name] = value
			}
		}
		return entries, nil
	},
	extend: func(old, added map[string]string) map[string]string {
		both := map[string]string{}
		for _, entries := range []map[string]string{added, old} {
			for name, value := range entries {
				both[name] = value
			}
		}
		return both
	},
}

var sandboxModes = kind[SandboxMode]{parse: func(text string) (SandboxMode, error) {
	switch mode := SandboxMode(text); mode {
	case SandboxOn, SandboxOff, SandboxRelaxed:
		return mode, nil
	}
	return "", errors.New("want true, false or relaxed")
}}

var cgroupModes = kind[CgroupMode]{parse: func(text string) (CgroupMode, error) {
	needed, err := booleans.parse(text)
	if needed {
		return CgroupsNeeded, err
	}
	return CgroupsOff, err
}}

// sandboxPaths are words INSIDE, INSIDE=OUTSIDE, either with a "?" at the end. Of two with the same
// INSIDE the one that sorts last counts, because Nix keeps the words as a set; with extra-, the old one.
var sandboxPaths = kind[[]SandboxPath]{
	parse: func(text string) ([]SandboxPath, error) {
		var list []SandboxPath
		for _, word := range sortedSet(words(text)) {
			bare, optional := strings.CutSuffix(word, "?")
			inside, outside, ok := strings.Cut(bare, "=")
			if !ok {
				outside = inside
			}
			if !path.IsAbs(inside) || !path.IsAbs(outside) {
				return nil, fmt.Errorf("%q: want absolute paths", word)
			}
			list = overlay(list, SandboxPath{Inside: inside, Outside: outside, Optional: optional})
		}
		return list, nil
	},
	extend: func(old, added []SandboxPath) []SandboxPath {
		for _, entry := range old {
			added = overlay(added, entry)
		}
		return added
	},
}

// overlay puts entry in its place in list, instead of an older one with the same Inside.
func overlay(list []SandboxPath, entry SandboxPath) []SandboxPath {
	list = slices.DeleteFunc(list, func(p SandboxPath) bool { return p.Inside == entry.Inside })
	at, _ := slices.BinarySearchFunc(list, entry, func(a, b SandboxPath) int { return strings.Compare(a.Inside, b.Inside) })
	return slices.Insert(list, at, entry)
}

// jobs is a plain number, or "auto" for the CPUs of this machine.
var jobs = kind[uint]{parse: func(text string) (uint, error) {
	if text == "auto" {
		return uint(runtime.NumCPU()), nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, errors.New("want a whole number or auto")
	}
	return uint(n), nil
}}
