package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"troupe/actors/ports/remotestore/sshdtest"
)

// buildHook is Nix's own, which Debian has at this place.
const buildHook = "/usr/libexec/nix/build-remote"

// needHook ends a test where it is missing.
func needHook(t *testing.T) {
	t.Helper()
	needNix(t)
	needBuilds(t)
	if _, err := os.Stat(buildHook); err != nil {
		lacking(t, buildHook)
	}
	if os.Geteuid() != 0 {
		t.Skip("the other machine's store is entered by root")
	}
}

// machine is a store of this machine's that Nix takes for that of another, as the
// setting builders has it.
func (s *site) machine(name, rest string) string {
	return fmt.Sprintf("ssh-ng://localhost?remote-store=%s - - %s", s.at(name), rest)
}

// onMachine counts what was built there.
func (s *site) onMachine(name string) int {
	logs, err := filepath.Glob(s.at(name) + "/nix/var/log/nix/drvs/*/*")
	s.must(err)
	return len(logs)
}

// settings are added to those of the daemon.
func (s *site) settings(lines ...string) {
	s.write("daemon/nix.conf", s.read("daemon/nix.conf")+strings.Join(lines, "\n")+"\n")
}

// TestNixsHook builds by way of the real build-remote of Nix, which comes to the
// daemon for what it needs, and adds what it made while the daemon has its lock.
func TestNixsHook(t *testing.T) {
	needHook(t)
	s := newSite(t, 0, "")
	s.addExpressions()
	s.settings("build-users-group =", "build-hook = "+buildHook, "builders = "+s.machine("machine", "2 1"), "system-features = here")
	d := s.daemon()
	out := s.want(`nix-build graph.nix -A top -o result -j0 && cat result && nix log $(readlink result)`)
	if !strings.HasSuffix(out, "building top") || !strings.Contains(out, "-leaf") {
		t.Errorf("got %s", out)
	}
	if n := s.onMachine("machine"); n != 2 {
		t.Errorf("%d builds were made on the machine", n)
	}
	o := s.say(s.client(`nix-build graph.nix -A bad --no-out-link -j0`))
	for _, want := range []string{"on 'ssh-ng://localhost", "failed with exit code 3", "the reason"} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("exit code %d, without %q:\n%s", o.code, want, o.stderr)
		}
	}
	if o := s.say(s.client(`nix-build graph.nix -A beside --no-out-link -j0 --builders ''`)); !strings.Contains(o.stderr, "max-jobs") {
		t.Errorf("without builders: %d, %s", o.code, o.stderr)
	}
	d.stop()
}

// TestMachines builds on two machines of the real Nix over a real sshd, of which
// one is cut off in the middle: that is no failure, and what was built there is
// built again on the other.
func TestMachines(t *testing.T) {
	needHook(t)
	s := newSite(t, 0, "")
	s.addExpressions()
	var lines []string
	var servers []*sshdtest.Server
	for i := range 2 {
		name := fmt.Sprintf("machine%d", i)
		servers = append(servers, sshdtest.Start(t, s.machineEnv(name)...))
		lines = append(lines, servers[i].URL("ssh-ng", "remote-store="+s.at(name))+" - - 4 1")
	}
	s.write("machines", strings.Join(lines, "\n"))
	s.settings("build-users-group =", "builders = @"+s.at("machines"), "connect-timeout = 30")
	d := s.daemon()
	var cut sync.Once
	done := make(chan outcome)
	go func() { done <- s.say(s.client(`nix-build graph.nix -A many -A slow --no-out-link -j0 | wc -l`)) }()
	soon(t, "nothing is built on the first machine ", func() string {
		if s.onMachine("machine0") < 3 {
			return "yet"
		}
		cut.Do(servers[0].Cut)
		return ""
	})
	o := <-done
	if o.code != 0 || strings.TrimSpace(o.stdout) != "26" {
		t.Errorf("exit code %d: %s\n%s", o.code, o.stdout, o.stderr)
	}
	if !strings.Contains(o.stderr, "cannot build '") {
		t.Errorf("no machine was lost:\n%s", o.stderr)
	}
	if a, b := s.onMachine("machine0"), s.onMachine("machine1"); a == 0 || b == 0 || a+b < 26 {
		t.Errorf("%d and %d builds", a, b)
	}
	d.stop()
}

// machineEnv is what programs on a machine have.
func (s *site) machineEnv(name string) []string {
	conf := s.at(name + "-conf")
	s.must(os.Mkdir(conf, 0o755))
	s.write(name+"-conf/nix.conf", "build-users-group =\nsubstituters =\nmax-jobs = 4\n")
	return []string{"NIX_CONF_DIR=" + conf, "NIX_STORE_DIR=" + s.at("store"), "HOME=" + s.at("home"), "PATH=" + os.Getenv("PATH")}
}
