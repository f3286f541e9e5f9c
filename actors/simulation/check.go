package simulation

import (
	"slices"

	"troupe/actors/host"
	"troupe/actors/slots"
	"troupe/messages"
)

// checker watches over one invariant. It is asked after every step, whenever no
// message is under way, when the service has died, and when the world has come
// to rest.
type checker interface {
	name() string
	step(w *World, s host.Step) error
	quiet(w *World) error
	crash(w *World) error
	end(w *World) error
}

// idle is a checker to which nothing matters.
type idle struct{}

func (idle) step(*World, host.Step) error { return nil }
func (idle) quiet(*World) error           { return nil }
func (idle) crash(*World) error           { return nil }
func (idle) end(*World) error             { return nil }

// checkersFor are all checkers, but that only one policy promises to starve
// nobody.
func checkersFor(s Scenario) []checker {
	all := []checker{&answersChecker{}, newSessionsChecker(), &slotsChecker{}, &buildersChecker{}, &usersChecker{}, &closureChecker{}, newDurableChecker(), newUnwantedChecker(), &audienceChecker{},
		&reasonsChecker{}, &ranksChecker{}, &buildsChecker{}, &fetchesChecker{}, &limitsChecker{}, &restChecker{}, &realisationsChecker{}}
	if s.Policy == "" || s.Policy == slots.Shares {
		all = append(all, newStarvationChecker())
	}
	return all
}

// sent is the message of an effect, if it sends one of that type.
func sent[M messages.Message](e host.Effect) (m M, ok bool) {
	if s, isSend := e.(host.Send); isSend {
		m, ok = s.Msg.(M)
	}
	return m, ok
}

// goalsInOrder lists the living goals by their addresses.
func (v *view) goalsInOrder() []messages.Address {
	all := make([]messages.Address, 0, len(v.goals))
	for at := range v.goals {
		all = append(all, at)
	}
	slices.Sort(all)
	return all
}
