package localstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// flushOneByOne is how many files are flushed one at a time. An fsync of a small
// new file costs about a millisecond, one syncfs as much as everything that is
// dirty on the file system, whoever wrote it.
const flushOneByOne = 16

// Flush makes trees durable: their contents, and their names in the store.
func (l Layout) Flush(reals ...string) error {
	if len(reals) == 0 {
		return nil
	}
	files, few := collectFiles(reals)
	if !few {
		return l.flushAll()
	}
	for _, f := range append(files, l.RealStoreDir()) {
		if err := flushOne(f); err != nil {
			return err
		}
	}
	return nil
}

// collectFiles lists what has to be flushed, or says that it is too much.
func collectFiles(reals []string) (files []string, few bool) {
	tooMany := errors.New("too many")
	for _, real := range reals {
		err := filepath.WalkDir(real, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.Type().IsRegular() || d.IsDir() {
				files = append(files, path)
			}
			if len(files) > flushOneByOne {
				return tooMany
			}
			return nil
		})
		if err != nil { // what cannot be listed is flushed with all else
			return nil, false
		}
	}
	return files, true
}

func flushOne(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (l Layout) flushAll() error {
	dir, err := os.Open(l.RealStoreDir())
	if err != nil {
		return err
	}
	return errors.Join(os.NewSyscallError("syncfs", unix.Syncfs(int(dir.Fd()))), dir.Close())
}
