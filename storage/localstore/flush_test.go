package localstore_test

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
)

func TestFlush(t *testing.T) {
	l := layout(t)
	few, many := tree(t, map[string]string{"a": "x"}), map[string]string{}
	for i := range 40 {
		many[fmt.Sprint(i)] = "x"
	}
	for _, top := range []string{few, tree(t, many)} {
		if err := l.Flush(top); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
}

// That the disk did not take something is told apart from what can be tried
// again.
func TestFlushThatFails(t *testing.T) {
	top := tree(t, map[string]string{"a": "x"})
	if err := layoutIn("/nonexistent").Flush(top); err == nil || errors.Is(err, localstore.ErrLost) {
		t.Error(err)
	}
	unflushable := localstore.Layout{Dir: "/proc"}
	if err := unflushable.Flush(top); !errors.Is(err, localstore.ErrLost) || !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
}
