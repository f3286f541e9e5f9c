package simulation

import (
	"container/heap"
	"time"

	"troupe/messages"
)

// event is something that happens at a time.
type event struct {
	at    time.Duration
	order uint64
	owner messages.Address // whose work it is; "" for the world's own
	life  int              // of the service, whose death ends it; 0 for the world's own
	do    func()
	index int // in the heap; -1 when it is over
}

// events are those to come, the earliest first.
type events struct {
	now   time.Duration
	heap  eventHeap
	count uint64
	owned map[messages.Address]int // how many events an owner has to come
}

func newEvents() *events { return &events{owned: map[messages.Address]int{}} }

func (e *events) after(d time.Duration, owner messages.Address, life int, do func()) *event {
	e.count++
	v := &event{at: e.now + d, order: e.count, owner: owner, life: life, do: do}
	heap.Push(&e.heap, v)
	e.owned[owner]++
	return v
}

func (e *events) cancel(v *event) {
	if v.index >= 0 {
		heap.Remove(&e.heap, v.index)
		e.over(v)
	}
}

func (e *events) over(v *event) {
	if e.owned[v.owner]--; e.owned[v.owner] == 0 {
		delete(e.owned, v.owner)
	}
}

// next lets time pass until the next event, and lets that happen.
func (e *events) next() {
	v := heap.Pop(&e.heap).(*event)
	e.over(v)
	e.now = v.at
	v.do()
}

// slack is how long a message can be under way while other things happen.
const slack = 20 * time.Millisecond

// near reports whether something happens so soon that messages under way may
// come after it.
func (e *events) near() bool { return len(e.heap) > 0 && e.heap[0].at-e.now < slack }

// endLife ends all events of the service's life.
func (e *events) endLife() {
	var left eventHeap
	for _, v := range e.heap {
		if v.life == 0 {
			left = append(left, v)
			continue
		}
		v.index = -1
		e.over(v)
	}
	e.heap = left
	for i, v := range e.heap {
		v.index = i
	}
	heap.Init(&e.heap)
}

type eventHeap []*event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].order < h[j].order
}
func (h eventHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *eventHeap) Push(x any) {
	v := x.(*event)
	v.index = len(*h)
	*h = append(*h, v)
}
func (h *eventHeap) Pop() any {
	old := *h
	v := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	v.index = -1
	return v
}
