package buildlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/dsnet/compress/bzip2"
	"golang.org/x/sys/unix"

	"troupe/storage/storepath"
)

// A Log is written while its build runs. One goroutine writes and closes it;
// any number follow it.
type Log struct {
	path string
	file *os.File // nil before the first byte

	mu      sync.Mutex
	size    int64         // bytes that a follower may read
	ended   bool          // no more will come
	changed chan struct{} // closed at the next change; nil when nobody waits
}

// Create starts the log of a derivation's build in place of an earlier one. The
// caller holds the derivation's locks: two builds of it would share the file.
// Many builders write nothing, so the plain file is made for the first byte; at
// once only where an earlier log would be taken for this one.
func Create(logDir string, drv storepath.Path) (*Log, error) {
	l := &Log{path: Path(logDir, drv)}
	err := os.MkdirAll(filepath.Dir(l.path), 0o755)
	if err == nil {
		err = l.replace()
	}
	if err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	return l, nil
}

// replace removes an earlier log. Whoever reads it goes on reading it.
func (l *Log) replace() error {
	err := unix.Unlink(l.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &os.PathError{Op: "remove", Path: l.path, Err: err}
	}
	if _, err := os.Lstat(l.path + ".bz2"); err == nil {
		return l.open()
	}
	return nil
}

func (l *Log) open() (err error) {
	l.file, err = os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	return err
}

// Write appends to the log and wakes its followers.
func (l *Log) Write(p []byte) (int, error) {
	if l.file == nil {
		if err := l.open(); err != nil {
			return 0, fmt.Errorf("write log: %w", err)
		}
	}
	n, err := l.file.Write(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size += int64(n)
	l.wake()
	if err != nil {
		err = fmt.Errorf("write log: %w", err)
	}
	return n, err
}

// wake tells the followers of a change; under mu.
func (l *Log) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Size is the bytes written so far, before compression.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size
}

// End tells the followers that no more will come. The log stays plain, for a
// caller that does not want to wait for Close, which is still to come.
func (l *Log) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.wake()
}

// Close ends the log and compresses it, at some 10 MB a second; memory is a few
// MB whatever the size. When this fails the plain log stays.
func (l *Log) Close() error {
	l.End()
	if err := l.compress(); err != nil {
		return fmt.Errorf("compress log: %w", err)
	}
	return nil
}

// compress is not synced, as the plain log is not: what a power failure takes
// from the last logs does no harm to what is valid.
func (l *Log) compress() error {
	if l.file == nil {
		return packEmpty(l.path)
	}
	err := pack(l.path, level(l.size), io.NewSectionReader(l.file, 0, l.size))
	if err == nil {
		err = os.Remove(l.path)
	}
	return errors.Join(err, l.file.Close())
}

// level is the size of a block in units of 100 kB: no larger than the log, as
// the compressor's memory goes with it.
func level(size int64) int { return int(min(size/100_000+1, bzip2.BestCompression)) }

// Follow reads the log from its beginning: what is there, then what comes, until
// it is ended (io.EOF) or ctx ends (its error). Followers do not hold up the
// writer, nor each other, and none of the log is kept in memory.
func (l *Log) Follow(ctx context.Context) (io.ReadCloser, error) {
	f := &follower{ctx: ctx, log: l}
	l.mu.Lock()
	there := l.size > 0
	l.mu.Unlock()
	if there {
		if err := f.open(); err != nil {
			return nil, fmt.Errorf("follow log: %w", err)
		}
	}
	return f, nil
}

// A follower has the file open by itself, so that it can read on when the log
// is compressed and deleted.
type follower struct {
	ctx    context.Context
	log    *Log
	file   *os.File      // nil before the first byte, and where there is
	packed io.ReadCloser // all of it, where it was compressed before it was opened
	at     int64
}

func (f *follower) open() (err error) {
	f.file, err = os.Open(f.log.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.packed, err = openPacked(f.log.path)
	}
	return err
}

func (f *follower) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if f.packed != nil {
		return f.packed.Read(p)
	}
	there, err := f.await()
	if err != nil {
		return 0, err
	}
	if f.file == nil {
		if err := f.open(); err != nil {
			return 0, fmt.Errorf("follow log: %w", err)
		}
		return f.Read(p)
	}
	n, err := f.file.ReadAt(p[:min(int64(len(p)), there)], f.at)
	f.at += int64(n)
	return n, err
}

// await is how many bytes are there to read, at least one.
func (f *follower) await() (int64, error) {
	for {
		f.log.mu.Lock()
		there, ended := f.log.size-f.at, f.log.ended
		if there <= 0 && !ended && f.log.changed == nil {
			f.log.changed = make(chan struct{})
		}
		changed := f.log.changed
		f.log.mu.Unlock()
		switch {
		case there > 0:
			return there, nil
		case ended:
			return 0, io.EOF
		}
		select {
		case <-changed:
		case <-f.ctx.Done():
			return 0, context.Cause(f.ctx)
		}
	}
}

func (f *follower) Close() error {
	switch {
	case f.file != nil:
		return f.file.Close()
	case f.packed != nil:
		return f.packed.Close()
	}
	return nil
}
