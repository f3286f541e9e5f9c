package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
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
