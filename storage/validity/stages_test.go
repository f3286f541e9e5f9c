package validity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

var byValue = cmp.Options{cmp.Comparer(func(a, b storepath.Path) bool { return a == b }),
	cmp.Comparer(func(a, b nixhash.Hash) bool { return a == b })}

func TestCommitTakesTheProvisionalClosure(t *testing.T) {
	db := memory(t)
	must(t, db.RegisterProvisional(reg(info("libc")), reg(info("bash", "libc"), info("bash-doc")), reg(info("other", "libc"))))
	wantStage(t, db, "provisional", "libc", "bash", "bash-doc", "other")
	if got := names(db.Pending(named("bash"))); got != "bash bash-doc libc" {
		t.Errorf("pending is %q", got)
	}
	commit(t, db, "bash")
	wantStage(t, db, "durable", "libc", "bash", "bash-doc")
	wantStage(t, db, "provisional", "other")
	must(t, checkClosed(db))
	commit(t, db, "bash", "other")
	wantStage(t, db, "durable", "other")
}

func TestCommitOfWhatIsNotValidFailsAlone(t *testing.T) {
	db := memory(t)
	must(t, db.RegisterProvisional(reg(info("a"))))
	db.writing.Lock() // both wait for one batch
	errs := make(chan error, 2)
	for _, name := range []string{"a", "nothing"} {
		go func() {
			errs <- db.Commit(context.Background(), named(name))
		}()
	}
	for {
		db.queue.Lock()
		both := db.next != nil && len(db.next.members) == 2
		db.queue.Unlock()
		if both {
			break
		}
	}
	db.writing.Unlock()
	var failed []error
	for range 2 {
		if err := <-errs; err != nil {
			failed = append(failed, err)
		}
	}
	var notValid *NotValidError
	if len(failed) != 1 || !errors.As(failed[0], &notValid) || notValid.Path != named("nothing") {
		t.Errorf("errors are %v", failed)
	}
	wantStage(t, db, "durable", "a")
}

func TestWaitingCommitsShareOneSync(t *testing.T) {
	fs := &countingFS{FS: vfs.NewMem()}
	db := openMemory(t, fs)
	const writers = 64
	for n := range writers {
		must(t, db.RegisterProvisional(reg(info(fmt.Sprint("p", n)))))
	}
	db.writing.Lock()
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() { commit(t, db, fmt.Sprint("p", n)) })
	}
	for waiting := 0; waiting < writers; {
		db.queue.Lock()
		if db.next != nil {
			waiting = len(db.next.members)
		}
		db.queue.Unlock()
	}
	fs.reset()
	db.writing.Unlock()
	wg.Wait()
	if got := fs.count(); got != 1 {
		t.Errorf("%d commits cost %d syncs, want 1", writers, got)
	}
	for n := range writers {
		wantStage(t, db, "durable", fmt.Sprint("p", n))
	}
}

// countingFS counts the syncs of files.
type countingFS struct {
	vfs.FS
	mu    sync.Mutex
	syncs int
}

func (c *countingFS) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.syncs += n
}

func (c *countingFS) count() int { c.mu.Lock(); defer c.mu.Unlock(); return c.syncs }
func (c *countingFS) reset()     { c.add(-c.count()) }

func (c *countingFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(name, category)
	return countingFile{f, c}, err
}

type countingFile struct {
	vfs.File
	fs *countingFS
}

func (f countingFile) Sync() error     { f.fs.add(1); return f.File.Sync() }
func (f countingFile) SyncData() error { f.fs.add(1); return f.File.SyncData() }

func TestReferencesMustBeValid(t *testing.T) {
	db := memory(t)
	err := db.RegisterProvisional(reg(info("fine")), reg(info("a", "missing")))
	var missing *MissingReferenceError
	if !errors.As(err, &missing) || missing.Path != named("a") || missing.Reference != named("missing") {
		t.Fatalf("error is %v", err)
	}
	wantStage(t, db, "invalid", "a", "fine")
	must(t, db.RegisterProvisional(reg(info("a", "b", "a")), reg(info("b", "a")))) // in one batch, even a cycle
	commit(t, db, "a")
	wantStage(t, db, "durable", "a", "b")
}

