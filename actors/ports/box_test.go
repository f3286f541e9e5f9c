package ports

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"troupe/sandbox"
)

// Through what leads to a process outside, a builder could hand on its box.
func TestWhoseBoxIsAnothers(t *testing.T) {
	dir := t.TempDir()
	file, socket := filepath.Join(dir, "file"), filepath.Join(dir, "socket")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for source, want := range map[string]bool{file: true, "/dev/null": true, socket: false, dir: false, dir + "/gone": false} {
		b := &build{box: &box{}, spec: sandbox.Spec{Mounts: []sandbox.Mount{{Kind: sandbox.Bind, Source: source, Target: "/x"}}}}
		b.spec.Spaces.PID, b.spec.Spaces.Net = true, true
		if got := b.recyclable(); got != want {
			t.Errorf("with '%s': %v, want %v", source, got, want)
		}
		b.spec.Spaces.Net = false
		if b.recyclable() {
			t.Errorf("with the network and '%s': true", source)
		}
	}
}
