package main

import (
	"slices"
	"sync"

	"troupe/messages"
)

// ownGoals passes on what the goals of one request say: those of guests are not
// for this terminal.
type ownGoals struct {
	tell func(messages.Message)

	mu      sync.Mutex // guards what follows
	request uint64
	last    map[messages.Address]*messages.GoalChanged // of each goal that has not ended
	own     map[messages.Address]bool
	shown   map[string]bool // errors that were passed on
}

func newOwnGoals(tell func(messages.Message)) *ownGoals {
	return &ownGoals{tell: tell, last: map[messages.Address]*messages.GoalChanged{}, own: map[messages.Address]bool{}, shown: map[string]bool{}}
}

// watch says whose goals are wanted, before they are made.
func (o *ownGoals) watch(request uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.request = request
}

// hear takes what any goal says.
func (o *ownGoals) hear(m messages.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch m := m.(type) {
	case *messages.GoalWanted:
		if slices.Contains(m.Requests, o.request) && !o.own[m.Goal] {
			o.own[m.Goal] = true
			if now := o.last[m.Goal]; now != nil {
				o.tell(now)
			}
		}
	case *messages.GoalChanged:
		o.last[m.Goal] = m
		o.pass(m.Goal, m)
	case *messages.GoalLine:
		o.pass(m.Goal, m)
	case *messages.GoalFetches:
		o.pass(m.Goal, m)
	case *messages.HookLine:
		o.pass(m.Goal, m)
	case *messages.GoalWarned:
		o.pass(m.Goal, m)
	case *messages.GoalEnded:
		o.pass(m.Goal, m)
		if o.own[m.Goal] && messages.Shown(m.Goal, m.Result) {
			o.shown[m.Result.Error] = true
		}
		delete(o.last, m.Goal)
		delete(o.own, m.Goal)
	}
}

func (o *ownGoals) pass(goal messages.Address, m messages.Message) {
	if o.own[goal] {
		o.tell(m)
	}
}

// wasShown reports whether an error was passed on.
func (o *ownGoals) wasShown(text string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.shown[text]
}
