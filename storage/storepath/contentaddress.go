package storepath

import (
	"fmt"
	"strings"

	"troupe/storage/nixhash"
)

const (
	textMethod  = "text:"
	fixedMethod = "fixed:"
)

// ContentAddress says that an object's contents have a hash. The zero value is
// none.
type ContentAddress struct {
	Method Method
	Hash   nixhash.Hash
}

// String is how Nix writes it, for instance "fixed:r:sha256:" and base 32; ""
// for none.
func (c ContentAddress) String() string {
	if c.Hash.IsZero() {
		return ""
	}
	return c.Method.addressPrefix() + c.Hash.String()
}

// ParseContentAddress reads "METHOD:ALGORITHM:DIGEST", METHOD being "text",
// "fixed", "fixed:r" or "fixed:git".
func ParseContentAddress(s string) (ContentAddress, error) {
	m, rest, err := cutMethod(s)
	if err != nil {
		return ContentAddress{}, err
	}
	if !strings.Contains(rest, ":") {
		return ContentAddress{}, fmt.Errorf("content address '%s' has no hash", s)
	}
	h, err := nixhash.Parse(rest, 0)
	if err != nil {
		return ContentAddress{}, fmt.Errorf("content address '%s': %w", s, err)
	}
	return ContentAddress{m, h}, m.checkAlgorithm(h.Algorithm())
}

// FormatMethod is how Nix writes the way to a content address, for instance
// "fixed:r:sha256".
func FormatMethod(m Method, a nixhash.Algorithm) string { return m.addressPrefix() + a.String() }

// ParseMethod reads what [FormatMethod] writes.
func ParseMethod(s string) (Method, nixhash.Algorithm, error) {
	m, rest, err := cutMethod(s)
	if err != nil {
		return 0, 0, err
	}
	a, err := nixhash.ParseAlgorithm(rest)
	if err != nil {
		return 0, 0, fmt.Errorf("content address method '%s': %w", s, err)
	}
	return m, a, m.checkAlgorithm(a)
}

func (m Method) addressPrefix() string {
	if m == Text {
		return textMethod
	}
	return fixedMethod + m.Prefix()
}

func (m Method) checkAlgorithm(a nixhash.Algorithm) error {
	if m == Text && a != nixhash.SHA256 {
		return fmt.Errorf("text is addressed by sha256, not by %v", a)
	}
	return nil
}

func cutMethod(s string) (Method, string, error) {
	if rest, ok := strings.CutPrefix(s, textMethod); ok {
		return Text, rest, nil
	}
	rest, ok := strings.CutPrefix(s, fixedMethod)
	if !ok {
		return 0, "", fmt.Errorf("content address '%s' begins with neither 'text:' nor 'fixed:'", s)
	}
	for _, m := range []Method{NAR, Git} {
		if after, ok := strings.CutPrefix(rest, m.Prefix()); ok {
			return m, after, nil
		}
	}
	return Flat, rest, nil
}
