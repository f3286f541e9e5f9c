package transfer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

// TransientError is a failure after which another attempt may go better, not before a while where the server
// said so.
type TransientError struct {
	Reason error
	After  time.Duration
}

func (e *TransientError) Error() string { return e.Reason.Error() }
func (e *TransientError) Unwrap() error { return e.Reason }

// StatusError is an answer that is not the one that was wanted.
type StatusError struct{ Code int }

func (e *StatusError) Error() string { return fmt.Sprintf("HTTP error %d", e.Code) }

// Classify turns a network error into ours: the URL in it is dropped, as that of a redirect may hold secrets. Where
// the request's context has ended, its cause is the reason.
func Classify(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return &TransientError{Reason: cause}
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var refused *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	if errors.As(err, &refused) || errors.As(err, &notTLS) || errors.Is(err, errRedirect) {
		return err
	}
	return &TransientError{Reason: err}
}

// Refuse sorts answers as Nix does: most of what a server says of itself (5xx) may pass, and so may a time-out and
// "too many requests"; what it says of the request does not. The error wraps a [*StatusError].
func Refuse(response *http.Response) error {
	err := &StatusError{response.StatusCode}
	switch code := response.StatusCode; {
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
	case code == http.StatusNotImplemented, code == http.StatusHTTPVersionNotSupported, code == http.StatusNetworkAuthenticationRequired:
		return err
	case code < 500:
		return err
	}
	return &TransientError{Reason: err, After: retryAfter(response.Header)}
}

// retryAfter reads seconds, or a date by the server's own clock; 0 where there is neither.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if then, err := http.ParseTime(text); err == nil {
		now, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			now = time.Now()
		}
		return max(then.Sub(now), 0)
	}
	wait, err := time.ParseDuration(text + "s")
	if err != nil || wait < 0 {
		return 0
	}
	return wait
}

const (
	// FirstDelay is Nix's wait before the second attempt.
	FirstDelay = 250 * time.Millisecond
	// maxDelay bounds a wait, whatever a server asks for.
	maxDelay = 60 * time.Second
)

// Pause is the wait after a failed attempt, counted from 1: first (0: [FirstDelay]) doubled for each attempt, or what
// the server asked for, and up to a quarter more, so that many who failed together do not come back together.
func Pause(first time.Duration, attempt uint, err error) time.Duration {
	if first == 0 {
		first = FirstDelay
	}
	pause := min(first<<min(attempt-1, 20), maxDelay)
	var passing *TransientError
	if errors.As(err, &passing) {
		pause = max(pause, min(passing.After, maxDelay))
	}
	return pause + time.Duration(rand.Int64N(int64(pause)/4+1))
}
