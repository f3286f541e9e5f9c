package gc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/pathlock"
	"troupe/storage/storepath"
)

func TestCollect(t *testing.T) {
	for _, c := range []struct {
		name       string
		roots      string
		outputs    bool
		derivation bool
		live, dead string
	}{
		{"no roots", "", false, true, "", "libc loop-a loop-b self tool tool.drv tree-old"},
		{"references", "tree-old", false, false, "libc tool tree-old", "loop-a loop-b self tool.drv"},
		{"derivations", "tree-old", false, true, "libc tool tool.drv tree-old", "loop-a loop-b self"},
		{"outputs", "tool.drv self", true, false, "libc self tool tool.drv", "loop-a loop-b tree-old"},
		{"no outputs", "tool.drv", false, true, "tool.drv", "libc loop-a loop-b self tool tree-old"},
		{"a cycle", "loop-b", false, true, "libc loop-a loop-b", "self tool tool.drv tree-old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.valid("libc", "tool.drv")
			w.valid("loop-a loop-b libc", "loop-b loop-a", "self self")
			w.valid("tool libc by=tool.drv", "tree-old tool")
			for _, r := range strings.Fields(c.roots) {
				w.root(r, w.path(r))
			}
			o := options(ReturnLive)
			o.KeepOutputs, o.KeepDerivations = c.outputs, c.derivation
			w.want("live", w.names(w.collect(o).Paths), c.live)
			o.Action = ReturnDead
			w.want("dead", w.names(w.collect(o).Paths), c.dead)
			o.Action = DeleteDead
			w.want("deleted", w.names(w.collect(o).Paths), c.dead)
			w.want("left", w.there(), c.live)
			w.want("deleted by another", w.names(w.collect(o).Paths), "")
		})
	}
}

// What is leased, or not on disk yet, stays with all that it needs.
func TestLeasedAndProvisional(t *testing.T) {
	w := newWorld(t)
	w.valid("libc", "tool.drv", "tool libc by=tool.drv", "source", "other")
	w.provisional("fresh source")
	must(t, w.Roots.Add("session 1", named("tool")))
	w.want("deleted", w.names(w.collect(options(DeleteDead)).Paths), "other")
	w.want("left", w.there(), "fresh libc source tool tool.drv")
	w.Roots.Drop("session 1")
	w.want("deleted", w.names(w.collect(options(DeleteDead)).Paths), "libc tool tool.drv")
	must(t, w.DB.Commit(context.Background(), named("fresh")))
	w.want("deleted", w.names(w.collect(options(DeleteDead)).Paths), "fresh source")
}

// What is not valid goes, unless somebody is at work on it.
func TestLeftovers(t *testing.T) {
	w := newWorld(t)
	w.valid("kept", "Cargo.lock")
	w.root("kept", w.path("kept"))
	w.root("lock", w.path("Cargo.lock"))
	store := w.Layout.RealStoreDir() + "/"
	building, leased, left, locked := named("building").Base(), named("leased").Base(), named("left").Base(), named("locked").Base()
	for _, dir := range []string{building, building + ".chroot", leased, left, left + ".drv.chroot", left + ".lock", "tmp-1-2", "tmp-3-4", ".hidden", ".links", "lost+found"} {
		must(t, os.MkdirAll(store+dir+"/sub", 0o755))
	}
	for _, file := range []string{leased + ".lock", locked + ".lock"} {
		must(t, os.WriteFile(store+file, nil, 0o600))
	}
	must(t, os.Symlink("/nowhere", store+"junk"))
	must(t, os.Symlink("/nowhere", store+named("link").Base()))
	must(t, os.WriteFile(store+named("x.lock").Base(), nil, 0o644))                      // not a lock by its mode
	for mode, path := range map[os.FileMode]string{0o600: "kept", 0o644: "Cargo.lock"} { // locks of what is only rooted
		must(t, os.WriteFile(store+named(path).Base()+".lock", nil, mode))
	}
	hold, err := pathlock.TryLock([]string{store + building})
	must(t, err)
	other, err := os.OpenFile(store+locked+".lock", os.O_RDWR, 0) // as another process has it
	must(t, err)
	must(t, unix.Flock(int(other.Fd()), unix.LOCK_EX))
	adding, err := os.Open(store + "tmp-3-4")
	must(t, err)
	must(t, unix.Flock(int(adding.Fd()), unix.LOCK_EX))
	must(t, w.Roots.Add("", named("leased")))
	r := w.collect(options(DeleteDead))
	w.want("deleted", w.names(r.Paths), strings.Join([]string{named("kept").Base() + ".lock", left + ".drv.chroot", left + ".lock", "left", "link",
		named("Cargo.lock").Base() + ".lock", "x.lock"}, " "))
	entries, err := os.ReadDir(store)
	must(t, err)
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	want := strings.Join([]string{".links", "kept", "leased", "lost+found", "tmp-3-4", "Cargo.lock", "building", building + ".chroot", building + ".lock", leased + ".lock", locked + ".lock"}, " ")
	w.want("entries", w.names(have), w.names(strings.Fields(want)))
	must(t, errors.Join(hold.Release(true), other.Close(), adding.Close()))
	w.Roots.Drop("")
	w.collect(options(DeleteDead))
	must(t, removeAll(store+"lost+found"))
	w.want("left", w.there(), "Cargo.lock kept")
}

