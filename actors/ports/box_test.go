package ports

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
	"troupe/storage/storepath"
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
	showing := func(m sandbox.Mount) *build {
		b := &build{box: &box{}, spec: sandbox.Spec{Mounts: []sandbox.Mount{m}}}
		b.spec.Spaces = sandbox.Namespaces{PID: true, Net: true, User: true}
		return b
	}
	for source, want := range map[string]bool{file: true, "/dev/null": true, "/dev/console": false, socket: false, dir: false, dir + "/gone": false} {
		for _, readOnly := range []bool{false, true} { // which keeps nobody from connecting
			b := showing(sandbox.Mount{Kind: sandbox.Bind, Source: source, Target: "/x", ReadOnly: readOnly})
			if got := b.recyclable("/the/store"); got != want {
				t.Errorf("with '%s', read-only %v: %v, want %v", source, readOnly, got, want)
			}
			b.spec.Spaces.Net = false
			if b.recyclable("/the/store") {
				t.Errorf("with the network and '%s': true", source)
			}
		}
	}
	input := showing(sandbox.Mount{Kind: sandbox.Bind, Source: dir, Target: "/x", ReadOnly: true})
	if !input.recyclable(filepath.Dir(dir)) {
		t.Error("with an input: false")
	}
	input.spec.Spaces.User = false
	if input.recyclable(filepath.Dir(dir)) {
		t.Error("without a user namespace: true")
	}
}

// The directories of a box that is used again are as young as those of a new one.
func TestABoxIsTakenAgain(t *testing.T) {
	work := t.TempDir()
	x := &box{dir: filepath.Join(work, "old"), store: filepath.Join(work, "store")}
	then := time.Unix(123456789, 0)
	for _, dir := range []string{x.dir, x.dir + "/build", x.dir + "/tmp", x.store} {
		if err := errors.Join(os.Mkdir(dir, 0o777), os.Chtimes(dir, then, then)); err != nil {
			t.Fatal(err)
		}
	}
	p := &Builds{boxes: []*box{x}}
	drv, err := storepath.ParseBase(strings.Repeat("0", 32) + "-a.drv")
	if err != nil {
		t.Fatal(err)
	}
	b := &build{path: drv, policy: BuildPolicy{BuildDir: work}}
	if ready, err := p.takeBox(b); !ready || err != nil {
		t.Fatal(ready, err)
	}
	for _, dir := range []string{b.hostBuild(), b.hostTmp(), b.places.Store} {
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil {
			t.Fatal(err)
		}
		if st.Mtim.Sec == then.Unix() || st.Atim.Sec == then.Unix() {
			t.Errorf("'%s' has the times that its last builder gave it", dir)
		}
	}
	if st, err := os.Stat(b.hostBuild()); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the build directory is %v, %v", st, err)
	}
}
