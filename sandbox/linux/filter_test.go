package linux_test

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"troupe/sandbox"
	"troupe/sandbox/linux"
)

// A builder has one filter more than we do, or none: those are forked by a thread
// of the launcher that is without.
func TestFilters(t *testing.T) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	var own int
	if _, err := fmt.Sscanf(string(regexp.MustCompile(`Seccomp_filters:.*`).Find(status)), "Seccomp_filters: %d", &own); err != nil {
		t.Skip("this kernel does not count filters")
	}
	l := launcher(t)
	for _, filtered := range []bool{true, false, true} {
		p, err := l.Start(sandbox.Spec{Builder: static(t), Args: []string{"grep", "Seccomp_filters", "/proc/self/status"}, Dir: "/",
			Identity: ownIdentity(), FilterSyscalls: filtered}, linux.Places{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := own
		if filtered {
			want++
		}
		if out := drain(t, p); out != fmt.Sprintf("Seccomp_filters:\t%d\n", want) {
			t.Errorf("with a filter %v: %q, where ours are %d", filtered, out, own)
		}
		p.Wait()
	}
}
