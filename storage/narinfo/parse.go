package narinfo

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// CorruptError refuses a file.
type CorruptError struct {
	File   string // as the caller names it
	Reason error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("NAR info file '%s' is corrupt: %v", e.File, e.Reason)
}

func (e *CorruptError) Unwrap() error { return e.Reason }

// Parse reads a file; name is for errors. It refuses what Nix 2.8 refuses, and besides a key that comes twice, where
// Nix takes the last one, and a NarHash that is not SHA-256. Keys that it does not know are passed over.
func Parse(dir storepath.Dir, name string, text []byte) (Info, error) {
	p := parser{dir: dir, info: Info{Compression: "bzip2"}} // as it was before there was a key for it
	err := p.lines(string(text))
	if err == nil {
		err = p.complete()
	}
	if err != nil {
		return Info{}, &CorruptError{name, err}
	}
	return p.info, nil
}

type parser struct {
	dir  storepath.Dir
	info Info
	seen uint // a bit for each key
}

func (p *parser) lines(text string) error {
	for text != "" {
		line, rest, ended := strings.Cut(text, "\n")
		if !ended {
			return errors.New("its last line has no end")
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || value == "" {
			return fmt.Errorf("line %.80q is not 'key: value'", line)
		}
		if value[0] != ' ' {
			return fmt.Errorf("no blank follows the colon of '%.40s'", key)
		}
		if err := p.field(key, value[1:]); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		text = rest
	}
	return nil
}

// keys are those that may come once, by their bit.
var keys = [...]string{"StorePath", "URL", "Compression", "FileHash", "FileSize", "NarHash", "NarSize", "References", "Deriver", "System", "CA"}

func (p *parser) has(key string) bool { return p.seen&(1<<slices.Index(keys[:], key)) != 0 }

func (p *parser) field(key, value string) (err error) {
	if at := slices.Index(keys[:], key); at >= 0 {
		if p.seen&(1<<at) != 0 {
			return errors.New("it comes twice")
		}
		p.seen |= 1 << at
	}
	i := &p.info
	switch key {
	case "StorePath":
		i.Path, err = p.dir.Parse(value)
	case "URL":
		i.URL = value
	case "Compression":
		if value != "" {
			i.Compression = value
		}
	case "FileHash":
		i.FileHash, err = nixhash.Parse(value, 0)
	case "FileSize":
		i.FileSize, err = size(value)
	case "NarHash":
		if i.NarHash, err = nixhash.Parse(value, 0); err == nil && i.NarHash.Algorithm() != nixhash.SHA256 {
			err = fmt.Errorf("a hash of type '%v', not sha256", i.NarHash.Algorithm())
		}
	case "NarSize":
		i.NarSize, err = size(value)
	case "References":
		i.References, err = references(value)
	case "Deriver":
		if value != "unknown-deriver" {
			i.Deriver, err = storepath.ParseBase(value)
		}
	case "System":
		i.System = value
	case "Sig":
		i.Signatures = append(i.Signatures, value)
	case "CA":
		i.CA, err = value, checkCA(value)
	}
	return err
}

func size(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("'%.40s' is not a size in bytes", s)
	}
	return n, nil
}

func references(s string) ([]storepath.Path, error) {
	if s == "" {
		return nil, nil
	}
	list := make([]storepath.Path, 0, strings.Count(s, " ")+1)
	for base := range strings.FieldsSeq(s) {
		r, err := storepath.ParseBase(base)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	slices.SortFunc(list, storepath.Path.Compare)
	return slices.Compact(list), nil
}

// checkCA refuses what is not in one of Nix's forms: "text:<hash>", "fixed:<hash>", "fixed:r:<hash>" or
// "fixed:git:<hash>".
func checkCA(s string) error {
	kind, hash, ok := strings.Cut(s, ":")
	if !ok || kind != "text" && kind != "fixed" {
		return fmt.Errorf("'%.80s' is not a content address", s)
	}
	if kind == "fixed" {
		for _, m := range []storepath.Method{storepath.NAR, storepath.Git} {
			hash = strings.TrimPrefix(hash, m.Prefix())
		}
	}
	_, err := nixhash.Parse(hash, 0)
	return err
}

// complete checks what must be there, and what belongs together.
func (p *parser) complete() error {
	for _, key := range []string{"StorePath", "URL", "NarHash", "NarSize"} {
		if !p.has(key) {
			return fmt.Errorf("%s is missing", key)
		}
	}
	switch {
	case p.info.URL == "":
		return errors.New("URL is empty")
	case p.info.NarSize == 0:
		return errors.New("NarSize is 0")
	}
	p.info.Signatures = set(p.info.Signatures)
	return nil
}
