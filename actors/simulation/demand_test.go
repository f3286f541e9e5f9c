package simulation_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"troupe/actors/journal"
	"troupe/actors/machines"
	"troupe/actors/simulation"
	"troupe/actors/slots"
	"troupe/messages"
	"troupe/storage/storepath"
)

func parsed(t *testing.T, base string) storepath.Path {
	t.Helper()
	p, err := storepath.ParseBase("00000000000000000000000000000000-" + base)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// twoClients want one thing each: "many" four builds of ten seconds at once, and
// "few" a build of one second, a second later. There is one slot.
func twoClients(t *testing.T) *simulation.Demand {
	t.Helper()
	var recipes []messages.Recipe
	var many []messages.Target
	add := func(name string, took time.Duration) messages.Target {
		drv := parsed(t, name+".drv")
		recipes = append(recipes, messages.Recipe{Drv: drv, Outputs: []messages.Output{{Name: "out", Path: parsed(t, name)}}, Expected: took})
		return messages.Target{Path: drv, Outputs: []string{"out"}}
	}
	for _, name := range []string{"m1", "m2", "m3", "m4"} {
		many = append(many, add(name, 10*time.Second))
	}
	few := []messages.Target{add("a", time.Second)}
	return &simulation.Demand{Graph: simulation.NewGraph(recipes),
		Settings: machines.Settings{MaxJobs: 1, Users: []messages.BuildUser{{UID: 1000, GID: 100, Shared: true}}},
		Arrivals: []simulation.Arrival{
			{At: 0, RealiseTargets: messages.RealiseTargets{Client: "many", Targets: many, KeepGoing: true}},
			{At: time.Second, RealiseTargets: messages.RealiseTargets{Client: "few", Targets: few, KeepGoing: true}},
		}}
}

// recordDemand lets a policy meet a demand, and reads what was recorded.
func recordDemand(t *testing.T, d *simulation.Demand, p slots.Policy) *journal.Reader {
	t.Helper()
	s := simulation.Scenario{Seed: 7, Clients: len(d.Arrivals), Slots: d.Settings.MaxJobs, Boxed: true, Graph: d.Graph, Demand: d, Policy: p}
	header, err := json.Marshal(simulation.Settings(s))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := journal.NewWriter(&b, journal.Header{Started: time.Unix(1, 0), Settings: header})
	if err != nil {
		t.Fatal(err)
	}
	if r := simulation.Run(s, simulation.Options{Journal: w}); r.Failure != nil {
		t.Fatal(r.Failure)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	j, err := journal.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func compare(t *testing.T, j *journal.Reader, p slots.Policy) (*simulation.Demand, simulation.Comparison) {
	t.Helper()
	d, err := simulation.ReadDemand(j)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.Compare(p)
	if err != nil {
		t.Fatal(err)
	}
	return d, c
}

// near reports whether two times differ by what the world's own work takes.
func near(a, b time.Duration) bool { return (a - b).Abs() < 10*time.Millisecond }

// TestCompare checks against times worked out by hand. By age the few wait for
// the many, 40 seconds; with shares they come second, after 10.
func TestCompare(t *testing.T) {
	_, c := compare(t, recordDemand(t, twoClients(t), slots.FirstCome), slots.Shares)
	if c.Policy != slots.FirstCome {
		t.Errorf("the recorded policy was %s", c.Policy)
	}
	byAge := simulation.Measures{Makespan: 41 * time.Second, MeanAnswer: 40 * time.Second, MaxAnswer: 40 * time.Second,
		MeanWait: (0 + 10 + 20 + 30 + 39) * time.Second / 5, MaxWait: 39 * time.Second, Fairness: jain(1, 40), Builds: 5}
	shared := simulation.Measures{Makespan: 41 * time.Second, MeanAnswer: 25500 * time.Millisecond, MaxAnswer: 41 * time.Second,
		MeanWait: (0 + 9 + 11 + 21 + 31) * time.Second / 5, MaxWait: 31 * time.Second, Fairness: jain(41.0/40, 10), Builds: 5}
	for _, x := range []struct {
		name      string
		got, want simulation.Measures
	}{{"recorded", c.Recorded, byAge}, {"before", c.Before, byAge}, {"after", c.After, shared}} {
		g, w := x.got, x.want
		if !near(g.Makespan, w.Makespan) || !near(g.MeanAnswer, w.MeanAnswer) || !near(g.MaxAnswer, w.MaxAnswer) ||
			!near(g.MeanWait, w.MeanWait) || !near(g.MaxWait, w.MaxWait) || math.Abs(g.Fairness-w.Fairness) > 0.002 || g.Builds != w.Builds {
			t.Errorf("%s:\n got %+v\nwant %+v", x.name, g, w)
		}
	}
	if got, want := granted(c.Before), "m1 m2 m3 m4 a"; got != want {
		t.Errorf("by age slots go to %s, want %s", got, want)
	}
	if got, want := granted(c.After), "m1 a m2 m3 m4"; got != want {
		t.Errorf("by shares slots go to %s, want %s", got, want)
	}
}

// granted names the derivations that got slots.
func granted(m simulation.Measures) string {
	var names []string
	for _, goal := range m.Order {
		_, name, _ := strings.Cut(string(goal), "-")
		names = append(names, strings.TrimSuffix(name, ".drv"))
	}
	return strings.Join(names, " ")
}

// A service runs for weeks.
func TestALongDemandIsMet(t *testing.T) {
	d := twoClients(t)
	d.Arrivals[1].At = 1000 * time.Hour
	_, c := compare(t, recordDemand(t, d, slots.Shares), slots.ByName)
	if want := 1000*time.Hour + time.Second; !near(c.Recorded.Makespan, want) || !near(c.After.Makespan, want) {
		t.Errorf("%v and %v", c.Recorded.Makespan, c.After.Makespan)
	}
}

// jain is the index of two.
func jain(a, b float64) float64 { return (a + b) * (a + b) / (2 * (a*a + b*b)) }

// TestDemandOfFailures: what failed fails again, what was withdrawn is, what was
// there stays there, and a cached failure is one.
func TestDemandOfFailures(t *testing.T) {
	d := twoClients(t)
	m2, m3, m4 := parsed(t, "m2.drv"), parsed(t, "m3"), parsed(t, "m4")
	d.Fails = map[storepath.Path]bool{m2: true}
	d.Valid, d.Failed = []storepath.Path{m3}, []storepath.Path{m4}
	d.Arrivals = append(d.Arrivals, simulation.Arrival{At: 2 * time.Second, Withdrawn: 5 * time.Second,
		RealiseTargets: messages.RealiseTargets{Client: "fickle", Targets: []messages.Target{{Path: parsed(t, "a.drv"), Outputs: []string{"out"}}}}})
	got, c := compare(t, recordDemand(t, d, slots.ByName), slots.FirstCome)
	if !got.Fails[m2] || got.Fails[parsed(t, "m1.drv")] || len(got.Valid) != 1 || got.Valid[0] != m3 || len(got.Failed) != 1 || got.Failed[0] != m4 {
		t.Errorf("fails %v, valid %v, failed %v", got.Fails, got.Valid, got.Failed)
	}
	if w := got.Arrivals[2].Withdrawn; !near(w, 5*time.Second) || got.Arrivals[0].Withdrawn != 0 {
		t.Errorf("withdrawn at %v and %v", w, got.Arrivals[0].Withdrawn)
	}
	// m1 or m2 runs first, a goes by its name before the other of the two, and by
	// age after it. What was withdrawn is no answer.
	if c.Recorded.Builds != 3 || c.After.Builds != 3 || !near(c.Recorded.MaxAnswer, 21*time.Second) ||
		!near(c.Recorded.MeanAnswer, (21+10)*time.Second/2) || !near(c.After.MeanAnswer, 20*time.Second) {
		t.Errorf("%+v\n%+v", c.Recorded, c.After)
	}
	if got.Settings.Slots != slots.ByName || got.Unknown != 0 {
		t.Errorf("policy %q, %d unknown", got.Settings.Slots, got.Unknown)
	}
}

// TestReplayWithPolicy: a journal says which policy made its decisions.
func TestReplayWithPolicy(t *testing.T) {
	for _, p := range slots.Policies() {
		j := recordDemand(t, twoClients(t), p)
		var m machines.Settings
		if err := json.Unmarshal(j.Header.Settings, &m); err != nil {
			t.Fatal(err)
		}
		got, err := journal.Replay(j, machines.FixedKinds(), m.Make)
		if err != nil || len(got.Differences) > 0 || got.Steps == 0 {
			t.Errorf("%s: %d steps, %v, %v", p, got.Steps, err, got.Differences)
		}
	}
	j := recordDemand(t, twoClients(t), slots.FirstCome)
	m := machines.Settings{MaxJobs: 1, Slots: slots.Shares, Users: []messages.BuildUser{{UID: 1000, GID: 100, Shared: true}}}
	got, err := journal.Replay(j, machines.FixedKinds(), m.Make)
	if err != nil || len(got.Differences) != 1 || got.Differences[0].Was.Actor != messages.Slots {
		t.Errorf("another policy replays as the recorded one: %v, %v", err, got.Differences)
	}
}

func TestReadDemandRefuses(t *testing.T) {
	for what, h := range map[string]journal.Header{
		"not kept the beginning":    {Segment: 1, Settings: json.RawMessage(`{}`)},
		"no policy 'from-tomorrow'": {Settings: json.RawMessage(`{"Slots":"from-tomorrow"}`)},
		"nothing was asked for":     {Settings: json.RawMessage(`{"MaxJobs":1}`)},
		"settings":                  {Settings: json.RawMessage(`[]`)},
	} {
		var b bytes.Buffer
		w, err := journal.NewWriter(&b, h)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		j, err := journal.NewReader(&b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := simulation.ReadDemand(j); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want %s", err, what)
		}
	}
}
