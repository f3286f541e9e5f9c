package binarycache

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// Each line of a file is a time and what happens then; the answer is the state after each.
func TestBreaker(t *testing.T) {
	datadriven.Walk(t, "testdata/breaker", func(t *testing.T, path string) {
		var b Breaker
		tickets := map[string]Ticket{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			now, err := time.Parse(time.TimeOnly, d.CmdArgs[0].Key)
			if err != nil {
				t.Fatal(err)
			}
			answer := ""
			for _, arg := range d.CmdArgs[1:] {
				switch d.Cmd {
				case "ask":
					ticket, ok := b.Ask(now)
					if tickets[arg.Key] = ticket; !ok {
						answer += arg.Key + " is refused; "
					}
				case "fails":
					b.Failed(tickets[arg.Key], now)
				case "succeeds":
					b.Succeeded()
				case "abandoned":
					b.Abandoned(tickets[arg.Key])
				default:
					t.Fatalf("no command %q", d.Cmd)
				}
			}
			return fmt.Sprintf("%s%v\n", answer, &b)
		})
	})
}
