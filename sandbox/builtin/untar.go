package builtin

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// maxWindow bounds, in bytes, what a compressed stream can make us hold: what "zstd --long" and "xz -9" ask for.
const maxWindow = 128 << 20

// unpackTarball unpacks a tar archive, plain or compressed, below the directory dir. Nothing outside dir is
// written or read whatever the archive says: names that are absolute are taken as relative, "..", and names that
// lead through a symlink are refused. Of times, owners and modes only the executable bit is kept.
func unpackTarball(file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	stream, done, err := decompress(f)
	if err != nil {
		return err
	}
	defer done()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for archive := tar.NewReader(stream); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := unpackEntry(root, header, archive); err != nil {
			return fmt.Errorf("entry %q: %w", header.Name, err)
		}
	}
}

// decompress tells the form of compression by the first bytes, as a file's name says nothing reliable.
func decompress(f io.Reader) (stream io.Reader, done func(), err error) {
	r := bufio.NewReaderSize(f, 1<<16)
	magic, err := r.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	done = func() {}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		stream, err = gzip.NewReader(r)
	case bytes.HasPrefix(magic, []byte("BZh")):
		stream = bzip2.NewReader(r)
	case bytes.HasPrefix(magic, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		stream, err = xz.NewReader(r, maxWindow)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		var decoder *zstd.Decoder
		decoder, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err == nil {
			stream, done = decoder, decoder.Close
		}
	default:
		stream = r
	}
	return stream, done, err
}

// entryName returns where an entry goes, relative to the root; "." is the root itself.
func entryName(name string) (string, error) {
	name = strings.TrimLeft(name, "/")
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return "", errors.New("its name contains '..'")
		}
	}
	return path.Clean(name), nil
}

func unpackEntry(root *os.Root, header *tar.Header, content io.Reader) error {
	name, err := entryName(header.Name)
	if err != nil {
		return err
	}
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if name == "." {
		if header.Typeflag == tar.TypeDir {
			return nil
		}
		return errors.New("it has no name")
	}
	if err := makeDirs(root, path.Dir(name)); err != nil {
		return err
	}
	if header.Typeflag == tar.TypeDir {
		return makeDirs(root, name)
	}
	if err := clear(root, name); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeReg:
		return unpackFile(root, name, header.FileInfo().Mode(), content)
	case tar.TypeSymlink:
		return root.Symlink(header.Linkname, name)
	case tar.TypeLink:
		return linkTo(root, header.Linkname, name)
	}
	return fmt.Errorf("its type %q is not supported", header.Typeflag)
}

// makeDirs makes sure that a name and all above it are real directories.
func makeDirs(root *os.Root, name string) error {
	if name == "." {
		return nil
	}
	for i := 1; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		switch info, err := root.Lstat(name[:i]); {
		case errors.Is(err, fs.ErrNotExist):
			if err := root.Mkdir(name[:i], 0o755); err != nil {
				return err
			}
		case err != nil:
			return err
		case !info.IsDir():
			return fmt.Errorf("%q is in its way and is not a directory", name[:i])
		}
	}
	return nil
}

// clear removes an earlier entry of the same name, which a later one replaces.
func clear(root *os.Root, name string) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func unpackFile(root *os.Root, name string, mode fs.FileMode, content io.Reader) error {
	perm := fs.FileMode(0o644)
	if mode&0o100 != 0 {
		perm = 0o755
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// linkTo makes a hard link to an earlier entry, which must be a regular file reached through real directories.
func linkTo(root *os.Root, target, name string) error {
	old, err := entryName(target)
	if err != nil {
		return fmt.Errorf("link to %q: %w", target, err)
	}
	for dir := path.Dir(old); dir != "."; dir = path.Dir(dir) {
		if info, err := root.Lstat(dir); err != nil || !info.IsDir() {
			return fmt.Errorf("link to %q: %q is not a directory", target, dir)
		}
	}
	info, err := root.Lstat(old)
	if err != nil {
		return fmt.Errorf("link to %q: %w", target, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("link to %q: not a regular file", target)
	}
	return root.Link(old, name)
}
