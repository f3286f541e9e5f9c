package binarycache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// files are what a place is made of. Each method makes one attempt; that there is no file is errAbsent. Names have
// passed checkName.
type files interface {
	// get opens a file, from a byte on if the place can do that.
	get(ctx context.Context, name string, from int64) (*content, error)
	has(ctx context.Context, name string) (bool, error)
	// put makes a file, of which nobody sees a part. kind is its MIME type.
	put(ctx context.Context, name, kind string, body body) error
}

// content is an open file.
type content struct {
	io.ReadCloser
	from     int64  // the byte that it begins with
	size     int64  // of the whole file; -1 where unknown
	encoding string // of the bytes on their way, as in Content-Encoding; "" for none
}

// body is what is put: a text, or a spooled file.
type body interface {
	io.ReaderAt
	Size() int64
}

// checkName refuses names that lead out of a cache, be it as a path or as a URL.
func checkName(name string) error {
	u, err := url.Parse(name)
	if err != nil {
		return fmt.Errorf("URL '%.200s' is not one", name)
	}
	if u.IsAbs() || u.Host != "" || u.User != nil {
		return fmt.Errorf("URL '%.200s' leaves the cache", name)
	}
	for _, form := range []string{name, u.Path} {
		for part := range strings.SplitSeq(form, "/") {
			if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\\\x00") {
				return fmt.Errorf("URL '%.200s' leaves the cache", name)
			}
		}
	}
	return nil
}

// directory is a cache on this machine, by its path.
type directory string

func (d directory) path(name string) string { return filepath.Join(string(d), name) }

func (d directory) get(_ context.Context, name string, from int64) (*content, error) {
	// A pipe that nobody writes to would hold us up for ever.
	f, err := os.OpenFile(d.path(name), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errAbsent
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err == nil && from > 0 {
		_, err = f.Seek(from, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &content{ReadCloser: f, from: from, size: st.Size()}, nil
}

func (d directory) has(_ context.Context, name string) (bool, error) {
	_, err := os.Stat(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// put moves a spooled file, which is in the cache already, and copies everything else.
func (d directory) put(_ context.Context, name, _ string, b body) error {
	to := d.path(name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if s, ok := b.(*spooled); ok {
		if err := errors.Join(s.Chmod(0o644), s.Sync()); err != nil {
			return err
		}
		return os.Rename(s.Name(), to)
	}
	f, err := renameio.NewPendingFile(to, renameio.WithPermissions(0o644), renameio.WithTempDir(filepath.Dir(to)))
	if err != nil {
		return err
	}
	if _, err = io.Copy(f, io.NewSectionReader(b, 0, b.Size())); err == nil {
		err = f.CloseAtomicallyReplace()
	}
	return errors.Join(err, f.Cleanup())
}

// spooled is a file that nobody else sees.
type spooled struct {
	*os.File
	size int64
}

func (s *spooled) Size() int64 { return s.size }

// drop closes the file, and removes it where it was not moved.
func (s *spooled) drop() error {
	err := os.Remove(s.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, s.Close())
}

// spool makes a file for what is packed: where put can move it, if it can.
func (c *Cache) spool() (*spooled, error) {
	dir := c.pool.settings.SpoolDir
	if d, ok := c.place.files.(directory); ok {
		dir = d.path("nar")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	f, err := os.CreateTemp(dir, ".troupe-upload-*")
	if err != nil {
		return nil, err
	}
	return &spooled{File: f}, nil
}
