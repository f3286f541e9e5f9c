package simulation

import "context"

// Shrink looks for a smaller scenario in which the same invariant fails: fewer
// faults, clients, requests and goals. Another seed near by may have to be taken,
// as with less in it a world goes another way.
func Shrink(ctx context.Context, f *Failure) *Failure {
	seed := f.Seed
	for smaller := true; smaller && ctx.Err() == nil; {
		smaller = false
		for _, s := range simpler(f.Scenario) {
			if g := findAgain(ctx, s, f.Invariant); g != nil {
				f, smaller = g, true
				break
			}
		}
	}
	f.Seed = seed
	return f
}

// attempts is how many seeds a smaller scenario is tried with.
const attempts = 60

func findAgain(ctx context.Context, s Scenario, invariant string) *Failure {
	seed := s.Seed
	for i := range uint64(attempts) {
		if ctx.Err() != nil {
			return nil
		}
		s.Seed = seed + i*1_000_003
		if r := Run(s, Options{}); r.Failure != nil && r.Failure.Invariant == invariant {
			return r.Failure
		}
	}
	return nil
}

// simpler lists scenarios that have a little less, the greatest steps first.
func simpler(s Scenario) (list []Scenario) {
	if s.Faults != (Faults{}) {
		t := s
		t.Faults = Faults{}
		list = append(list, t)
	}
	for _, n := range []int{s.Goals / 2, s.Goals - 1} {
		if n > 0 && n < s.Goals && s.Graph == nil {
			t := s
			t.Goals = n
			list = append(list, t)
		}
	}
	less := func(at func(*Scenario) *int) {
		if t := s; *at(&t) > 1 {
			*at(&t)--
			list = append(list, t)
		}
	}
	less(func(t *Scenario) *int { return &t.Clients })
	less(func(t *Scenario) *int { return &t.Guests })
	less(func(t *Scenario) *int { return &t.Requests })
	less(func(t *Scenario) *int { return &t.Slots })
	less(func(t *Scenario) *int { return &t.Machines })
	for i, rate := range s.Faults {
		if rate > 0 {
			t := s
			t.Faults[i] = 0
			list = append(list, t)
		}
	}
	return list
}
