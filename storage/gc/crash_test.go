package gc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
	"troupe/storage/validity"
)

// collectUntilKilled is the test binary's other life: it collects the store in
// TEST_GC_KILLED and dies before the step whose number is there, too.
func collectUntilKilled() {
	dir, number, _ := strings.Cut(os.Getenv("TEST_GC_KILLED"), ":")
	last, err := strconv.Atoi(number)
	fatal := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fatal(err)
	layout := layoutIn(dir)
	db, err := validity.Open(databaseDir(layout), validity.Options{})
	fatal(err)
	fatal(layout.CleanStaging())
	roots, err := localstore.OpenTempRoots(layout)
	fatal(err)
	steps := 0
	c := &Collector{Layout: layout, DB: db, Roots: roots, proc: dir + "/proc", step: func(string) {
		if steps++; steps == last {
			unix.Kill(os.Getpid(), unix.SIGKILL)
		}
	}}
	_, err = c.Collect(context.Background(), options(DeleteDead))
	fatal(err)
	os.Exit(0)
}

// However far a collection came, what is valid is there and closed, and the next
// collection ends it.
func TestKilledAtEachStep(t *testing.T) {
	killed := 0
	for step := 1; ; step++ {
		w := newWorld(t)
		w.valid("libc", "kept libc", "a libc", "tree-b a", "tree-c tree-b")
		w.root("kept", w.path("kept"))
		must(t, os.Mkdir(w.path("left"), 0o755))
		w.shut()
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), fmt.Sprintf("TEST_GC_KILLED=%s:%d", w.dir(), step))
		out, err := child.CombinedOutput()
		w.open()
		for i, err := range w.DB.All() {
			must(t, err)
			if _, err := os.Lstat(w.Layout.RealPath(i.Path)); err != nil {
				t.Errorf("step %d: %v", step, err)
			}
			for _, r := range i.References {
				if valid, err := w.DB.Valid(r); err != nil || !valid {
					t.Errorf("step %d: %s is not valid, %v", step, r.Name(), err)
				}
			}
		}
		w.collect(options(DeleteDead))
		w.want("left", w.there(), "kept libc")
		if names, err := readNames(w.Layout.StagingDir()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("step %d: left %q, %v", step, names, err)
		}
		if err == nil {
			break
		}
		if killed++; !strings.Contains(err.Error(), "killed") {
			t.Fatalf("step %d: %v\n%s", step, err, out)
		}
	}
	if killed < 7 { // one for unregistering, four paths, two trees
		t.Errorf("there were only %d steps", killed)
	}
}
