package sessions

import (
	"errors"
	"io"

	"troupe/storage/nar"
)

// unpackFile writes the contents of an archive that is a single file.
func unpackFile(archive io.Reader, to io.Writer) error {
	return nar.Parse(archive, &oneFile{to})
}

// oneFile takes the contents of the file that an archive is. What cannot be
// written any more is skipped, so that the archive is read to its end.
type oneFile struct{ to io.Writer }

var errNoFile = errors.New("the archive is not a single file")

func (*oneFile) Directory(string) error       { return errNoFile }
func (*oneFile) Up() error                    { return errNoFile }
func (*oneFile) Symlink(string, string) error { return errNoFile }

func (f *oneFile) File(_ string, executable bool, _ uint64, contents io.Reader) error {
	if executable {
		return errors.New("the archive is an executable file, which a flat object is not")
	}
	if _, err := io.Copy(f.to, contents); err != nil {
		_, err := io.Copy(io.Discard, contents)
		return err
	}
	return nil
}
