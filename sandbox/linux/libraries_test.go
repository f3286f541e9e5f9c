package linux_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"troupe/sandbox/linux"
)

// TestOwnLibraries: they are what ldd says of this program, which CI runs linked
// with libraries and without.
func TestOwnLibraries(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	said, _ := exec.Command("ldd", program).Output() // it fails where there are none
	var want []string
	for _, word := range strings.Fields(string(said)) {
		if real, err := filepath.EvalSymlinks(word); err == nil && strings.HasPrefix(word, "/") {
			want = append(want, real)
		}
	}
	libraries, err := linux.OwnLibraries()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range libraries {
		got = append(got, l.Outside)
	}
	// It may have loaded more since, to look up users for instance.
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("ldd says '%s', we say %q", w, got)
		}
	}
	if len(want) == 0 && len(got) > 0 {
		t.Errorf("ldd says nothing, we say %q", got)
	}
}
