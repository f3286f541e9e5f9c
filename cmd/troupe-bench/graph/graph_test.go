package graph

import (
	"strings"
	"testing"

	"troupe/messages"
	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

func parsed(t *testing.T, base string) storepath.Path {
	t.Helper()
	p, err := storepath.ParseBase(base)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// shapes that rows build.
var shapes = map[string]Shape{"chain": Chain(10), "independent": Independent(20), "wide": Independent(1500), "layered": Layered(4, 7, 5), "corpus": Corpus(60)}

// TestShapes: inputs come before what reads them, each once, and the last node
// leads to all.
func TestShapes(t *testing.T) {
	for name, s := range shapes {
		reached := make([]bool, len(s.Nodes))
		reached[s.Top()] = true
		for i := s.Top(); i >= 0; i-- {
			if !reached[i] {
				t.Errorf("%s: nobody needs node %d", name, i)
			}
			seen := map[int]bool{}
			for _, in := range s.Nodes[i].Inputs {
				if in >= i || seen[in] {
					t.Fatalf("%s: node %d reads %v", name, i, s.Nodes[i].Inputs)
				}
				seen[in], reached[in] = true, true
			}
		}
	}
}

// TestMake holds derivations against the check of their output paths.
func TestMake(t *testing.T) {
	m := Maker{Dir: "/nix/store", Box: parsed(t, strings.Repeat("0", 32)+"-box"), Salt: "salt"}
	items, err := m.Make(Shape{append(shapes["layered"].Nodes, Node{Name: "layer-0-0"})})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[storepath.Path]bool{}
	checker := derivation.NewChecker(m.Dir, func(name string, err error) { t.Errorf("%s: %v", name, err) })
	for _, i := range items {
		checker.Add(i.Path.Base(), i.Drv.Print(m.Dir))
		if seen[i.Path] {
			t.Errorf("%s comes twice", i.Path)
		}
		seen[i.Path] = true
		if got := i.Drv.Env["out"]; got != m.Dir.Join(i.Out) {
			t.Errorf("%s writes to '%s'", i.Path, got)
		}
	}
}

// TestWide: more inputs than a variable can hold are passed as a file, and all
// outputs know what they hold.
func TestWide(t *testing.T) {
	items, err := Maker{Dir: "/nix/store", Box: parsed(t, strings.Repeat("0", 32)+"-box")}.Make(shapes["wide"])
	if err != nil {
		t.Fatal(err)
	}
	top := items[len(items)-1]
	if top.Drv.Env["passAsFile"] != "" || len(top.Refs) != 1500 {
		t.Errorf("1,500 inputs are passed as a file '%s', with %d references", top.Drv.Env["passAsFile"], len(top.Refs))
	}
	items, err = Maker{Dir: "/nix/store/" + storepath.Dir(strings.Repeat("x", 50)), Box: parsed(t, strings.Repeat("0", 32)+"-box")}.Make(shapes["wide"])
	if err != nil {
		t.Fatal(err)
	}
	top = items[len(items)-1]
	if top.Drv.Env["passAsFile"] != "deps" {
		t.Errorf("a variable has %d bytes", len(top.Drv.Env["deps"]))
	}
	for _, v := range top.Drv.Env["deps"] {
		if v == ' ' {
			t.Fatal("a file of inputs has one a line")
		}
	}
	if n := strings.Count(string(top.Archive), "-leaf-"); n != 1500 {
		t.Errorf("the output names %d inputs", n)
	}
}

// TestOfRecipes: derivations may come in any order.
func TestOfRecipes(t *testing.T) {
	drv := func(name string) storepath.Path { return parsed(t, strings.Repeat("0", 32)+"-"+name+".drv") }
	needs := func(names ...string) (list []messages.Target) {
		for _, n := range names {
			list = append(list, messages.Target{Path: drv(n)})
		}
		return list
	}
	s, err := OfRecipes([]messages.Recipe{{Drv: drv("c"), Inputs: needs("b", "a")}, {Drv: drv("a")}, {Drv: drv("b"), Inputs: needs("a", "elsewhere")}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range s.Nodes {
		name := n.Name
		for _, in := range n.Inputs {
			name += " " + s.Nodes[in].Name
		}
		got = append(got, name)
	}
	if text := strings.Join(got, ", "); text != "a, b a, c b a, top c" {
		t.Error(text)
	}
	if _, err := OfRecipes([]messages.Recipe{{Drv: drv("a"), Inputs: needs("b")}, {Drv: drv("b"), Inputs: needs("a")}}); err == nil {
		t.Error("a derivation may need itself")
	}
}
