package graph

import (
	"bytes"
	"runtime"
	"strconv"
	"strings"

	"troupe/storage/derivation"
	"troupe/storage/nar"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// Maker makes derivations of one store.
type Maker struct {
	Dir  storepath.Dir
	Box  storepath.Path // a valid directory with bin/busybox, linked statically
	Salt string         // other derivations with other salt
}

// Item is a derivation, and what comes of it.
type Item struct {
	Drv     *derivation.Derivation
	Path    storepath.Path
	Out     storepath.Path
	NarHash nixhash.Hash     // zero where it is not known before the build
	Archive []byte           // the NAR of that hash, of trivial builders
	Refs    []storepath.Path // of the output, of trivial builders; sorted
}

// Trivial is the builder's script. It runs in one process, and writes the
// derivation's name, the salt, and the inputs, so that the outputs refer to each
// other as the derivations do.
const Trivial = `{ echo "$name $salt"; for d in $deps; do echo "$d"; done; } > "$out"`

// wide is Trivial for more inputs than a variable can hold.
const wide = `{ echo "$name $salt"; "$box" cat "$depsPath"; } > "$out"`

// maxVariable is how much goes into a variable, in bytes; Linux allows 128 KiB.
const maxVariable = 100_000

// Make makes the derivations of a shape, in its order.
func (m Maker) Make(s Shape) ([]Item, error) {
	b := m.begin()
	for _, n := range s.Nodes {
		if err := b.trivial(n); err != nil {
			return nil, err
		}
	}
	return b.items, nil
}

// Script makes one derivation without inputs, with a script of its own and
// further variables. Sources are paths that it reads.
func (m Maker) Script(name, script string, env map[string]string, sources ...storepath.Path) (Item, error) {
	b := m.begin()
	d := b.empty(name, script)
	d.Sources = append(d.Sources, sources...)
	sortPaths(d.Sources)
	for k, v := range env {
		d.Env[k] = v
	}
	item, err := b.finish(d)
	return item, err
}

// System is what derivations are for: this machine.
func System() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64-linux"
	}
	return "x86_64-linux"
}

type making struct {
	Maker
	items  []Item
	modulo map[storepath.Path]derivation.ModuloHash
}

func (m Maker) begin() *making {
	return &making{Maker: m, modulo: map[storepath.Path]derivation.ModuloHash{}}
}

func (b *making) empty(name, script string) *derivation.Derivation {
	box := b.Dir.Join(b.Box) + "/bin/busybox"
	return &derivation.Derivation{Name: name, Platform: System(), Builder: box, Args: []string{"sh", "-e", "-c", script},
		Sources: []storepath.Path{b.Box},
		Outputs: []derivation.Output{{Name: "out", Kind: derivation.InputAddressed}},
		Env:     map[string]string{"name": name, "salt": b.Salt, "box": box, "builder": box, "system": System(), "out": ""}}
}

func (b *making) trivial(n Node) error {
	d := b.empty(n.Name, Trivial)
	d.Env["node"] = strconv.Itoa(len(b.items)) // there may be another of this name
	var deps []string
	var refs []storepath.Path
	for _, i := range n.Inputs {
		in := b.items[i]
		d.Inputs = append(d.Inputs, derivation.Input{Path: in.Path, Wanted: derivation.Wanted{Outputs: []string{"out"}}})
		deps = append(deps, b.Dir.Join(in.Out))
		refs = append(refs, in.Out)
	}
	sortPaths(refs)
	sortInputs(d.Inputs)
	contents := n.Name + " " + b.Salt + "\n"
	if len(deps) > 0 {
		contents += strings.Join(deps, "\n") + "\n"
	}
	d.Env["deps"] = strings.Join(deps, " ")
	if len(d.Env["deps"]) > maxVariable {
		d.Args[len(d.Args)-1] = wide
		d.Env["passAsFile"] = "deps"
		d.Env["deps"] = strings.Join(deps, "\n") + "\n"
	}
	item, err := b.finish(d)
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := nar.DumpFile(&archive, []byte(contents)); err != nil {
		return err
	}
	item.NarHash = nixhash.Sum(nixhash.SHA256, archive.Bytes())
	item.Archive, item.Refs = archive.Bytes(), refs
	b.items = append(b.items, item)
	return nil
}

// finish computes where the output and the derivation itself lie.
func (b *making) finish(d *derivation.Derivation) (Item, error) {
	outs, err := d.OutputPaths(b.Dir, b.known)
	if err != nil {
		return Item{}, err
	}
	d.Outputs[0].Path = outs[0]
	d.Env["out"] = b.Dir.Join(outs[0])
	p, err := d.Path(b.Dir)
	if err != nil {
		return Item{}, err
	}
	b.modulo[p], err = d.Modulo(b.Dir, b.known)
	return Item{Drv: d, Path: p, Out: outs[0]}, err
}

func (b *making) known(p storepath.Path) (derivation.ModuloHash, error) { return b.modulo[p], nil }
