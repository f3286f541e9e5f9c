package validity

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// dump shows all records but the format's, with keys and values as text where
// they are.
func dump(t testing.TB, db *DB) string {
	t.Helper()
	iter, err := db.pebble.NewIter(nil)
	must(t, err)
	var b strings.Builder
	for iter.First(); iter.Valid(); iter.Next() {
		if string(iter.Key()) != string(formatKey) {
			fmt.Fprintf(&b, "%+q = %+q\n", iter.Key(), iter.Value())
		}
	}
	must(t, iter.Error())
	must(t, iter.Close())
	return b.String()
}

// changes shows the lines that went and came.
func changes(before, after string) string {
	var b strings.Builder
	for line := range strings.Lines(before) {
		if !strings.Contains(after, line) {
			b.WriteString("- " + line)
		}
	}
	for line := range strings.Lines(after) {
		if !strings.Contains(before, line) {
			b.WriteString("+ " + line)
		}
	}
	return b.String()
}

// The layout on disk is golden text: a change of it is a change of format.
func TestLayout(t *testing.T) {
	db := memory(t)
	before := ""
	datadriven.RunTest(t, "testdata/layout", func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "register":
			must(t, db.RegisterProvisional(registration(t, d)))
		case "failed":
			must(t, db.RegisterFailed(Failure{Class: "permanent", Time: 1700000000}, named(d.CmdArgs[0].Key)))
		case "commit":
			must(t, db.Commit(context.Background(), named(d.CmdArgs[0].Key)))
		case "unregister":
			must(t, db.Unregister(named(d.CmdArgs[0].Key)))
		default:
			t.Fatalf("no command %q", d.Cmd)
		}
		after := dump(t, db)
		defer func() { before = after }()
		return changes(before, after)
	})
}

// registration reads "register [drv=NAME] [build] [signed] [realised=DRV]" with a line
// "path: references" for each path; the first path is the output "out".
func registration(t *testing.T, d *datadriven.TestData) Registration {
	var r Registration
	for line := range strings.Lines(d.Input) {
		name, refs, _ := strings.Cut(strings.TrimSpace(line), ":")
		r.Paths = append(r.Paths, info(name, strings.Fields(refs)...))
	}
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "drv":
			r.Drv = named(arg.Vals[0])
			r.Paths[0].Deriver = r.Drv
			r.Outputs = map[string]storepath.Path{"out": r.Paths[0].Path}
		case "build":
			start := time.Unix(1700000000, 0)
			r.Build = &Build{Start: start, Stop: start.Add(time.Second), UserCPU: 3, SystemCPU: 4, PeakMemory: 5, Log: "l"}
		case "realised":
			id := DrvOutput{nixhash.Sum(nixhash.SHA256, []byte(arg.Vals[0])), "out"}
			r.Realisations = []Realisation{{ID: id, Path: r.Paths[0].Path, Drv: named(arg.Vals[0]), Signatures: []string{"k:s"}}}
		case "signed":
			r.Paths[0].Signatures, r.Paths[0].CA, r.Paths[0].Ultimate = []string{"k:s"}, "text:x", true
		default:
			t.Fatalf("no argument %q", arg.Key)
		}
	}
	return r
}
