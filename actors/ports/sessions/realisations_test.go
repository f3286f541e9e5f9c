package sessions_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"troupe/messages/workerproto"
	"troupe/storage/derivation"
	"troupe/storage/nixhash"
	"troupe/storage/signature"
	"troupe/storage/storepath"
	"troupe/storage/validity"

	gonix "github.com/nix-community/go-nix/pkg/narinfo/signature"
)

// unnamed makes a derivation of a kind whose output has no path before it is
// built. Its script has the inputs' paths in $inputs.
func (w *world) unnamed(kind derivation.Kind, name, script string, inputs ...recipe) recipe {
	w.t.Helper()
	d := &derivation.Derivation{Name: name, Platform: platform, Builder: "/bin/sh", Args: []string{"-e", "-c", script},
		Outputs: []derivation.Output{{Name: "out", Kind: kind}}, Env: map[string]string{"out": "", "PATH": os.Getenv("PATH"), "inputs": ""}}
	if kind != derivation.Deferred {
		d.Outputs[0].Method, d.Outputs[0].Algorithm = storepath.NAR, nixhash.SHA256
		d.Env["out"] = derivation.Placeholder("out")
	}
	for _, in := range inputs {
		d.Inputs = append(d.Inputs, derivation.Input{Path: in.drv, Wanted: derivation.Wanted{Outputs: []string{"out"}}})
		path := w.layout.Dir.Join(in.out)
		if in.out.IsZero() {
			path = derivation.DownstreamPlaceholder(in.drv, "out")
		}
		d.Env["inputs"] += path + " "
	}
	slices.SortFunc(d.Inputs, func(a, b derivation.Input) int { return a.Path.Compare(b.Path) })
	drv, err := d.Path(w.layout.Dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return recipe{drv: drv, d: d}
}

// realise builds recipes and says where their outputs are.
func (c *client) realise(recipes ...recipe) (results []workerproto.BuildResult) {
	c.t.Helper()
	q := workerproto.BuildPathsWithResults(*build(recipes...))
	for i, r := range tell[*workerproto.KeyedBuildResults](c, &q, nil).Results {
		if r.Result.Error != "" || len(r.Result.BuiltOutputs) != 1 {
			c.t.Fatalf("%s: %+v", recipes[i].d.Name, r.Result)
		}
		results = append(results, r.Result)
	}
	return results
}

// where is the path of an output as the client is told of it.
func (c *client) where(r recipe) storepath.Path {
	c.t.Helper()
	all := tell[*workerproto.OutputMap](c, &workerproto.QueryDerivationOutputMap{Path: r.drv}, nil).Outputs
	if len(all) != 1 || all[0].Name != "out" {
		c.t.Fatalf("outputs of %s: %+v", r.d.Name, all)
	}
	return all[0].Path
}

func (c *client) willBuild(recipes ...recipe) []storepath.Path {
	c.t.Helper()
	return tell[*workerproto.Missing](c, &workerproto.QueryMissing{Paths: build(recipes...).Paths}, nil).WillBuild
}

func TestOutputsWithoutPaths(t *testing.T) {
	w := newWorld(t)
	c := w.connect(rootUser, newest)
	root := w.unnamed(derivation.Floating, "root", "mkdir $out; ln -s $out/file $out/self")
	again := w.unnamed(derivation.Floating, "root", "mkdir $out; : of another derivation; ln -s $out/file $out/self")
	top := w.unnamed(derivation.Deferred, "top", "echo $inputs > $out", root)
	other := w.unnamed(derivation.Deferred, "top", "echo $inputs > $out", again)
	c.add(root, again, top, other)
	if p := c.where(top); !p.IsZero() {
		t.Errorf("before it is built it is at %v", p)
	}
	if missing := c.willBuild(top); len(missing) != 2 {
		t.Errorf("would be built: %v", missing)
	}
	made := c.realise(root, again)
	at := made[0].BuiltOutputs[0].OutPath
	if made[1].BuiltOutputs[0].OutPath != at || c.where(root) != at || c.where(again) != at {
		t.Errorf("it is at %v and %v", made[0].BuiltOutputs, made[1].BuiltOutputs)
	}
	if link, err := os.Readlink(w.layout.RealPath(at) + "/self"); link != w.layout.Dir.Join(at)+"/file" {
		t.Errorf("it says that it is at %s, %v", link, err)
	}
	info := tell[*workerproto.OptionalPathInfo](c, &workerproto.QueryPathInfo{Path: at}, nil).Info
	if info == nil || !strings.HasPrefix(info.CA, "fixed:r:sha256:") || !slices.Contains(info.References, at) {
		t.Errorf("it is known as %+v", info)
	}

	first, cut := c.realise(top)[0], c.realise(other)[0]
	if first.Status != 0 || cut.Status != 13 { // built; resolves to what is valid already
		t.Errorf("they ended as %d and %d", first.Status, cut.Status)
	}
	if text, err := os.ReadFile(w.layout.RealPath(c.where(other))); string(text) != w.layout.Dir.Join(at)+"\n" {
		t.Errorf("it was told %q, %v", text, err)
	}
	if missing := c.willBuild(top, other); len(missing) > 0 {
		t.Errorf("would be built: %v", missing)
	}
	asked := tell[*workerproto.OptionalRealisation](c, &workerproto.QueryRealisation{ID: cut.BuiltOutputs[0].ID}, nil).Realisation
	if asked == nil || asked.OutPath != c.where(other) {
		t.Errorf("it is realised by %+v", asked)
	}
	if got := tell[*workerproto.OptionalRealisation](c, &workerproto.QueryRealisation{ID: workerproto.DrvOutput{Hash: nixhash.Sum(nixhash.SHA256, nil), Output: "out"}}, nil).Realisation; got != nil {
		t.Errorf("nothing is realised by %+v", got)
	}
}

// What is built by many at once, of different derivations with the same contents,
// is put there once.
func TestOutputsThatAreTheSame(t *testing.T) {
	w := newWorld(t)
	c := w.connect(rootUser, newest)
	var all []recipe
	for _, n := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		all = append(all, w.unnamed(derivation.Floating, "same", "mkdir $out; echo x > $out/file; : "+n))
	}
	c.add(all...)
	paths := map[storepath.Path]bool{}
	for _, r := range c.realise(all...) {
		paths[r.BuiltOutputs[0].OutPath] = true
	}
	if len(paths) != 1 {
		t.Errorf("they are at %v", paths)
	}
	left, err := os.ReadDir(string(w.layout.Dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if strings.HasSuffix(e.Name(), "-same") && !paths[parse(t, e.Name())] {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func parse(t *testing.T, base string) storepath.Path {
	t.Helper()
	p, err := storepath.ParseBase(base)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Whoever says where an output lies says what is built with it: that takes trust.
func TestWhoSaysWhereOutputsLie(t *testing.T) {
	w := newWorld(t)
	root, ann := w.connect(rootUser, newest), w.connect(anybody, newest)
	source, better := w.derivation("source", "echo source > $out"), w.derivation("better", "echo better > $out")
	root.add(source, better)
	tell[*workerproto.One](root, build(source, better), nil)
	id := workerproto.DrvOutput{Hash: nixhash.Sum(nixhash.SHA256, []byte("x")), Output: "out"}
	said := func(p storepath.Path, signatures ...string) *workerproto.RegisterDrvOutput {
		return &workerproto.RegisterDrvOutput{Realisation: workerproto.Realisation{ID: id, OutPath: p, Signatures: signatures}}
	}
	ann.refused(said(source.out), nil, "lacks a signature by a trusted key")
	root.refused(said(parse(t, strings.Repeat("0", 32)+"-nothing")), nil, "is not valid")
	tell[*workerproto.Nothing](root, said(source.out), nil)
	root.refused(said(better.out), nil, "we already have another one locally")
	if got := tell[*workerproto.OptionalRealisation](ann, &workerproto.QueryRealisation{ID: id}, nil).Realisation; got == nil || got.OutPath != source.out {
		t.Errorf("it is %+v", got)
	}

	secret, public, err := gonix.GenerateKeypair("key", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := w.settings()
	s.Trust.Keys = signature.PublicKeys{public}
	w.tree.Sessions.Configure(s)
	id.Output = "dev"
	signatures, err := signature.SecretKeys{secret}.SignRealisation(validity.Realisation{ID: validity.DrvOutput{Hash: id.Hash, Output: "out"}, Path: source.out})
	if err != nil {
		t.Fatal(err)
	}
	ann.refused(said(source.out, signatures...), nil, "lacks a signature by a trusted key") // it is of another output
	id.Output = "out"
	tell[*workerproto.Nothing](ann, said(source.out, signatures...), nil)
	if got := tell[*workerproto.OptionalRealisation](ann, &workerproto.QueryRealisation{ID: id}, nil).Realisation; !slices.Equal(got.Signatures, signatures) {
		t.Errorf("it is signed by %v", got.Signatures)
	}
}

// Anybody may make what is named by its contents; who makes what is named by its
// inputs says what these were.
func TestGivenWithoutPaths(t *testing.T) {
	w := newWorld(t)
	ann := w.connect(anybody, newest)
	floating, deferred := w.unnamed(derivation.Floating, "floating", "echo x > $out"), w.unnamed(derivation.Deferred, "deferred", "echo x > $out")
	result := tell[*workerproto.BuildResult](ann, &workerproto.BuildDerivation{Path: floating.drv, Derivation: *floating.d}, nil)
	if result.Error != "" || len(result.BuiltOutputs) != 1 || ann.where(floating) != result.BuiltOutputs[0].OutPath {
		t.Errorf("result: %+v", result)
	}
	ann.refused(&workerproto.BuildDerivation{Path: deferred.drv, Derivation: *deferred.d}, nil, "you are not privileged to build input-addressed derivations")
}

// Newer clients name outputs by their derivations.
func TestRealisationsByPath(t *testing.T) {
	w := newWorld(t)
	c := w.raw(rootUser)
	var err error
	if c.Peer, err = (workerproto.Client{Dir: w.layout.Dir, Version: workerproto.Newest, Features: []string{workerproto.RealisationWithPath}}).Connect(c.r, c.w); err != nil {
		t.Fatal(err)
	}
	if err := c.listen(); err != nil {
		t.Fatal(err)
	}
	if !c.Has(workerproto.RealisationWithPath) {
		t.Fatal("the server does not know that")
	}
	floating := w.unnamed(derivation.Floating, "floating", "echo x > $out")
	id := workerproto.DrvOutput{Drv: floating.drv, Output: "out"}
	if got := tell[*workerproto.OptionalRealisation](c, &workerproto.QueryRealisation{ID: id}, nil).Realisation; got != nil {
		t.Errorf("of a derivation that is not there it is %+v", got)
	}
	c.add(floating)
	at := c.realise(floating)[0].BuiltOutputs[0].OutPath
	if got := tell[*workerproto.OptionalRealisation](c, &workerproto.QueryRealisation{ID: id}, nil).Realisation; got == nil || got.OutPath != at {
		t.Errorf("it is %+v", got)
	}
	other := w.unnamed(derivation.Floating, "other", "echo x > $out")
	c.add(other)
	tell[*workerproto.Nothing](c, &workerproto.RegisterDrvOutput{Realisation: workerproto.Realisation{ID: workerproto.DrvOutput{Drv: other.drv, Output: "out"}, OutPath: at}}, nil)
	if got := c.where(other); got != at {
		t.Errorf("what was registered is at %v", got)
	}
}
