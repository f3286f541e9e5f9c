package journal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"troupe/actors/host"
	"troupe/actors/journal"
	"troupe/messages"
	"troupe/storage/storepath"
)

// steps are a few that have every part of a step.
func steps() []host.Step {
	again := &messages.ChildOutput{To: 7, LastLine: "x"}
	return []host.Step{
		{At: 1500 * time.Microsecond, Actor: "slots", Message: &messages.ReleaseSlot{Goal: "drv/a"}, State: "held=1/2 queued=0",
			Effects: []host.Effect{host.Send{To: "drv/b", Msg: &messages.SlotFree{}}, host.Spawn{Actor: "child/drv/b", Kind: "child"},
				host.Stop{Actor: "drv/a"}, host.Send{To: "drv/b", Msg: again}}},
		{At: 1600 * time.Microsecond, Actor: "drv/b", Message: again, State: "building"},
		{At: 2 * time.Millisecond, Actor: "drv/c", Message: &messages.EOF{}, State: "init", Panic: "unexpected eof"},
	}
}

var printed = []string{
	"0.001500 slots <- release-slot goal=drv/a [held=1/2 queued=0] => -> drv/b slot-free; spawn child child/drv/b; stop drv/a; -> drv/b child-output to=7 last-line=x",
	"0.001600 drv/b <- child-output to=7 last-line=x [building]",
	`0.002000 drv/c <- eof [init] PANIC "unexpected eof"`,
}

// lines writes a journal as JSON.
func lines(t testing.TB, steps []host.Step) string {
	t.Helper()
	var b bytes.Buffer
	j, err := journal.NewWriter(&b, journal.Header{Settings: json.RawMessage(`{"max-jobs":"2"}`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		j.Record(s)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// compact writes one with a recorder.
func compact(t testing.TB, steps []host.Step) string {
	t.Helper()
	dir := t.TempDir()
	record(t, dir, 1<<30, steps)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func record(t testing.TB, dir string, size int64, steps []host.Step) {
	t.Helper()
	r, err := journal.NewRecorder(journal.RecorderOptions{Dir: dir, Size: size,
		Header: journal.Header{Started: time.Now(), Settings: json.RawMessage(`{"max-jobs":"2"}`)},
		Failed: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		r.Record(s)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// forms are both forms of the same journal.
func forms(t testing.TB) map[string]string {
	return map[string]string{"lines": lines(t, steps()), "compact": compact(t, steps())}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for form, text := range forms(t) {
		r, err := journal.NewReader(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if string(r.Header.Settings) != `{"max-jobs":"2"}` {
			t.Error(form, r.Header)
		}
		for i, w := range printed {
			rec, err := r.Next()
			if err != nil {
				t.Fatal(form, err)
			}
			if rec.String() != w || rec.Seq != uint64(i+1) {
				t.Errorf("%s: %d %v\nwant %s", form, rec.Seq, rec, w)
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Fatal(form, err)
		}
	}
}

// A crash cuts a journal anywhere: what is whole is read, and the cut is said.
func TestCut(t *testing.T) {
	for form, whole := range forms(t) {
		ends := 0
		for n := range len(whole) {
			r, err := journal.NewReader(strings.NewReader(whole[:n]))
			if err != nil {
				continue // in the header
			}
			for err == nil {
				_, err = r.Next()
			}
			var cut *journal.CutError
			switch {
			case err == io.EOF:
				ends++
			case !errors.As(err, &cut):
				t.Fatalf("%s cut at %d: %v", form, n, err)
			}
		}
		if want := strings.Count(lines(t, steps()), "\n") - 1; form == "lines" && ends != want {
			t.Errorf("it ends well at %d places, want %d", ends, want)
		}
		if form == "compact" && ends != 1 { // after the header: the steps are one frame
			t.Errorf("it ends well at %d places, want 1", ends)
		}
	}
}

// A flipped bit is found, or changes nothing that is read before it.
func TestDamage(t *testing.T) {
	whole := compact(t, steps())
	const settings = `{"max-jobs":"2"}` // at the end of the header, whose checksum may have any byte
	start := strings.Index(whole, settings) + len(settings)
	for i := start; i < len(whole); i++ {
		damaged := []byte(whole)
		damaged[i] ^= 4
		r, err := journal.NewReader(bytes.NewReader(damaged))
		for err == nil {
			_, err = r.Next()
		}
		var cut *journal.CutError
		if !errors.As(err, &cut) && i > start+1 {
			t.Errorf("byte %d: %v", i, err)
		}
	}
}

func TestNotAJournal(t *testing.T) {
	for _, text := range []string{"", "hello\n", "{}\n", `{"troupe-journal":99}` + "\n", "troupe-journal-2\n", "troupe-journal-2\nxxxxxxxxxxxx"} {
		if _, err := journal.NewReader(strings.NewReader(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// fill gives every field of a value something.
func fill(rng *rand.Rand, v reflect.Value) {
	if p, ok := v.Addr().Interface().(*storepath.Path); ok {
		*p, _ = storepath.ParseBase(fmt.Sprintf("%032d-x", rng.IntN(10)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.String:
		v.SetString(strings.Repeat("a\n", rng.IntN(3)))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rng.IntN(3), 3))
		for i := range v.Len() {
			fill(rng, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(rng, v.Field(i))
		}
	default:
		if v.CanInt() {
			v.SetInt(int64(int8(rng.Uint32() & 7)))
		} else {
			v.SetUint(uint64(rng.Uint32() & 7))
		}
	}
}

// Every message there is comes back as it was, in both forms.
func TestEveryMessage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var all []host.Step
	for range 20 {
		for _, name := range messages.Names() {
			m := messages.New(name)
			fill(rng, reflect.ValueOf(m).Elem())
			all = append(all, host.Step{Actor: "a", Message: m, Effects: []host.Effect{host.Send{To: "b", Msg: m}}},
				host.Step{Actor: "b", Message: m})
		}
	}
	fromLines, err := journal.NewReader(strings.NewReader(lines(t, all)))
	if err != nil {
		t.Fatal(err)
	}
	fromCompact, err := journal.NewReader(strings.NewReader(compact(t, all)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range all {
		a, err := fromLines.Next()
		if err != nil {
			t.Fatal(err)
		}
		b, err := fromCompact.Next()
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []journal.Record{a, b} {
			if wantText := (journal.Record{Seq: got.Seq, Step: want}).String(); got.String() != wantText {
				t.Fatalf("%v\nwant %v", got, wantText)
			}
		}
	}
}

// An older program's message, with other fields and of types that are gone.
func TestOtherVersion(t *testing.T) {
	now := lines(t, steps())
	then := strings.Replace(strings.Replace(now, `{"Goal":"drv/a"}`, `{"Goal":"drv/a","Gone":[{"A":1}]}`, 1), `"message":"eof"`, `"message":"eof-of-old"`, 1)
	r, err := journal.NewReader(strings.NewReader(then))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{printed[0], printed[1],
		`0.002000 drv/c <- (with eof-of-old, which this program does not know) [init] PANIC "unexpected eof"`} {
		rec, err := r.Next()
		if err != nil || rec.String() != want {
			t.Errorf("%v %v\nwant %s", rec, err, want)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, text := range forms(f) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := journal.NewReader(bytes.NewReader(text))
		for err == nil {
			var rec journal.Record
			if rec, err = r.Next(); err == nil {
				_ = rec.String()
			}
			var lost *journal.LostError
			if errors.As(err, &lost) {
				err = nil
			}
		}
	})
}
