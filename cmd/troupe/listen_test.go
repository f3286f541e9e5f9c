package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestListenAt: the name of a socket is taken from nothing but a socket, and of what goes
// wrong the name is said that was asked for.
func TestListenAt(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := errors.Join(os.WriteFile(file, []byte("precious"), 0o600), os.Mkdir(filepath.Join(dir, "dir"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{file, "something that is no socket lies there"},
		{filepath.Join(dir, "dir"), "something that is no socket lies there"},
		{filepath.Join(file, "below"), "mkdir " + file + ": not a directory"},
		{"/proc/self/socket", "no such file or directory"},
	} {
		l, err := listenAt(c.path)
		if err == nil {
			l.Close()
			t.Errorf("%s: it listens", c.path)
		} else if want := "listen at '" + c.path + "': " + c.want; err.Error() != want {
			t.Errorf("%s: %v, want %s", c.path, err, want)
		}
	}
	if text, err := os.ReadFile(file); string(text) != "precious" {
		t.Errorf("the file holds %q (%v)", text, err)
	}
	if names := strings.Join(namesIn(dir), " "); names != "dir file" {
		t.Errorf("there are %s", names)
	}
}

// TestAdoptAsUser: whoever has no hand in the machine's store is told which one was looked at.
func TestAdoptAsUser(t *testing.T) {
	env := func(name string) (string, bool) { return "/data", name == "XDG_DATA_HOME" }
	for root, hints := range map[string]bool{"/data/troupe": true, "": false, "/elsewhere": false} {
		said := explain(notOurs(location{Root: root}, env, errors.New("no database")))
		if strings.Contains(said, "hint: that is the store of your own") != hints || !strings.HasPrefix(said, "error: no database\n") {
			t.Errorf("below '%s': %s", root, said)
		}
	}
}
