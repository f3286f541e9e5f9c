package journal_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"troupe/actors/host"
	"troupe/actors/journal"
	"troupe/messages"
)

func write(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	j, err := journal.NewWriter(&b, journal.Header{Settings: map[string]string{"max-jobs": "2"}})
	if err != nil {
		t.Fatal(err)
	}
	j.Record(host.Step{At: 1500 * time.Microsecond, Actor: "slots", Message: &messages.ReleaseSlot{Goal: "drv/a"}, State: "held=1/2 queued=0",
		Effects: []host.Effect{host.Send{To: "drv/b", Msg: &messages.SlotFree{}}, host.Spawn{Actor: "child/drv/b", Kind: "child"}, host.Stop{Actor: "drv/a"}}})
	j.Record(host.Step{At: 2 * time.Millisecond, Actor: "drv/c", Message: &messages.EOF{}, State: "init", Panic: "unexpected eof"})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	r, err := journal.NewReader(strings.NewReader(write(t)))
	if err != nil {
		t.Fatal(err)
	}
	if r.Header.Settings["max-jobs"] != "2" {
		t.Error(r.Header)
	}
	want := []string{
		"0.001500 slots <- release-slot goal=drv/a [held=1/2 queued=0] => -> drv/b slot-free; spawn child child/drv/b; stop drv/a",
		`0.002000 drv/c <- eof [init] PANIC "unexpected eof"`,
	}
	for i, w := range want {
		rec, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if line, err := rec.Format(); err != nil || line != w || rec.Seq != uint64(i+1) {
			t.Errorf("%d %s %v, want %s", rec.Seq, line, err, w)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Fatal(err)
	}
}

// A crash cuts a journal anywhere: what is whole is read, and the cut is said.
func TestCut(t *testing.T) {
	whole := write(t)
	for n := range len(whole) {
		r, err := journal.NewReader(strings.NewReader(whole[:n]))
		for err == nil {
			_, err = r.Next()
		}
		atLineEnd := n > 0 && whole[n-1] == '\n'
		if atLineEnd != errors.Is(err, io.EOF) && n > 0 {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

func TestNotAJournal(t *testing.T) {
	for _, text := range []string{"hello\n", "{}\n", `{"troupe-journal":99}` + "\n"} {
		if _, err := journal.NewReader(strings.NewReader(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	if _, err := journal.Decode("no-such-message", nil); err == nil {
		t.Error("an unknown message was decoded")
	}
}

func FuzzReader(f *testing.F) {
	f.Add(`{"troupe-journal":1}` + "\n" + `{"seq":1,"actor":"a","message":"eof","body":{}}` + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := journal.NewReader(strings.NewReader(text))
		for err == nil {
			var rec journal.Record
			if rec, err = r.Next(); err == nil {
				rec.Format()
			}
		}
	})
}
