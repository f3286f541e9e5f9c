package references_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"troupe/storage/nixhash"
	"troupe/storage/references"
)

// slow is the definition: a part is found where it stands.
func slow(parts []string, data []byte) (found []string) {
	for _, p := range parts {
		if bytes.Contains(data, []byte(p)) {
			found = append(found, p)
		}
	}
	return found
}

func TestSlow(t *testing.T) {
	a, b := strings.Repeat("a", 32), strings.Repeat("b", 32)
	if got := slow([]string{a, b}, []byte("x"+b)); !slices.Equal(got, []string{b}) {
		t.Fatal(got)
	}
}

func part(r *rand.Rand) string {
	b := make([]byte, 32)
	for i := range b {
		b[i] = nixhash.Alphabet[r.IntN(32)]
	}
	return string(b)
}

// scan writes data in pieces of random sizes. Some of the parts are only given when
// they are asked for.
func scan(r *rand.Rand, parts []string, data []byte) []string {
	likely := r.IntN(len(parts) + 1)
	s := references.NewScanner(parts[:likely], func() ([]string, error) { return parts, nil })
	for len(data) > 0 {
		n := min(len(data), 1+r.IntN(80))
		s.Write(data[:n])
		data = data[n:]
	}
	return s.Found()
}

func TestScannerAgainstSlow(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var parts []string
		for range 1 + r.IntN(20) {
			parts = append(parts, part(r))
		}
		var data []byte
		for range r.IntN(30) {
			switch r.IntN(4) {
			case 0:
				data = append(data, parts[r.IntN(len(parts))]...)
			case 1: // nearly one
				p := []byte(parts[r.IntN(len(parts))])
				p[r.IntN(32)] = "e0"[r.IntN(2)]
				data = append(data, p...)
			case 2:
				data = append(data, part(r)[:r.IntN(32)]...)
			case 3:
				data = append(data, "/nix/store/ "[:r.IntN(12)]...)
			}
		}
		if got, want := scan(r, parts, data), slow(parts, data); !slices.Equal(got, want) {
			t.Fatalf("seed %d: found %v, want %v", seed, got, want)
		}
	}
}

func FuzzScanner(f *testing.F) {
	f.Add([]byte("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-x"), uint64(1))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 2))
		parts := []string{"0123456789abcdfghijklmnpqrsvwxyz", part(r)}
		if len(data) > 40 && len(slow(nil, data)) == 0 {
			candidate := string(data[8:40])
			if strings.Trim(candidate, nixhash.Alphabet) == "" {
				parts = append(parts, candidate)
			}
		}
		if got, want := scan(r, parts, data), slow(parts, data); !slices.Equal(got, want) {
			t.Fatalf("found %v, want %v", got, want)
		}
	})
}

// All parts are asked for once, and only where something may be one that is not known.
func TestMoreParts(t *testing.T) {
	likely, other := strings.Repeat("a", 32), strings.Repeat("b", 32)
	for text, want := range map[string]int{
		"see " + likely + " and " + other[:31]: 0,
		"see " + other:                         1,
		strings.Repeat("c-"+other+" ", 3):      1,
	} {
		asked := 0
		s := references.NewScanner([]string{likely}, func() ([]string, error) { asked++; return []string{likely, other}, nil })
		if _, err := s.Write([]byte(text)); err != nil || asked != want {
			t.Errorf("%q: asked %d times, want %d (%v)", text, asked, want, err)
		}
		if got := s.Found(); !slices.Equal(got, slow([]string{likely, other}, []byte(text))) {
			t.Errorf("%q: found %v", text, got)
		}
	}
	lost := errors.New("lost")
	s := references.NewScanner(nil, func() ([]string, error) { return nil, lost })
	s.Write([]byte(other))
	if _, err := s.Write([]byte("the end")); !errors.Is(err, lost) {
		t.Errorf("parts that cannot be had: %v", err)
	}
}

func TestHashing(t *testing.T) {
	data := []byte("some text with " + strings.Repeat("c", 32) + " in it")
	h := references.NewHashing([]string{strings.Repeat("c", 32)}, nil)
	h.Write(data[:20])
	h.Write(data[20:])
	h.Close()
	if h.Sum() != nixhash.Sum(nixhash.SHA256, data) || h.Size() != uint64(len(data)) || len(h.Found()) != 1 {
		t.Fatal(h.Sum(), h.Size(), h.Found())
	}
}

func TestSort(t *testing.T) {
	graph := map[string][]string{"out": {"lib", "out", "elsewhere"}, "lib": {"data"}, "dev": {"out", "lib"}}
	edges := func(n string) []string { return graph[n] }
	got, err := references.Sort([]string{"out", "dev", "lib", "data"}, edges)
	if err != nil || !slices.Equal(got, []string{"data", "lib", "out", "dev"}) {
		t.Fatal(got, err)
	}
	graph["data"] = []string{"dev"}
	_, err = references.Sort([]string{"out", "dev", "lib", "data"}, edges)
	var cycle *references.CycleError
	if !errors.As(err, &cycle) || cycle.Error() != "cycle in the references: data -> dev -> lib -> data" {
		t.Fatal(err)
	}
}

func benchmark(b *testing.B, data []byte, candidates int) {
	r := rand.New(rand.NewPCG(1, 1))
	var parts []string
	for range candidates {
		parts = append(parts, part(r))
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		s := references.NewScanner(parts, nil)
		s.Write(data)
	}
}

func BenchmarkBinary(b *testing.B) {
	r := rand.New(rand.NewPCG(2, 2))
	data := make([]byte, 1<<22)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	benchmark(b, data, 1000)
}

func BenchmarkDenseBase32(b *testing.B) {
	r := rand.New(rand.NewPCG(2, 2))
	data := make([]byte, 1<<22)
	for i := range data {
		data[i] = nixhash.Alphabet[r.IntN(32)]
	}
	benchmark(b, data, 1000)
}
