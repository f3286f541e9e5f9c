// Package buildlog keeps builders' output where Nix looks for it: under the log
// directory, drvs/<first two characters of the .drv's base name>/<rest>, plain
// or, with ".bz2" at its end, compressed.
//
// A log is plain while its build runs, from the first byte on. So a follower reads the same file that
// is written, nix-store --read-log shows a running build, and after a crash all
// that came is there to read: bzip2 has blocks of 100 kB and more, of which the
// last would be lost. [Log.Close] compresses it.
package buildlog

import (
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"troupe/storage/storepath"
)

// Root is the directory in which the logs are, in directories by the beginning of
// their names.
func Root(logDir string) string { return filepath.Join(logDir, "drvs") }

// Path is where the plain log of a derivation is under the log directory; the
// compressed one has ".bz2" after it.
func Path(logDir string, drv storepath.Path) string {
	base := drv.Base()
	return filepath.Join(Root(logDir), base[:2], base[2:])
}

// Read opens the log of a derivation's last build, plain or compressed, as Nix
// would find it. The error wraps [fs.ErrNotExist] when there is none.
func Read(logDir string, drv storepath.Path) (io.ReadCloser, error) {
	path := Path(logDir, drv)
	plain, err := os.Open(path)
	if err == nil {
		return plain, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read log: %w", err)
	}
	return openPacked(path)
}

func openPacked(path string) (io.ReadCloser, error) {
	packed, err := os.Open(path + ".bz2")
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{bzip2.NewReader(packed), packed}, nil
}
