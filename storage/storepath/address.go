package storepath

import (
	"fmt"
	"strings"

	"troupe/storage/nixhash"
)

// ContentAddress says of what contents a path was made; the zero value is none.
type ContentAddress struct {
	Method Method
	Hash   nixhash.Hash
}

// String is how Nix writes it, for instance "fixed:r:sha256:" and base 32.
func (a ContentAddress) String() string {
	switch {
	case a.Hash.IsZero():
		return ""
	case a.Method == Text:
		return a.Method.Prefix() + a.Hash.String()
	}
	return "fixed:" + a.Method.Prefix() + a.Hash.String()
}

// ParseContentAddress reads what [ContentAddress.String] writes, with the hash
// in any base.
func ParseContentAddress(s string) (ContentAddress, error) {
	m, rest, err := cutMethod(s)
	if err == nil {
		name, digest, _ := strings.Cut(rest, ":")
		var algorithm nixhash.Algorithm
		if algorithm, err = nixhash.ParseAlgorithm(name); err == nil {
			var h nixhash.Hash
			if h, err = nixhash.Parse(digest, algorithm); err == nil {
				return ContentAddress{m, h}, nil
			}
		}
	}
	return ContentAddress{}, fmt.Errorf("parse content address '%s': %w", s, err)
}

// ParseMethod reads a content address without its hash, as clients say how
// something is to be added: "text:sha256", "fixed:sha1", "fixed:r:sha256".
func ParseMethod(s string) (Method, nixhash.Algorithm, error) {
	m, rest, err := cutMethod(s)
	var algorithm nixhash.Algorithm
	if err == nil {
		algorithm, err = nixhash.ParseAlgorithm(rest)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("parse content address method '%s': %w", s, err)
	}
	return m, algorithm, nil
}

func cutMethod(s string) (Method, string, error) {
	if rest, ok := strings.CutPrefix(s, Text.Prefix()); ok {
		return Text, rest, nil
	}
	rest, ok := strings.CutPrefix(s, "fixed:")
	if !ok {
		return 0, "", fmt.Errorf("it begins with neither 'text:' nor 'fixed:'")
	}
	for _, m := range []Method{NAR, Git} {
		if rest, ok := strings.CutPrefix(rest, m.Prefix()); ok {
			return m, rest, nil
		}
	}
	return Flat, rest, nil
}
