package nar

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"troupe/storage/descriptor"
	"troupe/storage/pace"
)

// Restore reads one archive from r, and nothing after it, and makes what it
// holds at path, where nothing may be. What was made is removed when it fails.
func Restore(r io.Reader, path string) error {
	s, err := restoring(path)
	if err != nil {
		return err
	}
	defer s.close()
	if err := Parse(r, s); err != nil {
		if s.made {
			err = errors.Join(err, os.RemoveAll(path))
		}
		return restoreError(path, err)
	}
	return nil
}

func restoreError(path string, err error) error { return fmt.Errorf("restore '%s': %w", path, err) }

// restoring opens the directory that path is to be in.
func restoring(path string) (*restorer, error) {
	parent, err := descriptor.Open(unix.AT_FDCWD, filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY)
	if err == unix.ELOOP || err == unix.ENOTDIR { // the place itself may be named through a link
		parent, err = unix.Open(filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, restoreError(path, &os.PathError{Op: "open", Path: filepath.Dir(path), Err: err})
	}
	return &restorer{top: filepath.Base(path), shown: path, dirs: []int{parent}}, nil
}

// restorer makes files under the last of its open directories.
type restorer struct {
	top, shown string
	dirs       []int     // descriptors, from the parent of the top down
	made       bool      // the top is ours to remove
	store      *asStored // nil: files keep the metadata that they are made with
	pace       pace.Pace
}

func (s *restorer) close() {
	for _, fd := range s.dirs {
		unix.Close(fd)
	}
}

// at is where the next file of that name goes.
func (s *restorer) at(name string) (dirfd int, base string) {
	if len(s.dirs) == 1 {
		name = s.top
	}
	return s.dirs[len(s.dirs)-1], name
}

func (s *restorer) done(op, name string, err error) error {
	if err != nil {
		return s.failed(op, name, err)
	}
	s.made = true
	return nil
}

// failed names the file that something failed with, as far as it is known.
func (s *restorer) failed(op, base string, err error) error {
	path := s.shown
	if len(s.dirs) > 1 {
		path += "/…/" + base
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}

func (s *restorer) Directory(name string) error {
	dirfd, base := s.at(name)
	if err := s.done("mkdir", base, unix.Mkdirat(dirfd, base, 0o777)); err != nil {
		return err
	}
	fd, err := descriptor.Open(dirfd, base, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return s.done("open", base, err)
	}
	s.dirs = append(s.dirs, fd)
	return s.done("inspect", base, s.store.look(fd, 0o777))
}

func (s *restorer) Up() error {
	last := len(s.dirs) - 1
	err := s.store.directory(s.dirs[last])
	err = errors.Join(err, unix.Close(s.dirs[last]))
	s.dirs = s.dirs[:last]
	return err
}

func (s *restorer) Symlink(name, target string) error {
	dirfd, base := s.at(name)
	err := unix.Symlinkat(target, dirfd, base)
	if err == nil {
		err = s.store.symlink(dirfd, base)
	}
	return s.done("symlink", base, err)
}

func (s *restorer) File(name string, executable bool, size uint64, contents io.Reader) error {
	s.pace.Step()
	dirfd, base := s.at(name)
	mode := s.store.mode(executable)
	fd, err := unix.Openat(dirfd, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err := s.done("create", base, err); err != nil {
		return err
	}
	_, err = io.Copy(&restored{fd: descriptor.File(fd), restorer: s}, contents)
	if err == nil {
		err = s.store.file(fd, mode)
	}
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		return s.failed("write", base, err)
	}
	return nil
}

// restored is a file that is written.
type restored struct {
	*restorer
	fd descriptor.File
	descriptor.WriteBack
}

func (f *restored) Write(b []byte) (int, error) {
	f.pace.Step()
	n, err := f.fd.Write(b)
	if f.store != nil {
		f.Behind(int(f.fd), n)
	}
	return n, err
}
