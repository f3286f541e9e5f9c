package pace

import (
	"runtime"
	"sync/atomic"
	"testing"
)

// A loop is put aside, and others run on the only processor there is. It takes a few
// tries: now and then the runtime goes on with whom it has just put aside.
func TestStep(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var ran atomic.Bool
	go ran.Store(true)
	for range 10 {
		var p Pace
		for range stepsEach {
			p.Step()
		}
	}
	if !ran.Load() {
		t.Error("nobody else has run")
	}
}
