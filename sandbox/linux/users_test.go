package linux

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestMembers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "group")
	text := "root:x:0:\nnixbld:x:30000:nixbld1,nixbld2\nempty:x:7:\nbroken\nnixbldx:x:8:other\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for group, want := range map[string][]string{"nixbld": {"nixbld1", "nixbld2"}, "empty": nil, "absent": nil, "broken": nil} {
		if got, err := members(file, group); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q %v", group, got, err)
		}
	}
}

// The words are Nix's.
func TestGroupErrors(t *testing.T) {
	_, err := GroupUsers("no-such-group-here")
	if err == nil || err.Error() != "the group 'no-such-group-here' specified in 'build-users-group' does not exist" {
		t.Error(err)
	}
	if _, err = account("no-such-user-here", "g", 1); err == nil || err.Error() != "the user 'no-such-user-here' in the group 'g' does not exist" {
		t.Error(err)
	}
	if os.Geteuid() == 0 {
		if _, err = account("root", "g", 1); err == nil || err.Error() != "the Nix user should not be a member of 'g'" {
			t.Error(err)
		}
	}
}
