package makespan

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"time"

	"troupe/cmd/troupe-bench/graph"
)

// Read makes a plan with durations from a file: a JSON object of seconds by the
// names of derivations. What is not in it takes a second, and nobody knows.
func Read(s graph.Shape, file string) (Plan, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Plan{}, err
	}
	var seconds map[string]float64
	if err := json.Unmarshal(text, &seconds); err != nil {
		return Plan{}, fmt.Errorf("read durations '%s': %w", file, err)
	}
	p := Plan{Shape: s}
	for _, n := range s.Nodes {
		took := time.Duration(seconds[n.Name] * float64(time.Second))
		p.Recorded = append(p.Recorded, took)
		if took <= 0 {
			took = time.Second
		}
		p.Took = append(p.Took, took)
	}
	return p, nil
}

// Draw makes a plan with durations that are drawn by the names of derivations, as
// builds of real software are spread: half of them take less than ten seconds, a
// few an hour. What only fetches takes a tenth of that. What is recorded is off by
// a factor of up to error, in either direction; 1 is that nothing is.
func Draw(s graph.Shape, wrong float64) Plan {
	p := Plan{Shape: s}
	for _, n := range s.Nodes {
		h := fnv.New64a()
		h.Write([]byte(n.Name))
		rng := rand.New(rand.NewPCG(1, h.Sum64()))
		seconds := min(10*math.Exp(1.6*rng.NormFloat64()), 4*3600)
		if len(n.Inputs) == 0 {
			seconds /= 10
		}
		took := time.Duration(seconds * float64(time.Second))
		p.Took = append(p.Took, took)
		p.Recorded = append(p.Recorded, time.Duration(float64(took)*math.Pow(wrong, 2*rng.Float64()-1)))
	}
	return p
}
