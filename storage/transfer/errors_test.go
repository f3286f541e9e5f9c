package transfer

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{"3": 3 * time.Second, "": 0, "-1": 0, "soon": 0, "99999999999999999999": 0,
		"Wed, 25 Nov 2026 10:00:09 GMT": 9 * time.Second, "Wed, 25 Nov 2026 09:00:00 GMT": 0} {
		if got := retryAfter(http.Header{"Retry-After": {text}, "Date": {"Wed, 25 Nov 2026 10:00:00 GMT"}}); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	err := Refuse(&http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"7"}}})
	var passing *TransientError
	if !errors.As(err, &passing) || passing.After != 7*time.Second {
		t.Errorf("%v", err)
	}
}

// A pause doubles, is at least what the server asked for, at most a minute, and a quarter is left to chance.
func TestPause(t *testing.T) {
	asks := func(after time.Duration) error { return &TransientError{Reason: errors.New("x"), After: after} }
	for _, c := range []struct {
		attempt uint
		err     error
		want    time.Duration
	}{
		{1, asks(0), 250 * time.Millisecond},
		{2, asks(0), 500 * time.Millisecond},
		{4, asks(time.Second), 2 * time.Second},
		{2, asks(7 * time.Second), 7 * time.Second},
		{1, asks(time.Hour), time.Minute},
		{90, asks(0), time.Minute},
	} {
		for range 20 {
			if got := Pause(0, c.attempt, c.err); got < c.want || got > c.want*5/4 {
				t.Errorf("attempt %d after %v: %v, want %v and up to a quarter more", c.attempt, c.err, got, c.want)
			}
		}
	}
}
