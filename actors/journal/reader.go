package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Reader reads a journal in either form.
type Reader struct {
	Header Header
	in     *bufio.Reader
	place  int // lines or steps read
	step   func() (Record, error)
	more   []string // files of the run that come after this one
	file   *os.File // the one being read, if the reader opened it
}

// CutError says that a journal ends before its run did, or is damaged: what was
// read before it is right.
type CutError struct {
	Place string
	Err   error
}

func (e *CutError) Error() string { return fmt.Sprintf("the journal is cut at %s: %v", e.Place, e.Err) }
func (e *CutError) Unwrap() error { return e.Err }

// LostError says that the recorder could not keep up: Steps are missing here.
// Reading can go on.
type LostError struct{ Steps uint64 }

func (e *LostError) Error() string { return fmt.Sprintf("%d steps were not recorded", e.Steps) }

var errCut = errors.New("it ends in the middle")

// NewReader reads the header.
func NewReader(r io.Reader) (*Reader, error) {
	j := &Reader{}
	return j, j.open(r)
}

// Open reads the files of one run, in their order.
func Open(files ...string) (*Reader, error) {
	j := &Reader{more: files}
	return j, j.openNext()
}

// Close closes what [Open] opened.
func (j *Reader) Close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}

func (j *Reader) openNext() error {
	if err := j.Close(); err != nil {
		return err
	}
	f, err := os.Open(j.more[0])
	if err != nil {
		return err
	}
	j.file, j.more = f, j.more[1:]
	place := j.place
	err = j.open(f)
	j.place = max(place, j.place)
	return err
}

func (j *Reader) open(r io.Reader) error {
	j.in = bufio.NewReaderSize(r, 1<<16)
	start, err := j.in.Peek(len(magic))
	if string(start) == magic {
		if _, err := j.in.Discard(len(magic)); err != nil {
			return err
		}
		s, err := newSegmentReader(j.in)
		if err != nil {
			return fmt.Errorf("read journal: %w", err)
		}
		j.Header = s.header
		j.step = func() (Record, error) { return j.compactStep(s) }
		return j.checkVersion(compactVersion)
	}
	if err != nil && err != io.EOF {
		return fmt.Errorf("read journal: %w", err)
	}
	text, err := j.line()
	if err == nil && json.Unmarshal(text, &j.Header) != nil {
		err = errors.New("not a journal")
	}
	if err == errCut {
		err = errors.New("not a journal, or it is cut already here")
	}
	if err != nil {
		return fmt.Errorf("read journal: line 1: %w", err)
	}
	j.step = j.lineStep
	return j.checkVersion(linesVersion)
}

func (j *Reader) checkVersion(known int) error {
	switch {
	case j.Header.Version == 0:
		return errors.New("read journal: not a journal")
	case j.Header.Version > known:
		return fmt.Errorf("read journal: format %d is newer than this program's %d", j.Header.Version, known)
	}
	return nil
}

// Next reads one record. At the end it returns [io.EOF]; where the journal does
// not go on it returns a [CutError], and where steps are missing a [LostError].
func (j *Reader) Next() (Record, error) {
	for {
		r, err := j.step()
		if err == io.EOF && len(j.more) > 0 {
			if err := j.openNext(); err != nil {
				return Record{}, &CutError{fmt.Sprintf("the file after step %d", j.place), err}
			}
			continue
		}
		return r, err
	}
}

func (j *Reader) compactStep(s *segmentReader) (Record, error) {
	r, err := s.next()
	if err == io.EOF {
		return r, err
	}
	if err != nil {
		return r, &CutError{fmt.Sprintf("step %d", j.place+1), err}
	}
	if s.lost > 0 {
		lost := s.lost
		s.lost = 0
		again := j.step
		j.step = func() (Record, error) { // the step itself comes after what is said of it
			j.step = again
			return j.number(r), nil
		}
		return Record{}, &LostError{lost}
	}
	return j.number(r), nil
}

func (j *Reader) number(r Record) Record {
	j.place++
	r.Seq = uint64(j.place)
	return r
}

func (j *Reader) lineStep() (Record, error) {
	text, err := j.line()
	if err == io.EOF {
		return Record{}, err
	}
	var r Record
	if err == nil {
		r, err = parseLine(text)
	}
	if err != nil {
		return r, &CutError{fmt.Sprintf("line %d", j.place), err}
	}
	return r, nil
}

func (j *Reader) line() ([]byte, error) {
	text, err := j.in.ReadBytes('\n')
	j.place++
	if err == io.EOF && len(text) > 0 {
		return nil, errCut
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text, []byte{'\n'}), nil
}
