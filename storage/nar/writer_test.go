package nar_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/nar"
)

// TestWriter: what is read from an archive and given to a writer is that archive.
func TestWriter(t *testing.T) {
	for _, c := range verdicts {
		if !c.ok {
			continue
		}
		var back bytes.Buffer
		in := strings.NewReader(c.archive)
		w := nar.NewWriter(&back)
		if err := errors.Join(nar.Parse(in, w), w.Close()); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if rest := c.archive[len(c.archive)-in.Len():]; back.String()+rest != c.archive {
			t.Errorf("%s: other bytes are written", c.name)
		}
	}
}

// broken takes some bytes, and counts what comes after its fault.
type broken struct{ left, after int }

func (b *broken) Write(p []byte) (int, error) {
	if b.left < len(p) {
		b.after++
		return 0, io.ErrClosedPipe
	}
	b.left -= len(p)
	return len(p), nil
}

// TestWriterFails: a fault of whom it writes to, and contents that are shorter than was
// said, are told, and nothing is written after them.
func TestWriterFails(t *testing.T) {
	b := &broken{left: 3 << 17}
	w := nar.NewWriter(b)
	err := w.File("", false, 5<<17, io.LimitReader(zeros{}, 5<<17))
	if closed := w.Close(); !errors.Is(err, io.ErrClosedPipe) || closed != err || b.after != 1 {
		t.Errorf("%v, closed %v, written %d times", err, closed, b.after)
	}
	var got bytes.Buffer
	w = nar.NewWriter(&got)
	err = w.File("", false, 3<<17, strings.NewReader("short"))
	if closed := w.Close(); !errors.Is(err, io.ErrUnexpectedEOF) || closed != err || got.Len() > 0 {
		t.Errorf("%v, closed %v, %d bytes written", err, closed, got.Len())
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// TestDumpIsNotWrittenDown: to write down when a file was read costs more than to read
// it.
func TestDumpIsNotWrittenDown(t *testing.T) {
	top := t.TempDir() + "/top"
	if err := errors.Join(os.Mkdir(top, 0o755), os.WriteFile(top+"/file", []byte("text"), 0o644)); err != nil {
		t.Fatal(err)
	}
	long := []unix.Timespec{{Sec: 1}, {Sec: 1}}
	for _, p := range []string{top + "/file", top} {
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, p, long, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := nar.Dump(io.Discard, top); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{top + "/file", top} {
		var st unix.Stat_t
		if err := unix.Stat(p, &st); err != nil || st.Atim.Sec != 1 {
			t.Errorf("%s was read at %d (%v)", p, st.Atim.Sec, err)
		}
	}
}

// pieces gives few bytes at a time, as a socket does.
type pieces struct{ io.Reader }

func (p pieces) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), 1000)]) }

// TestAllocations: the words of an archive, most of which are the same for each file,
// are not copied.
func TestAllocations(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, string(rune('a'+i/10))+string(rune('a'+i%10)))
	}
	sent := entries(names...)
	got := testing.AllocsPerRun(5, func() {
		if err := nar.Parse(pieces{strings.NewReader(sent)}, nil); err != nil {
			t.Fatal(err)
		}
	})
	if got > 2*100 { // the name, and what the sink does
		t.Errorf("%.0f allocations for 100 files", got)
	}
}
