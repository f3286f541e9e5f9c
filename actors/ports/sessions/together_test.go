package sessions

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/storage/storepath"
)

// sent keeps what is sent, call by call.
type sent struct {
	calls [][]byte
	err   error
}

func (s *sent) Write(b []byte) (int, error) {
	s.calls = append(s.calls, bytes.Clone(b))
	return len(b), s.err
}

// frames are those of all calls.
func (s *sent) frames(t *testing.T, d workerproto.Dialect) (all []workerproto.Frame) {
	t.Helper()
	text := bytes.NewReader(bytes.Join(s.calls, nil))
	r := workerproto.NewReader(text)
	for {
		f, err := workerproto.ReadFrame(r, d)
		if err != nil {
			return all
		}
		all = append(all, f)
	}
}

var spoken = workerproto.Dialect{Version: workerproto.Newest, Dir: "/nix/store"}

func opened(to *sent) *output {
	out := newOutput(to)
	out.d = spoken
	out.begin()
	return out
}

// TestTogether: what is said together is sent in one call, all else at once, and an
// error of either is kept.
func TestTogether(t *testing.T) {
	to := &sent{}
	out := opened(to)
	out.stop(1)
	out.together(func() {
		out.stop(2)
		out.together(func() { out.stop(3) })
		out.stop(4)
		if len(to.calls) != 1 {
			t.Errorf("%d calls before the end", len(to.calls))
		}
	})
	out.stop(5)
	if got := to.frames(t, spoken); len(got) != 5 || len(to.calls) != 3 {
		t.Errorf("%d frames in %d calls", len(got), len(to.calls))
	}
	to.err = errors.New("gone")
	out.together(func() { out.stop(6) })
	if err := out.end(nil, nil); !errors.Is(err, to.err) {
		t.Errorf("the end: %v", err)
	}
}

// TestFetchesAreToldTogether: a client that is told of many fetches hears of each, and
// how many there are; not how many there were each time.
func TestFetchesAreToldTogether(t *testing.T) {
	const many = 50
	to := &sent{}
	p := NewProgress(nil)
	w := p.watch(t.Context(), 1, nil, opened(to))
	begun := len(to.calls)
	var goals []*goal
	gate := make(chan struct{})
	w.queueUp(func() { <-gate }) // for which all else waits
	for i := range many {
		path, err := storepath.ParseBase(fmt.Sprintf("%032d-x", i))
		if err != nil {
			t.Fatal(err)
		}
		at := messages.Address("path/" + path.Base())
		p.Hear(&messages.GoalWanted{Goal: at, Requests: []uint64{1}})
		p.Hear(&messages.GoalFetches{Goal: at, Path: path, Cache: "file:///x", NarSize: 10})
		p.Hear(&messages.GoalChanged{Goal: at, Drv: path, State: "fetching"})
		goals = append(goals, p.goals[at])
	}
	for _, g := range goals {
		p.Hear(&messages.GoalEnded{Goal: g.at, Drv: g.drv, Result: messages.Result{Status: messages.Substituted}})
	}
	close(gate)
	p.Hear(&messages.SyncProgress{Request: 1})
	w.wait()
	copied, states, last := 0, 0, uint64(0)
	for _, f := range to.frames(t, spoken) {
		switch f := f.(type) {
		case *workerproto.StartActivity:
			if f.Type == workerproto.ActCopyPath {
				copied++
			}
		case *workerproto.Result:
			if f.Activity == w.copies && f.Type == workerproto.ResProgress {
				states++
				last = f.Fields[0].Number
			}
		}
	}
	if copied != many || last != many || states != 1 {
		t.Errorf("%d of %d told, %d states of which the last has %d done", copied, many, states, last)
	}
	if calls := len(to.calls) - begun; calls != 2 { // with the end of the activities
		t.Errorf("%d calls", calls)
	}
}
