package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// peer is a daemon of the real Nix with a store and settings of its own, and a socket by
// which it is one of our machines.
type peer struct {
	root, url string
}

// newPeer starts one, which ends with the test. In its settings no user is trusted.
func newPeer(t *testing.T, work, name, conf string) peer {
	t.Helper()
	p := peer{root: work + "/" + name}
	socket := p.root + "-socket"
	p.url = "unix://" + socket
	conf = "store = " + p.root + "\nbuild-users-group =\ntrusted-users =\nsubstituters =\nsandbox-paths =\n" + conf
	if err := errors.Join(os.Mkdir(p.root+"-conf", 0o755), os.WriteFile(p.root+"-conf/nix.conf", []byte(conf), 0o644)); err != nil {
		t.Fatal(err)
	}
	said := &lines{}
	cmd := exec.Command("nix-daemon")
	cmd.Env = append(os.Environ(), "NIX_CONF_DIR="+p.root+"-conf", "NIX_DAEMON_SOCKET_PATH="+socket, "HOME="+work, "NIX_REMOTE=")
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		endNix(t, cmd)
		if t.Failed() {
			t.Logf("the daemon of Nix said:\n%s", said)
		}
	})
	soon(t, "nix-daemon ", func() string {
		if !exists(socket) {
			return "does not listen"
		}
		return ""
	})
	return p
}

// endNix ends a daemon of Nix, which may have ended by itself, and its children: each
// serves a connection, and writes for a moment after that has ended.
func endNix(t *testing.T, daemon *exec.Cmd) {
	t.Helper()
	file := fmt.Sprintf("/proc/%d/task/%[1]d/children", daemon.Process.Pid)
	children, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	daemon.Process.Kill()
	daemon.Wait()
	for _, child := range strings.Fields(string(children)) {
		soon(t, "a child of nix-daemon ", func() string {
			if line, err := os.ReadFile("/proc/" + child + "/cmdline"); err == nil && len(line) > 0 { // a zombie has none
				return "goes on: " + string(line)
			}
			return ""
		})
	}
}

// has reports whether a path whose name ends so lies there.
func (p peer) has(suffix string) bool {
	for _, name := range namesIn(p.root + "/nix/store") {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// TestUntrustingMachine builds on a machine of the real Nix that does not trust us. It
// takes no derivation on our word, and no path but with a signature or by its contents:
// it is sent the derivations in full.
func TestUntrustingMachine(t *testing.T) {
	needNix(t)
	needBuilds(t)
	if os.Geteuid() != 0 {
		t.Skip("the machine builds in a sandbox of root's")
	}
	work := tempDir(t)
	secret, cache := work+"/secret", work+"/cache"
	command(t, os.Environ(), "nix-store", "--generate-binary-cache-key", "here-1", secret, work+"/public")
	key, err := os.ReadFile(work + "/public")
	if err != nil {
		t.Fatal(err)
	}
	const lacks = "because it lacks a " // "valid signature", "signature by a trusted key"
	for name, c := range map[string]struct {
		conf  string   // of the machine
		first []string // options of a build of leaf, here; nil makes none
		then  []string // of that of top
		want  string   // why top fails
	}{
		"all there":    {},
		"unsigned":     {first: []string{}, want: lacks},
		"signed":       {first: []string{"--option", "secret-key-files", secret}, conf: "trusted-public-keys = " + string(key)},
		"other's sign": {first: []string{"--option", "secret-key-files", secret}, want: lacks},
		"it can fetch it": {first: []string{}, then: []string{"--option", "builders-use-substitutes", "true"},
			conf: "substituters = file://" + cache + "\ntrusted-public-keys = " + string(key)},
		"it is not let": {first: []string{}, conf: "substituters = file://" + cache + "\ntrusted-public-keys = " + string(key), want: lacks},
	} {
		t.Run(name, func(t *testing.T) {
			work := tempDir(t)
			p := newPeer(t, work, "far", c.conf)
			s := newTestStore(t, work, work+"/near")
			s.addBusybox(work)
			leaf := s.write(work, &recipe{name: "leaf", script: "echo leaf > $out"})
			top := s.write(work, &recipe{name: "top", script: "echo $inputs > $out", inputs: []*recipe{leaf}})
			if c.first != nil {
				s.want(0, append([]string{"build", "--option", "substituters", "", leaf.file}, c.first...)...)
				s.want(0, "copy", "--to", "file://"+cache, "--secret-key-file", secret, storeDir.Join(leaf.paths["out"]))
			}
			o := s.run(append([]string{"build", top.file, "--option", "builders", p.url, "--max-jobs", "0", "--option", "substituters", ""}, c.then...)...)
			if c.want != "" {
				if o.code == 0 || !strings.Contains(o.stderr, c.want) || strings.Contains(o.stderr, "\x1b") || p.has("-top") {
					t.Errorf("exit code %d\n%s", o.code, o.stderr)
				}
				return
			}
			got, err := os.ReadFile(s.layout().RealPath(top.paths["out"]))
			if o.code != 0 || err != nil || strings.TrimSpace(string(got)) != storeDir.Join(leaf.paths["out"]) {
				t.Errorf("exit code %d, %q, %v\n%s", o.code, got, err, o.stderr)
			}
			if !p.has("-top") || !p.has("-top.drv") {
				t.Error("it was not built there, or not from what it is made of")
			}
		})
	}
}
