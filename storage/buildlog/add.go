package buildlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/dsnet/compress/bzip2"

	"troupe/storage/storepath"
)

// Add keeps the log of a build that was done elsewhere, compressed as it comes,
// in a few MB of memory. A log that is there stays, as with Nix, and then none
// of r is read.
func Add(logDir string, drv storepath.Path, r io.Reader) error {
	path := Path(logDir, drv)
	for _, there := range []string{path, path + ".bz2"} {
		if _, err := os.Lstat(there); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("add log: %w", err)
	}
	if err := pack(path, bzip2.BestCompression, r); err != nil {
		return fmt.Errorf("add log: %w", err)
	}
	return nil
}

// pack makes the compressed log of what r holds, or leaves nothing.
func pack(path string, level int, r io.Reader) error {
	packed, err := os.CreateTemp(filepath.Dir(path), ".tmp-*") // the name of a log may be as long as names can be
	if err != nil {
		return err
	}
	err = errors.Join(compressTo(packed, level, r), packed.Chmod(0o644), packed.Close())
	if err == nil {
		err = os.Rename(packed.Name(), path+".bz2")
	}
	if err != nil {
		return errors.Join(err, os.Remove(packed.Name()))
	}
	return nil
}

func compressTo(packed io.Writer, level int, r io.Reader) error {
	w, err := compressor(packed, level)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	err = errors.Join(err, w.Close())
	if err == nil && level == smallest {
		compressors.Put(w)
	}
	return err
}

// compressors are those of the smallest level, which most logs have and whose
// memory, some 1 MB, is used again.
var compressors sync.Pool

const smallest = 1

func compressor(packed io.Writer, level int) (*bzip2.Writer, error) {
	if level == smallest {
		if w, ok := compressors.Get().(*bzip2.Writer); ok {
			return w, w.Reset(packed)
		}
	}
	return bzip2.NewWriter(packed, &bzip2.WriterConfig{Level: level})
}