func TestDiscard(t *testing.T) {
	db := memory(t)
	must(t, db.RegisterProvisional(reg(info("out"), info("dev")), reg(info("user", "out"))))
	var used *ReferrersError
	if err := db.Discard(named("dev")); !errors.As(err, &used) || used.Path != named("out") {
		t.Fatalf("error is %v", err)
	}
	must(t, db.Discard(named("dev"), named("user")))
	wantStage(t, db, "invalid", "out", "dev", "user")
	if referrers, err := db.Referrers(named("out")); err != nil || len(referrers) > 0 {
		t.Errorf("referrers are %v, %v", referrers, err)
	}
	must(t, db.RegisterProvisional(reg(info("out"))))
	commit(t, db, "out")
	must(t, db.Discard(named("out")))
	wantStage(t, db, "durable", "out")
}

func TestUnregister(t *testing.T) {
	db := memory(t)
	drv := named("tool.drv")
	must(t, db.RegisterProvisional(
		Registration{Paths: []Info{info("tool.drv")}, Drv: drv, Outputs: map[string]storepath.Path{"out": named("tool")}},
		reg(info("tool")), reg(info("user", "tool"))))
	commit(t, db, "tool.drv", "tool")
	var used *ReferrersError
	if err := db.Unregister(named("tool")); !errors.As(err, &used) || names(used.Referrers) != "user" {
		t.Fatalf("with a provisional referrer the error is %v", err)
	}
	commit(t, db, "user")
	if err := db.Unregister(named("tool")); !errors.As(err, &used) {
		t.Fatalf("with a durable referrer the error is %v", err)
	}
	must(t, db.Unregister(named("tool"), named("user"), named("unknown")))
	wantStage(t, db, "invalid", "tool", "user")
	must(t, db.Unregister(drv))
	if left := dump(t, db); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

func TestUnregisterOneOfAProvisionalRegistration(t *testing.T) {
	db := memory(t)
	must(t, db.RegisterProvisional(reg(info("out"), info("dev"))))
	must(t, db.Unregister(named("dev")))
	wantStage(t, db, "invalid", "dev")
	commit(t, db, "out")
	wantStage(t, db, "durable", "out")
	wantStage(t, db, "invalid", "dev")
}

func TestChangesOfARecord(t *testing.T) {
	for _, durable := range []bool{false, true} {
		db := memory(t)
		must(t, db.RegisterProvisional(reg(info("x"), info("p", "x")), reg(info("y"))))
		if durable {
			commit(t, db, "p")
		}
		must(t, db.AddSignatures(named("p"), "k:1", "k:2"))
		must(t, db.AddSignatures(named("p"), "k:2", "k:3"))
		must(t, db.SetUltimate(named("p"), true))
		want := info("p", "x")
		want.Signatures, want.Ultimate = []string{"k:1", "k:2", "k:3"}, true
		if got, _, err := db.Get(named("p")); err != nil || !cmp.Equal(got, want, byValue) {
			t.Errorf("record is %v, %v", got, err)
		}
		if durable {
			var missing *MissingReferenceError
			if err := db.Replace(info("p", "y")); !errors.As(err, &missing) {
				t.Errorf("a durable path may refer to a provisional one: %v", err)
			}
			commit(t, db, "y")
		}
		must(t, db.Replace(info("p", "y", "p")))
		must(t, checkClosed(db))
		if referrers, err := db.Referrers(named("x")); err != nil || len(referrers) > 0 {
			t.Errorf("old referrers stay: %v, %v", referrers, err)
		}
		var missing *MissingReferenceError
		if err := db.Replace(info("p", "nothing")); !errors.As(err, &missing) {
			t.Errorf("error is %v", err)
		}
		var notValid *NotValidError
		if err := db.AddSignatures(named("nothing"), "k:1"); !errors.As(err, &notValid) {
			t.Errorf("error is %v", err)
		}
	}
}
