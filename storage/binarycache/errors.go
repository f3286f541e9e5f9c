package binarycache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"troupe/storage/transfer"
)

// Class says what a failure means for what was asked.
type Class uint8

const (
	Transient Class = iota // another attempt may go better; all attempts are used up
	Permanent              // the cache will not do it: refused, not a cache, another store
	Corrupt                // the cache is wrong about what it has
	Gone                   // the cache has it no more
	Disabled               // the cache was not asked: it is left alone for a while
)

func (c Class) String() string {
	return [...]string{"transient", "permanent", "corrupt", "gone", "disabled"}[c]
}

// Error is a failure of a cache. One of the caller, whose context ended or who cannot read, is none.
type Error struct {
	Cache  string
	Class  Class
	Status Status // of the breaker, for Disabled
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

func (c *Cache) fail(class Class, err error) error {
	return &Error{Cache: c.String(), Class: class, Err: err}
}

func (c *Cache) disabled(s Status) error {
	return &Error{Cache: c.String(), Class: Disabled, Status: s,
		Err: fmt.Errorf("substituter '%s' is disabled until %s: it has not answered since %s", c, s.Until.Format(time.TimeOnly), s.Since.Format(time.TimeOnly))}
}

// errAbsent is that a cache has no such file.
var errAbsent = errors.New("no such file in the cache")

// health is what one attempt shows of its cache.
type health uint8

const (
	well health = iota // it answered
	ill                // it did not, or badly
	mute               // we did not hear it out
)

// healthOf judges an attempt by its error.
func healthOf(ctx context.Context, err error) health {
	var passing *transfer.TransientError
	var status *transfer.StatusError
	var network net.Error
	switch {
	case ctx.Err() != nil:
		return mute
	case err == nil, errors.Is(err, errAbsent):
		return well
	case errors.As(err, &passing), errors.As(err, &status), errors.As(err, &network):
		return ill
	}
	return well
}

// classOf sorts the last error of a request.
func classOf(err error) Class {
	var passing *transfer.TransientError
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Class
	case errors.Is(err, errAbsent), errors.Is(err, fs.ErrNotExist):
		return Gone
	case errors.As(err, &passing):
		return Transient
	}
	return Permanent
}
