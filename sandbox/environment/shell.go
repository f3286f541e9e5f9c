package environment

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var shellName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// shellText writes attributes as declarations that bash can source. What bash has no form for is left out:
// names that are not variables, fractions, lists and objects with anything but simple values in them.
func shellText(attributes map[string]any) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if !shellName.MatchString(name) {
			continue
		}
		switch value := attributes[name].(type) {
		case []any:
			if words, ok := shellList(value); ok {
				fmt.Fprintf(&b, "declare -a %s=(%s)\n", name, words)
			}
		case map[string]any:
			if words, ok := shellObject(value); ok {
				fmt.Fprintf(&b, "declare -A %s=(%s)\n", name, words)
			}
		default:
			if word, ok := shellWord(value); ok {
				fmt.Fprintf(&b, "declare %s=%s\n", name, word)
			}
		}
	}
	return b.String()
}

func shellList(list []any) (words string, ok bool) {
	var b strings.Builder
	for _, element := range list {
		word, ok := shellWord(element)
		if !ok {
			return "", false
		}
		b.WriteString(word + " ")
	}
	return b.String(), true
}

func shellObject(object map[string]any) (words string, ok bool) {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(object)) {
		word, ok := shellWord(object[key])
		if !ok {
			return "", false
		}
		fmt.Fprintf(&b, "[%s]=%s ", shellQuote(key), word)
	}
	return b.String(), true
}

// shellWord writes a simple value: false is empty, true is 1, null is a quoted nothing.
func shellWord(value any) (word string, ok bool) {
	switch v := value.(type) {
	case nil:
		return "''", true
	case bool:
		if v {
			return "1", true
		}
		return "", true
	case string:
		return shellQuote(v), true
	case json.Number:
		return shellNumber(parseNumber(v))
	}
	return "", false
}

// shellNumber writes a number that is whole, of which Nix keeps 32 bits: of a whole number the lowest, of a
// float the integer part, or the smallest number of all where that does not fit. Whether a number is whole Nix
// asks of it as a 32-bit float, which makes a whole number of every large one.
func shellNumber(n number) (word string, ok bool) {
	rounded := float64(float32(n.float))
	if math.Ceil(rounded) != rounded {
		return "", false
	}
	whole := int32(math.MinInt32)
	switch {
	case n.whole:
		whole = int32(uint32(n.bits))
	case n.float > math.MinInt32 && n.float < math.MaxInt32+1:
		whole = int32(n.float)
	}
	return strconv.Itoa(int(whole)), true
}

func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
