package simulation

import (
	"maps"
	"slices"
	"strings"
	"time"

	"troupe/actors/host"
	"troupe/messages"
)

// Measures say how well a demand was met.
type Measures struct {
	Makespan   time.Duration // from the first request to the last answer
	MeanAnswer time.Duration // from a request to its answer; what was withdrawn does not count
	MaxAnswer  time.Duration
	MeanWait   time.Duration // from when a goal wants a slot until it has one
	MaxWait    time.Duration
	// Fairness is Jain's index of how much longer each client waited for its
	// answers than it would have alone: 1 is that all suffered alike, 1/n that
	// one of n suffered and the others did not.
	Fairness float64
	Builds   int
	Order    []messages.Address // the goals that were granted slots
}

// meter is a journal that takes the measures of a run.
type meter struct {
	prefix   string // before the names that clients had when they were recorded
	requests map[uint64]*measured
	wants    map[messages.Address]time.Duration // goal: since when it waits for a slot
	begun    bool
	first    time.Duration // when the first request came
	waited   time.Duration
	out      Measures
}

// measured is one request.
type measured struct {
	client    messages.Address
	at, took  time.Duration
	answered  bool
	withdrawn bool
}

func newMeter(prefix string) *meter {
	return &meter{prefix: prefix, requests: map[uint64]*measured{}, wants: map[messages.Address]time.Duration{}}
}

// Record implements [host.Journal].
func (m *meter) Record(s host.Step) {
	switch msg := s.Message.(type) {
	case *messages.RealiseTargets:
		client := messages.Address(strings.TrimPrefix(string(msg.Client), m.prefix))
		m.requests[msg.Request] = &measured{client: client, at: s.At}
		if !m.begun {
			m.begun, m.first = true, s.At
		}
	case *messages.CancelRequest:
		if r := m.requests[msg.Request]; r != nil {
			r.withdrawn = true
		}
	case *messages.ForgetClient:
		for _, r := range m.requests {
			r.withdrawn = r.withdrawn || r.client == msg.Client && !r.answered
		}
	case *messages.AcquireSlot:
		m.wants[msg.Goal] = s.At
	case *messages.StartChild:
		m.out.Builds++
	}
	for _, e := range s.Effects {
		m.effect(s.At, e)
	}
}

func (m *meter) effect(at time.Duration, e host.Effect) {
	if a, ok := sent[*messages.TargetsRealised](e); ok && m.requests[a.Request] != nil {
		r := m.requests[a.Request]
		r.answered, r.took = true, at-r.at
		m.out.Makespan = at - m.first
	}
	if _, ok := sent[*messages.SlotFree](e); ok {
		goal := e.(host.Send).To
		wait := at - m.wants[goal]
		m.waited += wait
		m.out.MaxWait = max(m.out.MaxWait, wait)
		m.out.Order = append(m.out.Order, goal)
	}
}

func (m *meter) answered(id uint64) bool { return m.requests[id] != nil && m.requests[id].answered }

// byClient is how long each client waited for its answers.
func (m *meter) byClient() map[messages.Address]time.Duration {
	total := map[messages.Address]time.Duration{}
	for _, r := range m.requests {
		if r.answered && !r.withdrawn {
			total[r.client] += r.took
		}
	}
	return total
}

// measures are those of what was recorded. Alone has how long each client would
// have waited if there were no other.
func (m *meter) measures(alone map[messages.Address]time.Duration) Measures {
	out := m.out
	n := 0
	for _, r := range m.requests {
		if r.answered && !r.withdrawn {
			out.MeanAnswer += r.took
			out.MaxAnswer = max(out.MaxAnswer, r.took)
			n++
		}
	}
	out.MeanAnswer /= time.Duration(max(n, 1))
	out.MeanWait = m.waited / time.Duration(max(len(out.Order), 1))
	out.Fairness = fairness(m.byClient(), alone)
	return out
}

// fairness is Jain's index: (sum of x)² / (n times the sum of x²).
func fairness(total, alone map[messages.Address]time.Duration) float64 {
	var sum, squares float64
	for _, client := range slices.Sorted(maps.Keys(total)) {
		slowdown := 1.0
		if alone[client] > 0 {
			slowdown = float64(total[client]) / float64(alone[client])
		}
		sum += slowdown
		squares += slowdown * slowdown
	}
	if squares == 0 {
		return 1
	}
	return sum * sum / (float64(len(total)) * squares)
}
