package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
)

// testStore is a store below root that the real program works on.
type testStore struct {
	t       *testing.T
	root    string
	state   string // below root
	env     []string
	flags   []string
	busybox storepath.Path

	modulo map[storepath.Path]derivation.ModuloHash // of the derivations written so far
}

const storeDir storepath.Dir = "/nix/store"

// tempDir goes when the test ends, also where an ordinary user cannot write to
// what is in it.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "troupe-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := localstore.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// newTestStore makes none yet; a busybox tree is added with addBusybox. The
// service has its settings and its temporary directory for itself.
func newTestStore(t *testing.T, work, root string, flags ...string) *testStore {
	t.Helper()
	tmp := filepath.Join(work, "tmp")
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "HOME="+work, "XDG_DATA_HOME="+work, "XDG_CONFIG_HOME="+work, "NIX_CONF_DIR="+work, "TMPDIR="+tmp)
	return &testStore{t: t, root: root, state: "/nix/var/nix", env: append(env, "NIX_STATE_DIR=/nix/var/nix"), flags: flags, modulo: map[storepath.Path]derivation.ModuloHash{}}
}

func (s *testStore) layout() location {
	return location{Dir: storeDir, Root: s.root, StateDir: s.root + s.state, LogDir: s.root + "/nix/var/log/nix"}
}

func (s *testStore) command(args ...string) *exec.Cmd {
	cmd := exec.Command("troupe", append(append([]string{"--store", s.root}, s.flags...), args...)...)
	cmd.Env = s.env
	return cmd
}

// outcome is how one command ended.
type outcome struct {
	stdout, stderr string
	code           int // -1 where it was killed
}

func (s *testStore) run(args ...string) outcome {
	s.t.Helper()
	return s.finish(s.command(args...))
}

func (s *testStore) finish(cmd *exec.Cmd) outcome {
	s.t.Helper()
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return outcome{out.String(), said.String(), cmd.ProcessState.ExitCode()}
}

// want runs a command that must end with a code.
func (s *testStore) want(code int, args ...string) outcome {
	s.t.Helper()
	o := s.run(args...)
	if o.code != code {
		s.t.Fatalf("troupe %s: exit code %d, want %d\n%s", strings.Join(args, " "), o.code, code, o.stderr)
	}
	return o
}

func (s *testStore) addBusybox(work string) {
	s.t.Helper()
	tree := filepath.Join(work, "busybox-tree")
	if !exists(tree) {
		if err := busyboxTree(tree); err != nil {
			s.t.Fatal(err)
		}
	}
	p, err := storeDir.Parse(strings.TrimSpace(s.want(0, "store", "add", "-n", "busybox", tree).stdout))
	if err != nil {
		s.t.Fatal(err)
	}
	s.busybox = p
}

// recipe is a derivation whose builder is busybox's shell.
type recipe struct {
	name     string
	script   string
	outputs  []string // sorted; nil is out
	inputs   []*recipe
	features string // that it requires of a machine

	drv   storepath.Path
	file  string
	paths map[string]storepath.Path // by output
}

// write writes the derivation into a directory, beside its inputs.
func (s *testStore) write(dir string, r *recipe) *recipe {
	s.t.Helper()
	if r.outputs == nil {
		r.outputs = []string{"out"}
	}
	box := storeDir.Join(s.busybox) + "/bin"
	d := &derivation.Derivation{Name: r.name, Sources: []storepath.Path{s.busybox}, Platform: platform(), Builder: box + "/busybox",
		Args: []string{"sh", "-c", r.script}, Env: map[string]string{"PATH": box, "name": r.name}}
	for _, o := range r.outputs {
		d.Outputs = append(d.Outputs, derivation.Output{Name: o})
		d.Env[o] = ""
	}
	var read []string
	for _, in := range r.inputs {
		d.Inputs = append(d.Inputs, derivation.Input{Path: in.drv, Wanted: derivation.Wanted{Outputs: in.outputs}})
		for _, o := range in.outputs {
			read = append(read, storeDir.Join(in.paths[o]))
		}
	}
	d.Env["inputs"] = strings.Join(read, " ")
	if r.features != "" {
		d.Env["requiredSystemFeatures"] = r.features
	}
	slices.SortFunc(d.Inputs, func(a, b derivation.Input) int { return a.Path.Compare(b.Path) })
	s.place(d, r)
	r.file = filepath.Join(dir, r.drv.Base())
	if err := os.WriteFile(r.file, d.Print(storeDir), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// place computes where outputs and derivation will be.
func (s *testStore) place(d *derivation.Derivation, r *recipe) {
	s.t.Helper()
	inputs := func(p storepath.Path) (derivation.ModuloHash, error) { return s.modulo[p], nil }
	paths, err := d.OutputPaths(storeDir, inputs)
	if err != nil {
		s.t.Fatal(err)
	}
	r.paths = map[string]storepath.Path{}
	for i, p := range paths {
		d.Outputs[i].Path = p
		d.Env[d.Outputs[i].Name] = storeDir.Join(p)
		r.paths[d.Outputs[i].Name] = p
	}
	if r.drv, err = d.Path(storeDir); err != nil {
		s.t.Fatal(err)
	}
	if s.modulo[r.drv], err = d.Modulo(storeDir, inputs); err != nil {
		s.t.Fatal(err)
	}
}

func platform() string {
	return map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH] + "-linux"
}

// lacking ends a test that cannot run here: it is skipped, and where somebody
// promised that it can, it fails.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("missing: ", what)
	}
	t.Skip("missing: ", what)
}

// needBuilds ends a test where nothing can be built.
func needBuilds(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("busybox"); err != nil {
		lacking(t, "a static busybox")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
	}
	if err := cmd.Run(); err != nil {
		lacking(t, fmt.Sprint("namespaces: ", err))
	}
}
