package derivation

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"

	"troupe/storage/storepath"
)

// Checker checks derivation files one after another: that they parse, print
// back to the same bytes, and have the right output paths. It keeps one hash
// for each, and the whole of those only whose inputs have not come yet.
type Checker struct {
	// Dir is the store directory; where it is empty each file's own is used.
	Dir storepath.Dir
	// Report is told of each file that is wrong.
	Report func(name string, err error)

	modulo  map[storepath.Path]ModuloHash
	waiting map[storepath.Path][]*checked // by an input that has not come
	good    int
}

// checked is a derivation that waits for inputs.
type checked struct {
	name string
	path storepath.Path
	dir  storepath.Dir
	drv  *Derivation
}

// NewChecker makes a checker.
func NewChecker(dir storepath.Dir, report func(name string, err error)) *Checker {
	return &Checker{Dir: dir, Report: report,
		modulo: map[storepath.Path]ModuloHash{}, waiting: map[storepath.Path][]*checked{}}
}

// missingInputError names an input whose hash is not known yet.
type missingInputError struct{ path storepath.Path }

func (e *missingInputError) Error() string {
	return fmt.Sprintf("input '%v' is not among the files", e.path)
}

func (c *Checker) lookup(p storepath.Path) (ModuloHash, error) {
	h, ok := c.modulo[p]
	if !ok {
		return ModuloHash{}, &missingInputError{p}
	}
	return h, nil
}

// Add checks a file. Its name is that of a store path, with or without
// directories before it.
func (c *Checker) Add(name string, data []byte) {
	p, err := storepath.ParseBase(path.Base(name))
	if err == nil && !p.IsDerivation() {
		err = fmt.Errorf("it is not called .drv")
	}
	if err != nil {
		c.Report(name, err)
		return
	}
	dir := c.Dir
	if dir == "" {
		if dir, err = FindStoreDir(data); err != nil {
			c.Report(name, err)
			return
		}
	}
	d, err := Parse(dir, strings.TrimSuffix(p.Name(), ".drv"), data)
	if err != nil {
		c.Report(name, err)
		return
	}
	c.resolve(&checked{name: name, path: p, dir: dir, drv: d})
}

// resolve checks what has all its inputs, and then those that waited for it.
func (c *Checker) resolve(first *checked) {
	for todo := []*checked{first}; len(todo) > 0; {
		f := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		h, err := f.drv.Modulo(f.dir, c.lookup)
		var missing *missingInputError
		if errors.As(err, &missing) {
			c.waiting[missing.path] = append(c.waiting[missing.path], f)
			continue
		}
		if err == nil {
			err = f.verify(c.lookup)
		}
		if err != nil {
			c.Report(f.name, err)
		} else {
			c.good++
		}
		c.modulo[f.path] = h
		todo = append(todo, c.waiting[f.path]...)
		delete(c.waiting, f.path)
	}
}

func (f *checked) verify(inputs Modulo) error {
	own, err := f.drv.Path(f.dir)
	if err != nil {
		return err
	}
	if own != f.path {
		return fmt.Errorf("the file should be called '%v'", own)
	}
	return f.drv.Verify(f.dir, inputs)
}

// Finish reports the files whose inputs never came, and returns how many files
// are right.
func (c *Checker) Finish() (good int) {
	for p, files := range c.waiting {
		for _, f := range files {
			c.Report(f.name, &missingInputError{p})
		}
	}
	return c.good
}

// FindStoreDir finds the store directory in the text of a derivation: that of
// the first path among its outputs, inputs and sources.
func FindStoreDir(data []byte) (storepath.Dir, error) {
	for rest := data; ; {
		i := bytes.Index(rest, []byte(`"/`))
		if i < 0 {
			return "", fmt.Errorf("no store path is in it; name the store directory with --store-dir")
		}
		rest = rest[i+1:]
		end := bytes.IndexByte(rest, '"')
		if end < 0 {
			return "", fmt.Errorf("a string does not end")
		}
		file := string(rest[:end])
		if _, err := storepath.ParseBase(path.Base(file)); err == nil {
			return storepath.ParseDir(path.Dir(file))
		}
	}
}
