package caches

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"troupe/messages"
	"troupe/storage/binarycache"
)

// fetch makes what was found valid.
func (p *Caches) fetch(t *task, m *messages.FetchPath) messages.Message {
	f := t.found
	if !f.sub.remote {
		p.local <- struct{}{}
		defer func() { <-p.local }()
	}
	f.repair = m.Repair
	err := p.add(t.ctx, m, f)
	if err == nil {
		return &messages.PathFetched{}
	}
	failed := &messages.FetchFailed{More: f.more, Reason: err.Error()}
	var e *binarycache.Error
	switch {
	case !errors.As(err, &e):
	case e.Class == binarycache.Gone:
		failed.Gone = true
		failed.Reason = fmt.Sprintf("file '%s' does not exist in binary cache '%s'", f.nar.URL, f.sub)
	case e.Class == binarycache.Corrupt: // however that showed, it is Nix's word for it
		failed.Reason = fmt.Sprintf("hash mismatch importing path '%s': %v", p.s.Layout.Dir.Join(m.Path), err)
	}
	return failed
}

func (p *Caches) add(ctx context.Context, m *messages.FetchPath, f *Found) (err error) {
	if program, is := f.sub.source.(*programSource); is {
		return p.runProgram(ctx, m.From, f, program, m.Limits)
	}
	archive, err := f.sub.fetch(ctx, f.nar)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	counted := &counter{Reader: archive}
	defer p.tell(m.From, counted, archive)()
	in := readers.Get().(*bufio.Reader)
	in.Reset(counted)
	defer func() { in.Reset(nil); readers.Put(in) }()
	if f.Info.Path.IsDerivation() && f.Info.NarSize <= smallSize {
		err = p.addDerivation(ctx, f, in)
	} else {
		err = p.adder(f.policy).AddNar(ctx, f.Info, in, f.terms())
	}
	if err != nil {
		return err
	}
	// What is there is what was promised. A file that is not, or goes on, is the
	// cache's own concern; read to its end its connection can be used again.
	if _, err := io.Copy(io.Discard, in); err != nil {
		p.s.Log.Warn().Err(err).Str("substituter", f.sub.String()).Msg("fetch path")
	}
	return nil
}

// readers are kept for the next: most paths are small.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, bufferSize) }}

const (
	bufferSize = 64 << 10 // of a NAR that is read, in bytes
	smallSize  = 4 << 20  // that a derivation may have to be held in memory, in bytes
)

// addDerivation adds one derivation at a time: what is known of one makes it cheap
// to check the next.
func (p *Caches) addDerivation(ctx context.Context, f *Found, in io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(in, int64(f.Info.NarSize)))
	if err != nil {
		return err
	}
	p.drvs.Lock()
	defer p.drvs.Unlock()
	p.drvAdder.Trust, p.drvAdder.Optimiser = f.policy.Caches.Trust, p.s.OptimiserFor(f.policy)
	return p.drvAdder.AddNar(ctx, f.Info, bytes.NewReader(text), f.terms())
}

// progressEvery is how often observers are told of a fetch.
const progressEvery = 200 * time.Millisecond

// tell tells observers how a fetch goes on, until it is told to stop.
func (p *Caches) tell(goal messages.Address, unpacked *counter, archive archive) (stop func()) {
	say := func() {
		p.out.Send(messages.Progress, &messages.PathProgress{
			Goal: goal, Unpacked: uint64(unpacked.n.Load()), Received: uint64(archive.Received())})
	}
	var mu sync.Mutex // guards what follows
	over := false
	var next *time.Timer
	mu.Lock()
	defer mu.Unlock()
	next = time.AfterFunc(progressEvery, func() { // most fetches are over before
		mu.Lock()
		defer mu.Unlock()
		if !over {
			say()
			next.Reset(progressEvery)
		}
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		next.Stop()
		say()
	}
}

// counter counts what is read, for somebody else to see.
type counter struct {
	io.Reader
	n atomic.Int64 // bytes
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}
