package addition

import (
	"errors"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
)

// Stages keeps the directories that objects are staged in for the next object: for
// one that is small, making and removing a directory is a good part of the work.
type Stages struct {
	mu   sync.Mutex
	free []string // empty
}

// staged gives write a place in a directory of its own, of which nothing is
// left afterwards.
func (a *Adder) staged(write func(place string) error) (err error) {
	stage, err := a.Stages.take(a.Layout)
	if err != nil {
		return err
	}
	place := filepath.Join(stage, "object")
	if err = write(place); err == nil && !exists(place) && a.Stages.keep(stage) {
		return nil
	}
	if unix.Rmdir(stage) == nil {
		return err
	}
	_, rerr := localstore.Remove(stage)
	return errors.Join(err, rerr)
}

func exists(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) != unix.ENOENT
}

// take makes a directory where none is kept. One may be gone: programs empty a store
// under who serves it.
func (s *Stages) take(l localstore.Layout) (string, error) {
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for last := len(s.free) - 1; last >= 0; last-- {
			stage := s.free[last]
			s.free = s.free[:last]
			if exists(stage) {
				return stage, nil
			}
		}
	}
	return l.Stage("add-")
}

// keep keeps a directory that is empty; nil keeps none.
func (s *Stages) keep(stage string) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, stage)
	return true
}

// Close removes what is kept. Whoever stages afterwards makes directories anew.
func (s *Stages) Close() (err error) {
	s.mu.Lock()
	free := s.free
	s.free = nil
	s.mu.Unlock()
	for _, stage := range free {
		_, rerr := localstore.Remove(stage)
		err = errors.Join(err, rerr)
	}
	return err
}
