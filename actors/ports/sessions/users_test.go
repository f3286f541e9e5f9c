package sessions

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestNamesAreRemembered until one of the files with them is another.
func TestNamesAreRemembered(t *testing.T) {
	var u Users
	if p := u.Lookup(0, 0, 7); p.User != "root" || p.PID != 7 {
		t.Fatalf("root is %+v", p)
	}
	from, settled := stamps(userFiles, time.Now())
	if !settled {
		t.Skip("somebody is changing /etc/passwd or /etc/group")
	}
	u.known[ids{}] = Peer{User: "remembered"}
	if p := u.Lookup(0, 0, 8); p.User != "remembered" || p.PID != 8 {
		t.Errorf("what was known is %+v", p)
	}
	u.from[1].ino++
	if p := u.Lookup(0, 0, 9); p.User != "root" {
		t.Errorf("by other files it is %+v", p)
	}
	if u.from != from {
		t.Errorf("it is of %v, the files are %v", u.from, from)
	}
}

// TestStamps: a file that is written again, replaced or removed has another stamp,
// and what is written right now counts for nothing.
func TestStamps(t *testing.T) {
	file := filepath.Join(t.TempDir(), "group")
	files := [2]string{file, file + "-none"}
	seen := map[[2]stamp]bool{}
	look := func(what string) {
		t.Helper()
		s, settled := stamps(files, time.Now())
		if seen[s] {
			t.Errorf("%s: it looks as before", what)
		}
		seen[s] = true
		if _, exists := os.Stat(file); exists == nil && settled {
			t.Errorf("%s: it is settled at once", what)
		}
		if _, settled := stamps(files, time.Now().Add(settling+time.Second)); !settled {
			t.Errorf("%s: it does not settle", what)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	look("none")
	write(file, "a")
	look("one")
	write(file, "ab")
	look("a longer one")
	write(file+"-new", "ab")
	if err := os.Rename(file+"-new", file); err != nil {
		t.Fatal(err)
	}
	look("another")
}
