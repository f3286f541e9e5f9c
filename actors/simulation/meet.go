package simulation

import (
	"fmt"
	"slices"
	"time"

	"troupe/actors/slots"
	"troupe/messages"
	"troupe/storage/storepath"
)

// Comparison is how a demand was met when it was recorded, how the recorded
// policy meets it in virtual time, and how another one does.
type Comparison struct {
	Policy                  slots.Policy // the recorded one
	Recorded, Before, After Measures
}

// Compare meets a demand by its own policy and by another one.
func (d *Demand) Compare(p slots.Policy) (c Comparison, err error) {
	c.Policy = d.policy()
	before, err := d.meet(c.Policy, Options{})
	if err != nil {
		return c, err
	}
	after, err := d.meet(p, Options{})
	if err != nil {
		return c, err
	}
	alone := map[messages.Address]time.Duration{}
	for client := range before.byClient() {
		one, err := d.of(client).meet(c.Policy, Options{})
		if err != nil {
			return c, err
		}
		alone[client] = one.byClient()[client]
	}
	c.Recorded, c.Before, c.After = d.recorded.measures(alone), before.measures(alone), after.measures(alone)
	return c, nil
}

// Meet meets a demand by a policy, without checkers, so that the demand may be of
// thousands of derivations. Fairness is not known from that alone, and is 0.
func (d *Demand) Meet(p slots.Policy) (Measures, error) {
	m, err := d.meet(p, Options{Unchecked: true})
	if err != nil {
		return Measures{}, err
	}
	out := m.measures(nil)
	out.Fairness = 0
	return out, nil
}

// meet runs a demand in virtual time, without faults.
func (d *Demand) meet(p slots.Policy, o Options) (*meter, error) {
	m := newMeter(clients)
	o.Journal = m
	s := Scenario{Seed: 1, Clients: len(d.Arrivals), Slots: d.Settings.MaxJobs, Users: len(d.Settings.Users), Boxed: true,
		Graph: d.Graph, Demand: d, Policy: p}
	if f := Run(s, o).Failure; f != nil {
		return nil, fmt.Errorf("meet the demand by policy '%s': %w", p, f)
	}
	return m, nil
}

// of is the demand of one client alone.
func (d *Demand) of(client messages.Address) *Demand {
	one := *d
	one.Arrivals = slices.DeleteFunc(slices.Clone(d.Arrivals), func(a Arrival) bool { return a.Client != client })
	return &one
}

// demandClients make the requests of a demand, at their times.
func demandClients(w *World) (all []*client) {
	byAddress := map[messages.Address]*client{}
	for _, a := range w.Demand.Arrivals {
		m := a.RealiseTargets
		m.Client = demandClient(a.Client)
		c := byAddress[m.Client]
		if c == nil {
			c = &client{w: w, address: m.Client, rng: stream(w.Seed, "client"), open: map[uint64]*messages.RealiseTargets{}}
			byAddress[m.Client] = c
			all = append(all, c)
		}
		w.ev.after(a.At, "", 0, func() { c.make(&m) })
		if a.Withdrawn > 0 {
			w.ev.after(a.Withdrawn, "", 0, func() { c.cancel(m.Request) })
		}
	}
	return all
}

func demandClient(a messages.Address) messages.Address { return clients + a }

// meeting makes the world's store what it was when the demand came.
func (w *World) meeting() {
	w.disk.stock(w.Demand.Valid)
	for _, p := range w.Demand.Failed {
		w.disk.failed[p] = true
	}
}

// fails reports whether a build fails because it did when it was recorded.
func (w *World) fails(drv storepath.Path) bool { return w.Demand != nil && w.Demand.Fails[drv] }
