package journal_test

import (
	"os"
	"syscall"
	"testing"
	"time"

	"troupe/actors/host"
	"troupe/actors/journal"
)

// BenchmarkRecorder says what a step costs that is recorded, the writing in the
// background included: those of the journal TROUPE_JOURNAL, or a few.
func BenchmarkRecorder(b *testing.B) {
	all := steps()
	if file := os.Getenv("TROUPE_JOURNAL"); file != "" {
		all = readSteps(b, file)
	}
	r, err := journal.NewRecorder(journal.RecorderOptions{Dir: b.TempDir(), Size: 64 << 20,
		Header: journal.Header{Started: time.Now()}, Failed: func(err error) { b.Error(err) }})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	before := processorTime(b)
	for i := 0; b.Loop(); i++ {
		if i%10_000 == 0 { // what waits is bounded, and more would be left out
			b.StopTimer()
			time.Sleep(50 * time.Millisecond)
			b.StartTimer()
		}
		r.Record(all[i%len(all)])
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
}

func processorTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func readSteps(b *testing.B, file string) (all []host.Step) {
	b.Helper()
	j, err := journal.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	for rec, err := j.Next(); err == nil; rec, err = j.Next() {
		all = append(all, rec.Step)
	}
	b.Logf("%d steps", len(all))
	return all
}
