package addition

import (
	"context"
	"sync"

	"troupe/storage/storepath"
)

// Lent are paths whose locks somebody holds and lends to whoever adds the path: a
// build hook adds what it was asked to build while its build holds the locks. The
// zero value is ready, and a nil one lends nothing.
type Lent struct {
	mu    sync.Mutex // guards paths
	paths map[storepath.Path]chan struct{}
}

// Lend lends the locks of paths until back is called, which returns when nobody
// uses them any more.
func (l *Lent) Lend(paths ...storepath.Path) (back func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paths == nil {
		l.paths = map[storepath.Path]chan struct{}{}
	}
	for _, p := range paths {
		l.paths[p] = make(chan struct{}, 1)
	}
	return func() { l.takeBack(paths) }
}

func (l *Lent) takeBack(paths []storepath.Path) {
	var used []chan struct{}
	l.mu.Lock()
	for _, p := range paths {
		used = append(used, l.paths[p])
		delete(l.paths, p)
	}
	l.mu.Unlock()
	for _, c := range used {
		c <- struct{}{}
	}
}

// borrow takes a lock that is lent, or reports that it is not.
func (l *Lent) borrow(ctx context.Context, p storepath.Path) (release func(), lent bool, err error) {
	if l == nil {
		return nil, false, nil
	}
	l.mu.Lock()
	c := l.paths[p]
	l.mu.Unlock()
	if c == nil {
		return nil, false, nil
	}
	select {
	case c <- struct{}{}:
	case <-ctx.Done():
		return nil, true, context.Cause(ctx)
	}
	l.mu.Lock()
	still := l.paths[p] == c
	l.mu.Unlock()
	if !still { // it was taken back meanwhile
		<-c
		return nil, false, nil
	}
	return func() { <-c }, true, nil
}
