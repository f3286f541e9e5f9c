package progress

import (
	"strings"
	"testing"
	"time"

	"troupe/messages"
	"troupe/storage/storepath"
)

func drv(t *testing.T, name string) storepath.Path {
	t.Helper()
	p, err := storepath.ParseBase(strings.Repeat("0", 32) + "-" + name + ".drv")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFrame(t *testing.T) {
	m := newModel()
	start := time.Unix(1000, 0)
	say := func(goal, state string, wait messages.Wait) {
		m.change(&messages.GoalChanged{Goal: messages.Address(goal), Drv: drv(t, goal), State: state, Wait: wait}, start)
	}
	say("there", "haveDerivation", messages.Wait{})
	say("hello", "building", messages.Wait{})
	m.rows["hello"].line = "checking for gcc\x1b[2J\tgcc"
	say("zlib", "building", messages.Wait{})
	say("zlib", "buildDone", messages.Wait{})
	say("top", "outputsSubstituted", messages.Wait{For: messages.Inputs, Detail: "2 left"})
	say("queued", "inputsRealised", messages.Wait{For: messages.BuildSlot})
	say("locked", "lockedElsewhere", messages.Wait{For: messages.PathLock})
	say("done", "building", messages.Wait{})
	m.end(&messages.GoalEnded{Goal: "done", Result: messages.Result{Status: messages.Built}})
	say("bad", "building", messages.Wait{})
	m.end(&messages.GoalEnded{Goal: "bad", Result: messages.Result{Status: messages.PermanentFailure}})
	got := strings.Join(m.frame(start.Add(64*time.Second), 80, 24), "\n")
	want := strings.Join([]string{
		"1/7 built, 2 running, 3 waiting, 1 failed",
		"  ▶ hello                             1m04s  checking for gcc[2J gcc",
		"  ▶ zlib                              1m04s  (buildDone)",
		"  ⏸ locked                                   path lock",
		"  … 3 wait: 1 for inputs, 1 for build slot, 1 for path lock",
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	m.told = &Counts{Done: 3, Expected: 10, Running: 2, Failed: 1}
	if got, want := m.frame(start, 80, 24)[0], "3/11 built, 2 running, 5 waiting, 1 failed"; got != want {
		t.Errorf("as told: got %q, want %q", got, want)
	}
	m.told = nil
	if narrow := m.frame(start, 20, 24); len([]rune(narrow[0])) > 19 {
		t.Errorf("too wide: %q", narrow[0])
	}
	if low := m.frame(start, 80, 4); len(low) > 4 {
		t.Errorf("too high: %d lines", len(low))
	}
}

func TestPlainLines(t *testing.T) {
	var b strings.Builder
	d := New(&b, func() (int, int, bool) { return 0, 0, false })
	d.Observe(&messages.GoalChanged{Goal: "a", Drv: drv(t, "a"), State: "building"})
	d.Observe(&messages.GoalChanged{Goal: "a", Drv: drv(t, "a"), State: "building"})
	d.Observe(&messages.GoalEnded{Goal: "a", Result: messages.Result{Status: messages.Built, Duration: 1500 * time.Millisecond}})
	d.Observe(&messages.GoalEnded{Goal: "b", Result: messages.Result{Status: messages.PermanentFailure, Error: "one\ntwo"}})
	d.Observe(&messages.GoalEnded{Goal: "c", Result: messages.Result{Status: messages.Cancelled, Error: "cancelled"}})
	d.Close()
	if want := "building a\nbuilt a in 1.5s\nerror: one\n       two\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
