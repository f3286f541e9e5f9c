package binarycache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"troupe/storage/transfer"
)

// take waits for a token of a bound.
func take(ctx context.Context, bound chan struct{}) error {
	select {
	case bound <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// request tries until it succeeds, fails for good, or the attempts are used up. It holds one of the place's tokens
// while it tries, and none in the pauses.
func (c *Cache) request(ctx context.Context, what verb, file string, try func() error) error {
	for attempt := uint(1); ; attempt++ {
		err := c.attempt(ctx, try)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errAbsent):
			return err
		}
		if classOf(err) != Transient || attempt >= c.pool.settings.Attempts || c.Status().State == Open {
			return c.explain(what, file, err)
		}
		if err := c.pause(ctx, attempt, err); err != nil {
			return err
		}
	}
}

func (c *Cache) attempt(ctx context.Context, try func() error) error {
	if err := take(ctx, c.place.requests); err != nil {
		return err
	}
	defer func() { <-c.place.requests }()
	ticket, status, ok := c.place.ask()
	if !ok {
		return c.disabled(status)
	}
	err := try()
	c.place.tell(ticket, healthOf(ctx, err))
	return err
}

// pause waits before another attempt, and says so.
func (c *Cache) pause(ctx context.Context, attempt uint, err error) error {
	wait := transfer.Pause(c.pool.settings.RetryDelay, attempt, err)
	if c.pool.settings.Warn != nil {
		c.pool.settings.Warn(fmt.Sprintf("'%s': %v; retrying in %d ms (attempt %d/%d)", c, err, wait.Milliseconds(), attempt, c.pool.settings.Attempts))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// verb is what a request does to a file.
type verb string

const (
	download verb = "download"
	upload   verb = "upload"
)

// explain makes an error of a file into one of the cache.
func (c *Cache) explain(what verb, file string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return c.fail(classOf(err), fmt.Errorf("unable to %s '%s': %w", what, c.show(file), err))
}

// soon ends an attempt to get a small file, of which a server that is well has sent the last byte long before.
func soon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, answerTimeout, fmt.Errorf("no whole answer came in %v", answerTimeout))
}

const answerTimeout = 30 * time.Second

// text reads a small file; there being none is errAbsent.
func (c *Cache) text(ctx context.Context, file string) (text []byte, err error) {
	err = c.request(ctx, download, file, func() error {
		ctx, cancel := soon(ctx)
		defer cancel()
		f, err := c.place.files.get(ctx, file, 0)
		if err != nil {
			return err
		}
		text, err = c.readText(f)
		return errors.Join(err, f.Close())
	})
	return text, err
}

func (c *Cache) readText(f *content) ([]byte, error) {
	plain, err := f.decoded(&c.pool.unpackers)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(plain, maxText+1))
	err = errors.Join(err, plain.Close())
	if err == nil && n > maxText {
		err = fmt.Errorf("it has more than %d bytes", maxText)
	}
	return b.Bytes(), err
}

// decoded undoes what the server did to a text for its way.
func (f *content) decoded(u *unpackers) (io.ReadCloser, error) {
	switch f.encoding {
	case "", "identity":
		return io.NopCloser(f), nil
	}
	return u.unpack(context.Background(), strings.TrimPrefix(f.encoding, "x-"), f)
}

// open opens a text of any length.
func (c *Cache) open(ctx context.Context, file string) (io.ReadCloser, error) {
	var s *stream
	err := c.request(ctx, download, file, func() error {
		f, err := c.place.files.get(ctx, file, 0)
		if err != nil {
			return err
		}
		plain, err := f.decoded(&c.pool.unpackers)
		if err != nil {
			return errors.Join(err, f.Close())
		}
		s = &stream{plain, f}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// stream is a text and the file that it comes from.
type stream struct {
	io.ReadCloser
	under io.Closer
}

func (s *stream) Close() error { return errors.Join(s.ReadCloser.Close(), s.under.Close()) }

func (c *Cache) has(ctx context.Context, file string) (there bool, err error) {
	err = c.request(ctx, download, file, func() (err error) {
		ctx, cancel := soon(ctx)
		defer cancel()
		there, err = c.place.files.has(ctx, file)
		return err
	})
	return there, err
}

func (c *Cache) put(ctx context.Context, file, kind string, b body) error {
	return c.request(ctx, upload, file, func() error { return c.place.files.put(ctx, file, kind, b) })
}

func (c *Cache) putText(ctx context.Context, file, kind string, text []byte) error {
	return c.put(ctx, file, kind, bytes.NewReader(text))
}
