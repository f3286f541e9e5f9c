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

	"troupe/storage/storepath"
)

// A Log is written while its build runs. One goroutine writes and closes it;
// any number follow it.
type Log struct {
	path string
	file *os.File

	mu      sync.Mutex
	size    int64         // bytes that a follower may read
	ended   bool          // no more will come
	changed chan struct{} // closed at the next change; nil when nobody waits
}

// Create starts the log of a derivation's build in place of an earlier one. The
// caller holds the derivation's locks: two builds of it would share the file.
func Create(logDir string, drv storepath.Path) (*Log, error) {
	path := Path(logDir, drv)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	// Whoever reads the earlier log goes on reading it.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("create log: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	return &Log{path: path, file: file}, nil
}

// Write appends to the log and wakes its followers.
func (l *Log) Write(p []byte) (int, error) {
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
	err := l.compress()
	if err == nil {
		err = os.Remove(l.path)
	}
	if err := errors.Join(err, l.file.Close()); err != nil {
		return fmt.Errorf("compress log: %w", err)
	}
	return nil
}

// compress is not synced, as the plain log is not: what a power failure takes
// from the last logs does no harm to what is valid.
func (l *Log) compress() error {
	return pack(l.path, level(l.size), io.NewSectionReader(l.file, 0, l.size))
}

// level is the size of a block in units of 100 kB: no larger than the log, as
// the compressor's memory goes with it.
func level(size int64) int { return int(min(size/100_000+1, bzip2.BestCompression)) }

// Follow reads the log from its beginning: what is there, then what comes, until
// it is ended (io.EOF) or ctx ends (its error). Followers do not hold up the
// writer, nor each other, and none of the log is kept in memory.
func (l *Log) Follow(ctx context.Context) (io.ReadCloser, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	file, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) && l.ended {
		return openPacked(l.path)
	}
	if err != nil {
		return nil, fmt.Errorf("follow log: %w", err)
	}
	return &follower{ctx: ctx, log: l, file: file}, nil
}

// A follower has the file open by itself, so that it can read on when the log
// is compressed and deleted.
type follower struct {
	ctx  context.Context
	log  *Log
	file *os.File
	at   int64
}

func (f *follower) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	there, err := f.await()
	if err != nil {
		return 0, err
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

func (f *follower) Close() error { return f.file.Close() }
