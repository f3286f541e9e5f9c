package linux_test

import (
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// A builder finds here what it finds under Nix.
func TestViewIsNix(t *testing.T) {
	script, err := os.ReadFile("testdata/view.sh")
	if err != nil {
		t.Fatal(err)
	}
	datadriven.RunTest(t, "testdata/view", func(t *testing.T, d *datadriven.TestData) string {
		r := boxRequest(t, nil)
		if d.HasArg("fixed") {
			makeFixed(&r)
		}
		r.Args = []string{"sh", "-c", string(script)}
		r.Env = []string{"in=" + strings.TrimSuffix(r.Builder, "/busybox")}
		out, e := runRequest(t, r)
		if e.Code != 0 {
			t.Errorf("%+v", e)
		}
		return out
	})
}
