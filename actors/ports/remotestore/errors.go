package remotestore

import (
	"errors"
	"fmt"
)

// ErrNobody is that nobody listens at a socket.
var ErrNobody = errors.New("nobody listens there")

// RefusedError is a store that takes no client, or not this one.
type RefusedError struct{ Store, Reason string }

func (e *RefusedError) Error() string { return fmt.Sprintf("connect to %s: %s", e.Store, e.Reason) }

// LostError is a store that went away before it had answered: a connection of no
// use any more.
type LostError struct {
	Store string
	Err   error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("ask %s: it went away: %v", e.Store, e.Err)
}
func (e *LostError) Unwrap() error { return e.Err }

// UnreachableError is a store to which there is no way.
type UnreachableError struct {
	Store string
	Err   error
}

func (e *UnreachableError) Error() string { return fmt.Sprintf("connect to %s: %v", e.Store, e.Err) }
func (e *UnreachableError) Unwrap() error { return e.Err }

// IsLost reports whether an error is a store that cannot be reached, that went
// away, or that takes nobody: another one may do what this one cannot.
func IsLost(err error) bool {
	var lost *LostError
	var refused *RefusedError
	var unreachable *UnreachableError
	return errors.As(err, &lost) || errors.As(err, &refused) || errors.As(err, &unreachable)
}
