// Package registration reads and writes the text in which Nix hands records of
// valid paths about: nix-store --dump-db, --load-db and --register-validity,
// and the file of exportReferencesGraph. It streams, and does not know where
// the records are kept.
//
// A record is lines, each ended by a newline:
//
//	store path
//	NAR hash       with [Form.Hash]: SHA-256; base 16 is written, and 16, 32,
//	NAR size       64 or "sha256:…" read; decimal bytes
//	deriver        a store path, or empty
//	count          decimal
//	reference      count times
package registration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Form is which lines a record has, and which are filled in.
type Form struct {
	Hash    bool // the hash and size lines are there
	Deriver bool // the deriver's line is filled in where it is known
}

// Nix's forms.
var (
	Dump     = Form{Hash: true, Deriver: true} // --dump-db, --load-db, --register-validity --hash-given
	Register = Form{Deriver: true}             // --register-validity: the reader hashes the path
	Graph    = Form{}                          // exportReferencesGraph
)

// Writer writes records in one form.
type Writer struct {
	out  *bufio.Writer
	dir  storepath.Dir
	form Form
}

// NewWriter writes the paths as those of dir. Flush it at the end.
func NewWriter(w io.Writer, dir storepath.Dir, form Form) *Writer {
	return &Writer{bufio.NewWriter(w), dir, form}
}

// Write appends one record. What the form has no line for is left out.
func (w *Writer) Write(i validity.Info) error {
	w.line(w.dir.Join(i.Path))
	if w.form.Hash {
		if i.NarHash.Algorithm() != nixhash.SHA256 {
			return fmt.Errorf("write registration of %q: its hash is not SHA-256", i.Path.Base())
		}
		w.line(i.NarHash.Base16())
		w.line(strconv.FormatUint(i.NarSize, 10))
	}
	if w.form.Deriver && !i.Deriver.IsZero() {
		w.line(w.dir.Join(i.Deriver))
	} else {
		w.line("")
	}
	w.line(strconv.Itoa(len(i.References)))
	for _, r := range i.References {
		w.line(w.dir.Join(r))
	}
	_, err := w.out.Write(nil) // the error that stuck
	return err
}

func (w *Writer) line(s string) {
	w.out.WriteString(s)
	w.out.WriteByte('\n')
}

// Flush writes out what is buffered.
func (w *Writer) Flush() error { return w.out.Flush() }

// SyntaxError is a text that is not in the form that was expected.
type SyntaxError struct {
	Line int // from 1
	Err  error
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("read registration: line %d: %v", e.Line, e.Err)
}
func (e *SyntaxError) Unwrap() error { return e.Err }

// maxLine is longer than any store path: PATH_MAX is 4096.
const maxLine = 8192

// Reader reads records in one form.
type Reader struct {
	in   *bufio.Reader
	dir  storepath.Dir
	hash bool
	line int
}

// NewReader reads paths of dir. Of the form, only Hash matters.
func NewReader(r io.Reader, dir storepath.Dir, form Form) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, maxLine), dir: dir, hash: form.Hash}
}

// Read returns the next record; at the end of the text the error is io.EOF. A
// text that is not right is a [*SyntaxError]. References come sorted; those who
// read without hashes set NarHash and NarSize themselves.
func (r *Reader) Read() (i validity.Info, err error) {
	line, err := r.next()
	if err != nil {
		return i, err
	}
	if i.Path, err = r.path(line); err != nil {
		return i, err
	}
	if err := r.fields(&i); err != nil {
		if errors.Is(err, io.EOF) {
			err = &SyntaxError{r.line + 1, io.ErrUnexpectedEOF}
		}
		return validity.Info{}, err
	}
	return i, nil
}

func (r *Reader) fields(i *validity.Info) error {
	if r.hash {
		if err := r.contents(i); err != nil {
			return err
		}
	}
	deriver, err := r.next()
	if err != nil {
		return err
	}
	if deriver != "" {
		if i.Deriver, err = r.path(deriver); err != nil {
			return err
		}
	}
	count, err := r.number()
	if err != nil {
		return err
	}
	for range count { // which may lie: nothing is made before it is there
		line, err := r.next()
		if err != nil {
			return err
		}
		p, err := r.path(line)
		if err != nil {
			return err
		}
		i.References = append(i.References, p)
	}
	slices.SortFunc(i.References, storepath.Path.Compare)
	i.References = slices.Compact(i.References)
	return nil
}

func (r *Reader) contents(i *validity.Info) error {
	line, err := r.next()
	if err != nil {
		return err
	}
	if i.NarHash, err = nixhash.Parse(line, nixhash.SHA256); err != nil {
		return &SyntaxError{r.line, err}
	}
	i.NarSize, err = r.number()
	return err
}

func (r *Reader) number() (uint64, error) {
	line, err := r.next()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(line, 10, 63)
	if err != nil {
		return 0, &SyntaxError{r.line, fmt.Errorf("expected a number, found %q", line)}
	}
	return n, nil
}

func (r *Reader) path(line string) (storepath.Path, error) {
	p, err := r.dir.Parse(line)
	if err != nil {
		return p, &SyntaxError{r.line, err}
	}
	return p, nil
}

// next is a line without its end; io.EOF where the text ends before it.
func (r *Reader) next() (string, error) {
	line, err := r.in.ReadSlice('\n')
	switch {
	case err == nil:
		r.line++
		return string(line[:len(line)-1]), nil
	case errors.Is(err, bufio.ErrBufferFull):
		return "", &SyntaxError{r.line + 1, fmt.Errorf("longer than %d bytes", maxLine)}
	case errors.Is(err, io.EOF) && len(line) > 0:
		return "", &SyntaxError{r.line + 1, errors.New("has no newline at its end")}
	case errors.Is(err, io.EOF):
		return "", io.EOF
	}
	return "", fmt.Errorf("read registration: %w", err)
}
