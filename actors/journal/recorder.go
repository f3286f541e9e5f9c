package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"troupe/actors/host"
)

// RecorderOptions say where a flight recorder writes and how much.
type RecorderOptions struct {
	Dir    string // made if it is not there; only its owner can read it
	Size   int64  // bytes that all files in Dir may have together
	Header Header
	// Failed is told once if the recorder cannot write, and gives up.
	Failed func(error)
}

// Recorder keeps the newest steps of this process, and of those before it, on
// disk. It never holds up who records: a goroutine of its own encodes and
// writes, and steps that come faster than it can take are left out and
// counted. What is not yet written is lost in a crash, a tenth of a second at
// most; nothing is synced.
type Recorder struct {
	o    RecorderOptions
	wake chan struct{} // has room for one
	done chan struct{}

	mu     sync.Mutex // guards what follows
	queue  []host.Step
	lost   uint64
	closed bool

	file    *os.File // these belong to the goroutine
	segment *segment
	size    int64 // of the file
	number  int   // of the segment
}

const (
	// maxQueue bounds the steps that wait to be written.
	maxQueue = 1 << 15
	// batch is how many steps are worth a write of their own.
	batch = 1 << 10
	// mostSpare is for how many steps room is kept: that for maxQueue is 3 MB.
	mostSpare = 4 * batch
	// frameSize is how long a frame grows, in bytes: a damaged one is lost whole.
	frameSize = 1 << 16
	// recordEvery is how long a step waits for others.
	recordEvery = 100 * time.Millisecond
	// segments is how many files share the space.
	segments = 8
)

// NewRecorder starts a recorder.
func NewRecorder(o RecorderOptions) (*Recorder, error) {
	r := &Recorder{o: o, wake: make(chan struct{}, 1), done: make(chan struct{})}
	r.o.Header.Version = compactVersion
	r.o.Header.PID = os.Getpid()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := r.rotate(); err != nil {
		return nil, errors.Join(err, r.closeFile())
	}
	go r.run()
	return r, nil
}

// Record implements [host.Journal].
func (r *Recorder) Record(s host.Step) {
	r.mu.Lock()
	full := len(r.queue) >= maxQueue
	if full {
		r.lost++
	} else {
		r.queue = append(r.queue, s)
	}
	enough := len(r.queue) == batch
	r.mu.Unlock()
	if enough {
		r.poke()
	}
}

func (r *Recorder) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Close writes what is left.
func (r *Recorder) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.poke()
	<-r.done
	return r.closeFile()
}

func (r *Recorder) run() {
	defer close(r.done)
	ticker := time.NewTicker(recordEvery)
	defer ticker.Stop()
	var spare []host.Step
	for {
		select {
		case <-r.wake:
		case <-ticker.C:
		}
		r.mu.Lock()
		steps, lost, closed := r.queue, r.lost, r.closed
		r.queue, r.lost = spare, 0
		r.mu.Unlock()
		if err := r.write(steps, lost); err != nil {
			r.giveUp(err)
			return
		}
		if closed {
			return
		}
		clear(steps)
		if spare = steps[:0]; cap(spare) > mostSpare {
			spare = nil
		}
	}
}

// giveUp ends the recording: a full disk must not end a build.
func (r *Recorder) giveUp(err error) {
	r.mu.Lock()
	r.queue, r.lost = make([]host.Step, maxQueue), 0 // no more is taken
	r.mu.Unlock()
	if r.o.Failed != nil {
		r.o.Failed(fmt.Errorf("flight recorder: %w", err))
	}
}

// write writes steps in frames, and then how many are lost.
func (r *Recorder) write(steps []host.Step, lost uint64) error {
	for len(steps) > 0 {
		n := 0
		r.segment.begin(stepsFrame)
		for n < len(steps) && len(r.segment.buf) < frameSize {
			r.segment.step(&steps[n])
			n++
		}
		if err := r.put(r.segment.end()); err != nil {
			return err
		}
		steps = steps[n:]
		if r.size >= r.o.Size/segments {
			if err := r.rotate(); err != nil {
				return err
			}
		}
	}
	if lost > 0 {
		return r.put(r.segment.lost(lost))
	}
	return nil
}

func (r *Recorder) put(frame []byte) error {
	n, err := r.file.Write(frame)
	r.size += int64(n)
	return err
}

// rotate goes on in a new file, and removes the oldest ones to make room for it.
func (r *Recorder) rotate() error {
	if err := r.closeFile(); err != nil {
		return err
	}
	if err := prune(r.o.Dir, r.o.Size-r.o.Size/segments); err != nil {
		return err
	}
	h := r.o.Header
	h.Segment = r.number
	f, err := os.OpenFile(filepath.Join(r.o.Dir, fileName(h)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	r.file, r.segment, r.size = f, newSegment(), 0
	r.number++
	frame, err := r.segment.header(h)
	if err != nil {
		return err
	}
	return r.put(append([]byte(magic), frame...))
}

func (r *Recorder) closeFile() error {
	if r.file == nil {
		return nil
	}
	f := r.file
	r.file = nil
	return f.Close()
}
