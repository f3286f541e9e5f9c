package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"troupe/actors/ports/remotestore/sshdtest"
	"troupe/storage/storepath"
)

// far is another machine: a network namespace with an sshd, and a store of its own that
// a daemon serves there.
type far struct {
	*sshdtest.Server
	link  *sshdtest.Link
	store string // its root
}

// newFar makes machine number n with a link to a place, and further settings there.
func newFar(t *testing.T, work string, near *sshdtest.Place, n int, conf string) far {
	t.Helper()
	f := far{store: fmt.Sprintf("%s/far%d", work, n)}
	conf = "build-users-group =\nsubstituters =\nmax-jobs = 8\n" + conf
	if err := errors.Join(os.Mkdir(f.store+"-conf", 0o755), os.WriteFile(f.store+"-conf/nix.conf", []byte(conf), 0o644)); err != nil {
		t.Fatal(err)
	}
	place := sshdtest.NewPlace(t)
	f.link = sshdtest.NewLink(t, near, place, n)
	f.Server = sshdtest.StartAt(t, place, f.link.To, "NIX_CONF_DIR="+f.store+"-conf", "HOME="+work, "PATH="+os.Getenv("PATH"))
	return f
}

// installed is our program, at a place of the test's.
func installed(t *testing.T, work string) string {
	t.Helper()
	program, err := realProgram()
	if err == nil {
		err = os.WriteFile(work+"/troupe", program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return work + "/troupe"
}

// line is the machine's in the setting builders.
func (f far) line(program string, jobs int) string {
	return fmt.Sprintf("%s - - %d 1", f.URL("ssh-ng", "remote-store="+f.store+"&remote-program="+url.QueryEscape(program)), jobs)
}

// built counts what was built there.
func (f far) built(t *testing.T) int {
	logs, err := filepath.Glob(f.store + "/nix/var/log/nix/drvs/*/*")
	if err != nil {
		t.Fatal(err)
	}
	return len(logs)
}

// A graph for machines: layers of derivations, each of which reads some of the layer
// before and writes what those say and its own name.
const (
	farLayers = 8
	farWidth  = 25
)

// The last layer waits while its machine has this file.
const farGate = "/gate/shut"

// writeFarGraph also returns what each output has in it, by path.
func (s *testStore) writeFarGraph(dir string) (all []*recipe, want map[storepath.Path]string) {
	s.t.Helper()
	want = map[storepath.Path]string{}
	var before []*recipe
	for layer := range farLayers {
		var here []*recipe
		for n := range farWidth {
			r := &recipe{name: fmt.Sprintf("far-%d-%d", layer, n), script: "echo $name > $out; for i in $inputs; do echo $i >> $out; sed -n 1p $i >> $out; done; sleep 0.05"}
			if layer == farLayers-1 {
				r.script += "; while [ -e " + farGate + " ]; do sleep 0.1; done"
			}
			text := r.name + "\n"
			for i := range min(len(before), 3) {
				in := before[(n*(i+1)+i)%farWidth]
				if !slices.Contains(r.inputs, in) {
					r.inputs = append(r.inputs, in)
					text += storeDir.Join(in.paths["out"]) + "\n" + in.name + "\n"
				}
			}
			here = append(here, s.write(dir, r))
			want[r.paths["out"]] = text
		}
		all, before = append(all, here...), here
	}
	return all, want
}

// TestMachineVanishes builds 200 derivations on two machines over ssh, one with the real
// Nix and one with ours. In the middle the link of the first is cut so that nobody
// hears of it: packets vanish. That it is gone is noticed, costs no build, and opens
// its breaker; what it had is built by the other.
func TestMachineVanishes(t *testing.T) {
	needNix(t)
	needBuilds(t)
	if os.Geteuid() != 0 {
		t.Skip("network namespaces and other machines' stores need root")
	}
	work := tempDir(t)
	s := newTestStore(t, work, work+"/near")
	s.addBusybox(work)
	near := sshdtest.NewPlace(t)
	lost := newFar(t, work, near, 0, "")
	if err := errors.Join(os.Mkdir(work+"/gate", 0o755), os.WriteFile(work+"/gate/shut", nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	other := newFar(t, work, near, 1, fmt.Sprintf("auto-allocate-uids = true\nstart-id = %d\nid-count = 50\nsandbox-paths = /gate=%s/gate\n",
		1_300_000_000+os.Getpid()%100_000*1000, work))
	const slots = 4
	builders := lost.line("nix-daemon", slots) + "\n" + other.line(installed(t, work)+" daemon", slots)
	conf := "max-jobs = 0\nsubstituters =\nconnect-timeout = 2\nbuilders = @" + work + "/machines\n"
	if err := errors.Join(os.WriteFile(work+"/machines", []byte(builders), 0o644), os.WriteFile(work+"/nix.conf", []byte(conf), 0o644)); err != nil {
		t.Fatal(err)
	}
	all, want := s.writeFarGraph(work)
	args := []string{"build", "--journal", work + "/journal"}
	for _, r := range all {
		args = append(args, r.file)
	}
	cmd := s.command(args...)
	// ssh looks every second instead of every 15, and believes in its end after two.
	cmd.Env = append(cmd.Env, "NIX_SSHOPTS=-oServerAliveInterval=1 -oServerAliveCountMax=2")
	said := &lines{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := near.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	soon(t, "nothing is built on the first machine ", func() string {
		if lost.built(t) < 20 {
			return "yet: " + said.String()
		}
		return ""
	})
	if err := lost.link.Cut(); err != nil {
		t.Fatal(err)
	}
	before := lost.built(t)
	soon(t, "the machine is not tried again ", func() string { // which waits for its breaker
		if strings.Count(said.String(), "' on 'ssh-ng://root@"+lost.Host) <= slots {
			return "yet: " + said.String()
		}
		return ""
	})
	if err := os.Remove(work + "/gate/shut"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for p, text := range want {
		if got, err := os.ReadFile(s.layout().RealPath(p)); err != nil || string(got) != text {
			t.Errorf("%s: %q, %v; want %q", p.Base(), got, err, text)
		}
	}
	s.want(0, "verify", "--contents")
	text := said.String()
	if !strings.Contains(text, "cannot build '") || !strings.Contains(text, "' on 'ssh-ng://root@"+lost.Host) {
		t.Errorf("no build was lost:\n%s", text) // on a slow machine the other may be taken for lost as well, now and then
	}
	if !strings.Contains(text, "Timeout, server "+lost.Host+" not responding") {
		t.Errorf("it is not said how the machine was lost:\n%s", text)
	}
	if a, b := lost.built(t), other.built(t); a+b < len(all) || a > before+slots {
		t.Errorf("%d builds on the machine that was lost with %d, %d on the other", a, before, b)
	}
	// Its breaker is told, and lets one build try. Builds that were lost without
	// anybody's noticing may still be held when it does.
	tried, held := false, 0
	for _, m := range regexp.MustCompile(`remote-program=nix-daemon=(\d)/4(\((down|trying)\))?`).FindAllStringSubmatch(s.want(0, "journal", work+"/journal").stdout, -1) {
		now := int(m[1][0] - '0')
		if m[2] != "" && now > held {
			tried = true
			if m[3] != "trying" || held > 0 || now > 1 {
				t.Errorf("builds were sent to the machine, which was %s with %d: %d", m[3], held, now)
			}
		}
		held = now
	}
	if !tried {
		t.Error("no build tried the machine again")
	}
}

// TestMachineInADirectory: a store in a directory of this machine is one as well, whose
// settings are ours, but that it builds.
func TestMachineInADirectory(t *testing.T) {
	needBuilds(t)
	work := tempDir(t)
	s := newTestStore(t, work, work+"/near")
	s.addBusybox(work)
	conf := "max-jobs = 0\nsubstituters =\nbuilders = " + work + "/far - - 1 1 special; local?root=" + work + "/other - - 1 1 other\n"
	if err := os.WriteFile(work+"/nix.conf", []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	leaf := s.write(work, &recipe{name: "leaf", script: "echo leaf > $out", features: "special"})
	top := s.write(work, &recipe{name: "top", script: "sed p $inputs > $out", inputs: []*recipe{leaf}, features: "other"})
	cmd := s.command("build", top.file)
	cmd.Path = installed(t, work) // it runs itself
	if o := s.finish(cmd); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	if got, err := os.ReadFile(s.layout().RealPath(top.paths["out"])); err != nil || string(got) != "leaf\nleaf\n" {
		t.Errorf("%q, %v", got, err)
	}
	for dir, want := range map[string]int{"far": 1, "other": 1, "near": 2} {
		if n := (far{store: work + "/" + dir}).built(t); n != want {
			t.Errorf("%s: %d builds", dir, n)
		}
	}
}
