package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFullDiskOfUploads: a disk that fills up in the middle of what a client
// adds is the end of that operation alone: the client is told why, nothing of it
// stays, what fits is taken from others, and with space it is taken.
func TestFullDiskOfUploads(t *testing.T) {
	needNix(t)
	if !inOwnMounts(t) {
		return
	}
	f := newFiller(t, "/nix/store")
	socket, big, small := filepath.Join(f.work, "socket"), filepath.Join(f.work, "big"), filepath.Join(f.work, "small")
	for file, size := range map[string]int{big: 6 << 20, small: 100} {
		if err := os.WriteFile(file, []byte(strings.Repeat("x", size)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	daemon := f.command("daemon", "--socket", socket)
	var said lines
	daemon.Stdout, daemon.Stderr = &said, &said
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer daemon.Process.Kill() // which has ended, if all is well
	said.await(t, "clients may come")
	client := func(args ...string) outcome {
		cmd := exec.Command("nix-store", args...)
		cmd.Env = append(f.env, "NIX_REMOTE=unix://"+socket)
		return f.finish(cmd)
	}
	f.leave(1<<20, plenty)
	for range 3 {
		if o := client("--add", big); o.code == 0 || !strings.Contains(strings.ToLower(o.stderr), "no space left on device") {
			t.Errorf("to add what does not fit: %d %s%s", o.code, o.stdout, o.stderr)
		}
		if left := namesIn(f.layout().StagingDir()); len(left) > 1 { // the directory of sandboxes
			t.Errorf("staged are %q", left)
		}
	}
	if o := client("--add", small); o.code != 0 {
		t.Errorf("to add what fits: %d %s", o.code, o.stderr)
	}
	f.leave(plenty, plenty)
	if o := client("--add", big); o.code != 0 {
		t.Errorf("with space: %d %s", o.code, o.stderr)
	}
	if o := client("--verify", "--check-contents"); o.code != 0 {
		t.Errorf("verify: %d %s", o.code, o.stderr)
	}
	if err := daemon.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Wait(); err != nil {
		t.Errorf("%v\n%s", err, said.String())
	}
}
