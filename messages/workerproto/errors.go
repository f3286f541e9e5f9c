package workerproto

import (
	"errors"
	"fmt"
	"io"
)

// DecodeError is a message that cannot be read. The connection is of no use
// after it, as nobody knows where the next message begins. It wraps
// [io.ErrUnexpectedEOF] where the peer went away in mid-message.
type DecodeError struct {
	Message string // an operation, "reply to …", "hello", "frame …"
	Field   string
	Err     error
}

func (e *DecodeError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("read %s: %v", e.Message, e.Err)
	}
	return fmt.Sprintf("read %s: %s: %v", e.Message, e.Field, e.Err)
}

func (e *DecodeError) Unwrap() error { return e.Err }

// UnknownOpError is an operation that is not known, or no more. Its arguments
// cannot be skipped. The text is Nix's.
type UnknownOpError struct{ Op Op }

func (e *UnknownOpError) Error() string { return fmt.Sprintf("invalid operation %d", uint64(e.Op)) }

// MagicError is a peer that does not speak this protocol.
type MagicError struct{ Got uint64 }

func (e *MagicError) Error() string {
	return fmt.Sprintf("read hello: protocol mismatch: magic number %#x", e.Got)
}

// VersionError is a peer whose version is not spoken.
type VersionError struct{ Got uint64 }

func (e *VersionError) Error() string {
	v := Version(e.Got)
	switch {
	case e.Got > 0xffff:
		return fmt.Sprintf("read hello: %#x is no protocol version", e.Got)
	case v.Major() != Newest.Major():
		return fmt.Sprintf("read hello: protocol version %v is not supported, its major is not %d", v, Newest.Major())
	}
	return fmt.Sprintf("read hello: protocol version %v is too old, %v is needed", v, Oldest)
}

// UnsupportedError is a message that was read and asks for what cannot be done
// or cannot be said. The connection is in order.
type UnsupportedError struct{ What string }

func (e *UnsupportedError) Error() string { return e.What + " is not supported" }

// Reasons of a [*DecodeError].
var (
	errPadding = errors.New("the padding is not zero")
	errBudget  = errors.New("the message is too large")
)

// cut turns the end of the stream into its end in mid-message.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
