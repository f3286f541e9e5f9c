package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// TestOrder: where there is one slot and nothing else decides, what is named first is
// built first, as with Nix; a client that stops at the first failure counts on it.
func TestOrder(t *testing.T) {
	needBuilds(t)
	work := tempDir(t)
	s := newTestStore(t, work, work+"/store")
	s.addBusybox(work)
	asked := regexp.MustCompile(`slots <- acquire-slot goal=drv/\S+-n(\d+)\.drv`)
	for round := range 2 {
		var files, want, got []string
		for n := range 9 {
			r := s.write(work, &recipe{name: fmt.Sprintf("r%d-n%d", round, n), script: "echo > $out"})
			files, want = append(files, r.file), append(want, fmt.Sprint(n))
		}
		s.want(0, append([]string{"build", "-j1", "--option", "substituters", ""}, files...)...)
		for _, m := range asked.FindAllStringSubmatch(s.want(0, "journal", "--actor", "slots").stdout, -1) {
			got = append(got, m[1])
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("slots are asked for in the order %q", got)
		}
	}
}
