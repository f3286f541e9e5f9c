// Package machinetest plays conversations kept as golden text to a machine.
//
// A file is a series of messages. The command is the message's name, its input
// the body as JSON, and the output what the machine asks of the host and its
// state afterwards. A store path is written "@name"; its hash part is all
// zeros. The command "new" starts afresh.
package machinetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"troupe/actors/host"
	"troupe/messages"
)

// zeros stands for every hash part.
const zeros = "00000000000000000000000000000000-"

// Walk plays every file of a directory; fresh makes the machine that a "new"
// command with these arguments starts.
func Walk(t *testing.T, dir string, fresh func(t *testing.T, d *datadriven.TestData) host.Machine) {
	t.Helper()
	datadriven.Walk(t, dir, func(t *testing.T, path string) {
		var m host.Machine
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "new" {
				m = fresh(t, d)
				return m.String() + "\n"
			}
			msg := messages.New(d.Cmd)
			if msg == nil {
				d.Fatalf(t, "no such message")
			}
			body := strings.ReplaceAll(d.Input, `"@`, `"`+zeros)
			if body != "" {
				if err := json.Unmarshal([]byte(body), msg); err != nil {
					d.Fatalf(t, "%v", err)
				}
			}
			return strings.ReplaceAll(play(m, msg), zeros, "@")
		})
	})
}

func play(m host.Machine, msg messages.Message) (out string) {
	defer func() {
		if p := recover(); p != nil {
			out = fmt.Sprintf("panic: %v\n", p)
		}
	}()
	var b strings.Builder
	for _, e := range m.Step(msg) {
		fmt.Fprintf(&b, "%v\n", e)
	}
	fmt.Fprintf(&b, "[%v]\n", m)
	return b.String()
}
