package outputcheck

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"troupe/storage/storepath"
)

const dir = storepath.Dir("/nix/store")

// path makes up a store path of which the name is the only thing that a test says.
func path(t *testing.T, name string) storepath.Path {
	t.Helper()
	p, err := storepath.ParseBase(strings.Repeat("0", 32) + "-" + name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// world is what the lines before a check have said: "output NAME" and "valid NAME" with size and references.
type world struct {
	outputs map[string]Output
	valid   map[storepath.Path]Output
}

func (w *world) lookup(p storepath.Path) (uint64, []storepath.Path, error) {
	if found, ok := w.valid[p]; ok {
		return found.NarSize, found.References, nil
	}
	return 0, nil, fmt.Errorf("path %q is not valid", p.Base())
}

// TestCheck runs testdata/check. "valid NAME size=N refs=(A,B)" and "output NAME size=N refs=(A,B)" make paths (that of output X is
// named drv-X); "check" takes rules, one a line: output name, kind, values (a name with "/" before it is a path).
// The texts that refusals have in it are those of Nix 2.34.8, which was given the same derivations.
func TestCheck(t *testing.T) {
	w := &world{outputs: map[string]Output{}, valid: map[storepath.Path]Output{}}
	datadriven.RunTest(t, "testdata/check", func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "clear":
			w.outputs, w.valid = map[string]Output{}, map[storepath.Path]Output{}
			return ""
		case "valid":
			o := parseOutput(t, d, d.CmdArgs[0].Key)
			w.valid[o.Path] = o
			return ""
		case "output":
			w.outputs[d.CmdArgs[0].Key] = parseOutput(t, d, "drv-"+d.CmdArgs[0].Key)
			return ""
		}
		request := Request{Dir: dir, Derivation: path(t, "drv.drv"), Outputs: w.outputs, Rules: parseRules(t, d), Lookup: w.lookup}
		err := Check(request)
		var rejected *Rejection
		switch {
		case err == nil:
			return "ok\n"
		case errors.As(err, &rejected):
			return "rejected: " + err.Error() + "\n"
		}
		return "error: " + err.Error() + "\n"
	})
}

func parseOutput(t *testing.T, d *datadriven.TestData, name string) Output {
	t.Helper()
	o := Output{Path: path(t, name), NarSize: 100}
	for _, arg := range d.CmdArgs[1:] {
		if arg.Key == "size" {
			size, err := strconv.ParseUint(arg.Vals[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			o.NarSize = size
			continue
		}
		for _, reference := range arg.Vals {
			o.References = append(o.References, path(t, reference))
		}
	}
	return o
}

func parseRules(t *testing.T, d *datadriven.TestData) map[string]Rules {
	t.Helper()
	all := map[string]Rules{}
	for _, line := range strings.Split(d.Input, "\n") {
		words := strings.Fields(line)
		rules := all[words[0]]
		list := []Reference{}
		for _, word := range words[2:] {
			if name, ok := strings.CutPrefix(word, "/"); ok {
				list = append(list, Reference{Path: path(t, name)})
			} else {
				list = append(list, Reference{Output: word})
			}
		}
		switch words[1] {
		case "allowedReferences":
			rules.AllowedReferences = list
		case "allowedRequisites":
			rules.AllowedRequisites = list
		case "disallowedReferences":
			rules.DisallowedReferences = list
		case "disallowedRequisites":
			rules.DisallowedRequisites = list
		case "maxSize", "maxClosureSize":
			limit, err := strconv.ParseUint(words[2], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if words[1] == "maxSize" {
				rules.MaxSize = &limit
			} else {
				rules.MaxClosureSize = &limit
			}
		case "ignoreSelfRefs":
			rules.IgnoreSelfRefs = true
		default:
			t.Fatalf("unknown rule %q", words[1])
		}
		all[words[0]] = rules
	}
	return all
}
