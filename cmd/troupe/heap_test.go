package main

import (
	"runtime"
	"testing"
)

// What may be added to a heap, by what is alive.
func TestRoomPercent(t *testing.T) {
	for _, c := range []struct {
		alive uint64
		want  int
	}{
		{0, 100}, {4 << 20, 100}, {32 << 20, 100}, {40 << 20, 80}, {50 << 20, 64}, {60 << 20, 60}, {1 << 40, 60},
	} {
		if got := roomPercent(c.alive); got != c.want {
			t.Errorf("%d bytes alive: %d %%, want %d", c.alive, got, c.want)
		}
	}
}

// It is called after each collection until it is stopped.
func TestEachCollection(t *testing.T) {
	heard := make(chan uint64, 1)
	stop := eachCollection(func() {
		select {
		case heard <- heapAlive():
		default:
		}
	})
	held := make([]byte, 32<<20)
	for range 3 {
		runtime.GC()
		<-heard
	}
	runtime.GC()
	if alive := <-heard; alive < uint64(len(held)) {
		t.Errorf("%d bytes alive, with %d held", alive, len(held))
	}
	runtime.KeepAlive(held)
	stop()
	runtime.GC() // calls nothing, or what was begun
	select {
	case <-heard:
	default:
	}
	runtime.GC()
	select {
	case <-heard:
		t.Error("called after it was stopped")
	default:
	}
}