func TestDeleteSpecific(t *testing.T) {
	for _, c := range []struct{ name, paths, roots, refused, deleted string }{
		{"all", "one two three", "", "", "one three two"},
		{"the last", "three", "", "", "three"},
		{"with a dead referrer", "one", "", "one", ""},
		{"with some of its referrers", "one three", "", "one", ""},
		{"what is needed by one that another needs", "one two", "", "one", ""},
		{"a root", "three", "three", "three", ""},
		{"what a root needs", "two three", "two", "two", ""},
		{"not valid", "nothing", "", "", "nothing"},
		{"a derivation that made a path", "made.drv", "", "made.drv", ""},
		{"both", "made.drv made", "", "", "made made.drv"},
		{"itself", "self", "", "", "self"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.valid("one", "two one", "three two", "self self", "made.drv", "made by=made.drv")
			before := w.there()
			if c.roots != "" {
				w.root("r", w.path(c.roots))
			}
			o := options(DeleteSpecific)
			o.Paths = allNamed(strings.Fields(c.paths)...)
			r, err := w.Collect(context.Background(), o)
			w.want("deleted", w.names(r.Paths), c.deleted)
			var alive *AliveError
			if c.refused == "" {
				must(t, err)
			} else if !errors.As(err, &alive) || alive.Path != w.path(c.refused) {
				t.Errorf("error is %v", err)
			} else if w.there() != before {
				t.Error("some were deleted:", w.there())
			}
		})
	}
}

func TestMaxFreed(t *testing.T) {
	w := newWorld(t)
	w.valid("a", "b", "c", "d")
	o := options(DeleteDead)
	o.MaxFreed = 0
	if r := w.collect(o); len(r.Paths) != 0 {
		t.Errorf("to free nothing it deleted %q", r.Paths)
	}
	o.MaxFreed = 4096 // the second one is more
	r := w.collect(o)
	if len(r.Paths) != 2 || r.Freed != 8192 {
		t.Errorf("%d paths, %d bytes", len(r.Paths), r.Freed)
	}
}

// Of hard-linked files, what counts is the last name.
func TestUnusedLinks(t *testing.T) {
	w := newWorld(t)
	w.valid("a", "b")
	w.root("b", w.path("b"))
	links := w.Layout.RealStoreDir() + "/.links"
	must(t, os.Mkdir(links, 0o755))
	for _, name := range []string{"a", "b"} {
		must(t, os.WriteFile(links+"/"+name, make([]byte, 100_000), 0o444))
		must(t, os.Remove(w.path(name)))
		must(t, os.Link(links+"/"+name, w.path(name)))
	}
	var st unix.Stat_t
	must(t, unix.Stat(links+"/a", &st))
	r := w.collect(options(DeleteDead))
	if r.Freed != uint64(st.Blocks)*512 {
		t.Errorf("%d bytes were freed, want %d", r.Freed, st.Blocks*512)
	}
	if names, err := readNames(links); err != nil || len(names) != 1 || names[0] != "b" {
		t.Errorf("links: %q %v", names, err)
	}
}

func TestShowBytes(t *testing.T) {
	for n, want := range map[uint64]string{0: "0.0 KiB", 100_000: "97.7 KiB", 3_000_000: "2.9 MiB", 5 << 40: "5.0 TiB"} {
		if got := ShowBytes(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

// A collection that is cancelled says what it did, and the next one goes on.
func TestCancelled(t *testing.T) {
	w := newWorld(t)
	w.valid("a", "b")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if r, err := w.Collect(ctx, options(DeleteDead)); !errors.Is(err, context.Canceled) || len(r.Paths) > 0 {
		t.Errorf("%v %v", r, err)
	}
	w.want("deleted", w.names(w.collect(options(DeleteDead)).Paths), "a b")
}

// A mount in the store stays, and the collection goes on without it.
func TestWhatCannotBeDeleted(t *testing.T) {
	w := newWorld(t)
	w.valid("a", "tree-mounted", "b")
	at := w.path("tree-mounted") + "/sub"
	if err := unix.Mount("none", at, "tmpfs", 0, ""); err != nil {
		t.Skip("mounting needs root")
	}
	_, err := w.Collect(context.Background(), options(DeleteDead))
	if err == nil || !strings.Contains(err.Error(), "mounted there") {
		t.Errorf("error is %v", err)
	}
	var valid []storepath.Path
	for i, err := range w.DB.All() {
		must(t, err)
		valid = append(valid, i.Path)
	}
	if len(valid) > 0 {
		t.Error("valid:", valid)
	}
	w.valid("c") // the mount does not keep others from being collected
	if r, err := w.Collect(context.Background(), options(DeleteDead)); err == nil || len(r.Paths) != 1 {
		t.Error(r, err)
	}
	mounted, err := filepath.Glob(w.Layout.StagingDir() + "/trash-*/*/sub")
	must(t, err)
	must(t, unix.Unmount(mounted[0], 0))
	w.collect(options(DeleteDead))
	if left, err := os.ReadDir(w.Layout.StagingDir()); !errors.Is(err, os.ErrNotExist) {
		t.Error("left:", left, err)
	}
}
