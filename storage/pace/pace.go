// Package pace is for loops of many system calls, each of them short.
//
// The runtime looks every 20 µs for goroutines that are in the kernel and have not been
// put aside for 10 ms. It takes the processor of each that it finds, every time, which
// wakes two threads for nothing: deleting files cost a fifth more by it. One that is put
// aside now and then is left alone, and after a while the runtime looks every 10 ms.
package pace

import (
	"runtime"
	"time"
)

// Pace is that of one loop. The zero value is ready.
type Pace struct {
	steps int
	aside time.Time // when it was put aside last
}

const (
	stepsEach = 8                    // the clock is read
	asideEach = 4 * time.Millisecond // less than the 10 of the runtime
)

// Step is called before each of the calls, and puts the goroutine aside when it is
// time.
func (p *Pace) Step() {
	if p.steps++; p.steps%stepsEach != 0 {
		return
	}
	if now := time.Now(); now.Sub(p.aside) > asideEach {
		p.aside = now
		runtime.Gosched()
	}
}
