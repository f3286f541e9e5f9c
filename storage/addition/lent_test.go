package addition_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"troupe/storage/addition"
	"troupe/storage/nixhash"
	"troupe/storage/pathlock"
)

// TestLent: a path whose lock is held can be added by who is lent it, and by nobody
// else; and once it is taken back by nobody.
func TestLent(t *testing.T) {
	s := newStore(t)
	p, err := s.Dir.MakeText("one", nixhash.Sum(nixhash.SHA256, []byte("one")), nil)
	must(t, err)
	held, err := pathlock.TryLock([]string{s.RealPath(p)})
	must(t, err)
	lent := &addition.Lent{}
	borrower, other := s.adder(), s.adder()
	borrower.Lent = lent
	waits := func(a *addition.Adder) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := a.Text(ctx, "one", []byte("one"), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it does not wait for the lock: %v", err)
		}
	}
	waits(borrower)
	back := lent.Lend(p)
	waits(other)
	back()
	waits(borrower)
	back = lent.Lend(p)
	if _, err := borrower.Text(t.Context(), "one", []byte("one"), nil); err != nil {
		t.Fatal(err)
	}
	back()
	must(t, held.Release(true))
	s.want(t, p)
}
