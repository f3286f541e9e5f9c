package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"troupe/cmd/troupe-bench/report"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"troupe-bench": main}) }

// bench is a run of Nix's daemon against itself, with its stores below dir.
func bench(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	for _, tool := range []string{"nix-daemon", "nix-store", "busybox"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is missing", tool)
			}
			t.Skipf("%s is missing", tool)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("daemons of one's own need root")
	}
	return exec.Command("troupe-bench", append([]string{"--dir", dir, "--self-command", "nix-daemon", "--rounds", "1"}, args...)...)
}

// place is a directory that build users can come through.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "troupe-bench-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// empty reports what a run has left.
func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(dir + "/*")
	if err != nil || len(left) > 0 {
		t.Errorf("the run leaves %v, %v", left, err)
	}
}

// TestRun: both sides do the work, and what they do is right.
func TestRun(t *testing.T) {
	dir := place(t)
	cmd := bench(t, dir, "--rows", "P1,P8,P12,E", "--scale", "0.02", "--json", "-q")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var r report.Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.Self.Version, "Nix") || r.Peer == nil || r.Machine.CPUs == 0 {
		t.Errorf("it says of itself %+v", r)
	}
	items := []int{2, 100, 101, 101, 21, 21, 1} // P12 is two rows, E three
	if len(r.Rows) != len(items) {
		t.Fatalf("%d rows", len(r.Rows))
	}
	for n, row := range r.Rows {
		if len(row.Self) != 1 || len(row.Peer) != 1 || row.Error != "" {
			t.Errorf("%s: %+v", row.Name, row)
			continue
		}
		for _, s := range []report.Sample{row.Self[0], row.Peer[0]} {
			if s.Items != items[n] || s.Wall <= 0 || s.CPU <= 0 || s.Peak < 1<<20 {
				t.Errorf("%s: %+v", row.Name, s)
			}
		}
	}
	empty(t, dir)
}

// TestInterrupted: Ctrl-C leaves nothing behind.
func TestInterrupted(t *testing.T) {
	dir := place(t)
	cmd := bench(t, dir, "--rows", "P13")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if found, _ := filepath.Glob(dir + "/*/peer/nix/store/*sleep-0*"); len(found) > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no derivation appears")
		}
	}
	if err := unix.Kill(-cmd.Process.Pid, unix.SIGINT); err != nil { // as a terminal does
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("it ends with %v", err)
	}
	empty(t, dir)
}

// TestFaulty: a daemon that does not start is no daemon.
func TestFaulty(t *testing.T) {
	dir := place(t)
	out, err := bench(t, dir, "--rows", "P1", "--self-command", "false").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "start the daemon 'self': it ended") {
		t.Errorf("%v: %s", err, out)
	}
	empty(t, dir)
}
