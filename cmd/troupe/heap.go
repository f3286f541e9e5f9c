package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// A heap may double before Go's collector runs: of a service that builds 10,000
// derivations half of the memory would be garbage. So what may be added to a large heap
// is bounded, and so is how much more often it is collected. GOGC, where it is set, is
// left alone.
const (
	// heapRoom is what may be added to a heap that is larger, in bytes. Those of a
	// service that does little are below, and collected as always.
	heapRoom = 32 << 20
	// leastRoom is the least that may be added, in percent of what is alive: to collect
	// costs a byte that is added two thirds more than else, and not more in larger heaps.
	leastRoom = 60
	usualRoom = 100
)

// roomPercent is what may be added to a heap, in percent of what is alive.
func roomPercent(alive uint64) int {
	return int(min(max(heapRoom*100/max(alive, 1), leastRoom), usualRoom))
}

// paceCollector bounds the heap of this process until stop is called. The pace stays
// as it is then.
func paceCollector() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := usualRoom
	return eachCollection(func() {
		if p := roomPercent(heapAlive()); p != before {
			before = p
			debug.SetGCPercent(p)
		}
	})
}

// heapAlive is what the newest collection found alive, in bytes.
func heapAlive() uint64 {
	alive := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(alive)
	return alive[0].Value.Uint64()
}

// eachCollection calls f after each collection, in the goroutine of finalizers.
func eachCollection(f func()) (stop func()) {
	var stopped atomic.Bool
	var await func()
	await = func() {
		// What nothing refers to is found by the next collection. It has a pointer, as
		// small objects without are not looked at one by one.
		runtime.SetFinalizer(&struct{ self *byte }{}, func(any) {
			if !stopped.Load() {
				f()
				await()
			}
		})
	}
	await()
	return func() { stopped.Store(true) }
}
