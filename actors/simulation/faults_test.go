package simulation_test

import (
	"testing"

	"troupe/actors/simulation"
)

func TestParseFaults(t *testing.T) {
	usual := simulation.Usual()
	with := func(f simulation.Faults, fault simulation.Fault, rate int) simulation.Faults {
		f[fault] = rate
		return f
	}
	for text, want := range map[string]simulation.Faults{
		"":                          usual,
		"all":                       usual,
		"none":                      {},
		"service-dies":              with(simulation.Faults{}, simulation.ServiceDies, 150),
		"none,service-dies=500":     with(simulation.Faults{}, simulation.ServiceDies, 500),
		"-client-cancels":           with(usual, simulation.ClientCancels, 0),
		"all,-cycle":                with(usual, simulation.Cycle, 0),
		"service-dies=500,all":      usual,
		"service-dies=500,none":     {},
		"build-fails=1000,cycle=30": with(with(simulation.Faults{}, simulation.BuildFails, 1000), simulation.Cycle, 30),
	} {
		if got, err := simulation.ParseFaults(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"nonsense", "cycle=", "cycle=1001", "cycle=-1", "cycle=x", "=3"} {
		if got, err := simulation.ParseFaults(text); err == nil {
			t.Errorf("%q is taken as %v", text, got)
		}
	}
}
