package main

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestManyJoin lets commands come and go at once, so that some find the store
// held, some served, and some in the moment between. All must get what they asked
// for.
func TestManyJoin(t *testing.T) {
	needBuilds(t)
	const commands, rounds = 6, 6
	work := tempDir(t)
	s := newTestStore(t, work, work+"/root")
	s.addBusybox(work)
	base := s.write(work, &recipe{name: "base", script: "echo base > $out"})
	var all sync.WaitGroup
	for i := range commands {
		var own []*recipe
		for n := range rounds {
			own = append(own, s.write(work, &recipe{name: fmt.Sprintf("job-%d-%d", i, n), script: "cat $inputs > $out", inputs: []*recipe{base}}))
		}
		all.Go(func() {
			for _, r := range own {
				got := s.run("build", "-j", "2", r.file)
				if want := storeDir.Join(r.paths["out"]) + "\n"; got.code != 0 || got.stdout != want {
					t.Errorf("%s: exit code %d, %q\n%s", r.name, got.code, got.stdout, got.stderr)
				}
			}
		})
	}
	all.Wait()
	if exists(daemonSocket(s.layout(), func(string) (string, bool) { return "", false })) {
		t.Error("the socket is still there")
	}
	s.want(0, "verify", "--contents")
	// Who holds the store records a run; who joins is in that of another.
	joined := commands*rounds - strings.Count(s.want(0, "journal", "--runs").stdout, "\n")
	t.Logf("%d of %d joined another", joined, commands*rounds)
	if joined == 0 {
		t.Error("nobody joined another")
	}
}

// TestNixServes: where Nix's own daemon has the store, commands use that.
func TestNixServes(t *testing.T) {
	n := newNixStore(t)
	program, err := exec.LookPath("nix-daemon")
	if err != nil {
		lacking(t, "nix-daemon")
	}
	daemon := exec.Command(program)
	daemon.Env, daemon.Dir = n.env, n.work
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endNix(t, daemon) })
	for end := time.Now().Add(time.Minute); !answers(n.work + "/var/daemon-socket/socket"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nix-daemon does not listen")
		}
	}
	before := n.dump()
	n.write("more.nix", `derivation { name = "more"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo line; echo more > $out" ]; }`)
	drv := n.run("nix-instantiate", "more.nix")
	got := n.try("troupe", "build", drv)
	made := strings.TrimSpace(got.stdout)
	if got.code != 0 || !strings.HasSuffix(made, "-more") || !strings.Contains(got.stderr, "building more\n") {
		t.Fatalf("troupe build: %+v", got)
	}
	if again := n.try("troupe", "build", drv+"^out"); again.code != 0 || strings.TrimSpace(again.stdout) != made || strings.Contains(again.stderr, "building") {
		t.Errorf("troupe build, again: %+v", again)
	}
	if size := n.run("nix-store", "-q", "--size", made); n.run("troupe", "path-info", "-s", made) != made+"\t"+size {
		t.Errorf("troupe path-info has another size than %s", size)
	}
	if log := n.run("troupe", "log", made); log != "line" {
		t.Errorf("troupe log: %q", log)
	}
	if got := len(records(n.run("troupe", "store", "dump-db") + "\n")); got != len(before)+2 {
		t.Errorf("troupe store dump-db has %d paths, want %d", got, len(before)+2)
	}
	n.write("bad.nix", `derivation { name = "bad"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo out of luck; exit 3" ]; }`)
	if got := n.try("troupe", "build", n.run("nix-instantiate", "bad.nix")); got.code != 100 || !strings.Contains(got.stderr, "error: builder for") || strings.Contains(got.stderr, "\x1b") {
		t.Errorf("a build that fails: %+v", got)
	}
	n.run("troupe", "gc", "--delete", made)
	if got := n.try("troupe", "path-info", made); got.code != exitFailure || !strings.Contains(got.stderr, "is not valid") {
		t.Errorf("what is deleted: %+v", got)
	}
	if got := n.try("troupe", "adopt", "--yes"); got.code != exitFailure || !strings.Contains(got.stderr, "a daemon listens at") {
		t.Errorf("adopt while it runs: %+v", got)
	}
}
