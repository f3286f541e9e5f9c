package linux_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// What a builder tries, and how the kernel answers, is in testdata/attacks.
func TestAttacks(t *testing.T) {
	attacker := map[string]string{"attacker": compiled(t, "attacker")}
	datadriven.RunTest(t, "testdata/attacks", func(t *testing.T, d *datadriven.TestData) string {
		if d.Cmd == "legacy" && runtime.GOARCH != "amd64" {
			return d.Expected // newer machines have no such calls
		}
		r := boxRequest(t, attacker)
		r.Builder = testStore.Join(r.Inputs[0]) + "/attacker"
		r.Args = []string{r.Builder, d.Cmd}
		out, _ := runRequest(t, r)
		if d.Cmd == "namespace" && strings.Contains(out, "a user namespace: ") {
			return d.Expected // this kernel refuses builders even that
		}
		return out
	})
}
