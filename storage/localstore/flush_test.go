package localstore_test

import (
	"fmt"
	"testing"
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
