package nar

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Restore reads one archive from r, and nothing after it, and makes what it
// holds at path, where nothing may be. What was made is removed when it fails.
func Restore(r io.Reader, path string) (err error) {
	parent, err := openAt(unix.AT_FDCWD, filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY)
	if err == unix.ELOOP || err == unix.ENOTDIR { // the place itself may be named through a link
		parent, err = unix.Open(filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return fmt.Errorf("restore '%s': %w", path, &os.PathError{Op: "open", Path: filepath.Dir(path), Err: err})
	}
	s := &restorer{top: filepath.Base(path), shown: path, dirs: []int{parent}, copy: make([]byte, bufferSize)}
	defer s.close()
	if err := Parse(r, s); err != nil {
		if s.made {
			err = errors.Join(err, os.RemoveAll(path))
		}
		return fmt.Errorf("restore '%s': %w", path, err)
	}
	return nil
}

// restorer makes files under the last of its open directories.
type restorer struct {
	top, shown string
	dirs       []int // descriptors, from the parent of the top down
	made       bool  // the top is ours to remove
	copy       []byte
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
		return &os.PathError{Op: op, Path: s.shown + "/…/" + name, Err: err}
	}
	s.made = true
	return nil
}

func (s *restorer) Directory(name string) error {
	dirfd, base := s.at(name)
	if err := s.done("mkdir", base, unix.Mkdirat(dirfd, base, 0o777)); err != nil {
		return err
	}
	fd, err := openAt(dirfd, base, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return s.done("open", base, err)
	}
	s.dirs = append(s.dirs, fd)
	return nil
}

func (s *restorer) Up() error {
	last := len(s.dirs) - 1
	err := unix.Close(s.dirs[last])
	s.dirs = s.dirs[:last]
	return err
}

func (s *restorer) Symlink(name, target string) error {
	dirfd, base := s.at(name)
	return s.done("symlink", base, unix.Symlinkat(target, dirfd, base))
}

func (s *restorer) File(name string, executable bool, size uint64, contents io.Reader) error {
	dirfd, base := s.at(name)
	mode := uint32(0o666)
	if executable {
		mode = 0o777
	}
	fd, err := unix.Openat(dirfd, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err := s.done("create", base, err); err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), s.shown+"/…/"+base)
	_, err = io.CopyBuffer(onlyWriter{f}, contents, s.copy)
	return errors.Join(err, f.Close())
}

// onlyWriter hides the ways around the buffer, which would allocate one a file.
type onlyWriter struct{ io.Writer }
