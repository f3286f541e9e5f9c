package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fetcher is a program that fetches, as Nix had them before it did so by itself.
const fetcher = `#!/bin/sh
store=%[1]s
one=$store/1r2c1hkiirq3npgvlgqmqckfkdj3gm1k-one two=$store/2r2c1hkiirq3npgvlgqmqckfkdj3gm1k-two
case $1 in
--query)
	while read command && read path; do
		case "$command $path" in
		"info $two") printf '1\n%%s\n2\n%%s\n%%s\n100\n200\n' '' $two $one;;
		info*-one | info*-bad | info*-slow | info*-none | info*-flood | info*-busy | info*-rest) printf '1\n\n0\n0\n0\n';;
		info*-mad) printf '1\n\nmany\n';;
		*) echo 0;;
		esac
	done;;
--substitute)
	case $2 in
	*-bad) echo half > $2; echo for a reason; exit 3;;
	*-slow) echo begins; sleep 1000 & echo $! > %[2]s; wait;;
	*-none) ;;
	*-flood) while :; do echo and so on; done;;
	*-busy) while :; do echo busy; sleep 0.1; done;;
	*-rest) sleep 1000 > /dev/null 2>&1 & echo $! > %[2]s; (cd /proc/self/fd; echo *) > $2; ulimit -n >> $2;;
	*) echo "makes $2"; mkdir -m 700 $2; echo it is $2 > $2/file; ln -s nowhere $2/link;;
	esac;;
esac
`

// TestProgram: a program of the settings is asked for paths, and makes them; one that
// fails, lies, or is silent for too long leaves nothing.
func TestProgram(t *testing.T) {
	work := t.TempDir()
	t.Cleanup(func() { exec.Command("chmod", "-R", "u+w", work).Run() }) // for who is not root
	store, program, pid := work+"/store", work+"/fetcher", work+"/pid"
	if err := os.WriteFile(program, []byte(fmt.Sprintf(fetcher, store, pid)), 0o755); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command("troupe", append([]string{"--option", "substituters", "program://" + program, "--option", "max-silent-time", "1",
			"--option", "timeout", "3", "--option", "max-build-log-size", "100000"}, args...)...)
		cmd.Env = append(os.Environ(), "NIX_STORE_DIR="+store, "NIX_STATE_DIR="+work+"/state", "NIX_LOG_DIR="+work+"/log", "NIX_CONF_DIR="+work, "HOME="+work)
		return cmd
	}
	run := func(args ...string) (string, string, error) {
		var out, said strings.Builder
		cmd := command(args...)
		cmd.Stdout, cmd.Stderr = &out, &said
		err := cmd.Run()
		return out.String(), said.String(), err
	}
	one, two := store+"/1r2c1hkiirq3npgvlgqmqckfkdj3gm1k-one", store+"/2r2c1hkiirq3npgvlgqmqckfkdj3gm1k-two"
	if _, said, err := run("build", two); err != nil || !strings.Contains(said, "fetching two from program://"+program) {
		t.Fatalf("%v\n%s", err, said)
	}
	if out, said, err := run("path-info", "-r", two); err != nil || out != one+"\n"+two+"\n" {
		t.Errorf("%v\n%s%s", err, out, said)
	}
	if _, said, err := run("verify", "--contents"); err != nil || !strings.Contains(said, " 0 wrong") {
		t.Errorf("%v\n%s", err, said)
	}
	if st, err := os.Stat(two); err != nil || st.Mode().Perm() != 0o555 || st.ModTime().Unix() != 1 {
		t.Errorf("%v, %v", st, err)
	}
	for name, want := range map[string]string{
		"bad":     "exit status 3: for a reason",
		"slow":    "timed out after 1s of silence",
		"busy":    "timed out after 3s",
		"flood":   "it wrote more than the limit of 100000 bytes",
		"none":    "it did not make the path",
		"mad":     "it says 'many' where a number",
		"unknown": "does not exist and cannot be created",
	} {
		path := store + "/3r2c1hkiirq3npgvlgqmqckfkdj3gm1k-" + name
		if _, said, err := run("build", path); err == nil || !strings.Contains(said, want) {
			t.Errorf("%s: %v\n%s", name, err, said)
		}
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	gone := func(what string) {
		t.Helper()
		text, err := os.ReadFile(pid)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		soon(t, "what a program started is left "+what, func() string {
			if state, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(n), "stat")); err == nil && !strings.Contains(string(state), ") Z ") && unix.Kill(n, 0) == nil {
				return "alive"
			}
			return ""
		})
		if err := os.Remove(pid); err != nil {
			t.Fatal(err)
		}
	}
	gone("that was silent")
	rest := store + "/3r2c1hkiirq3npgvlgqmqckfkdj3gm1k-rest"
	if _, said, err := run("build", rest); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
	gone("that ended well")
	if text, err := os.ReadFile(rest); err != nil || !strings.HasPrefix(string(text), "0 1 2 3\n") && !strings.HasPrefix(string(text), "0 1 10 2\n") {
		t.Errorf("its descriptors are %q, %v", text, err) // one is that of the shell's list of them
	}
	for _, signal := range []os.Signal{os.Interrupt, os.Kill} {
		cmd := command("build", store+"/3r2c1hkiirq3npgvlgqmqckfkdj3gm1k-slow", "--option", "max-silent-time", "0", "--option", "timeout", "0")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		soon(t, "the program ", func() string {
			if text, _ := os.ReadFile(pid); len(text) == 0 {
				return "does not run"
			}
			return ""
		})
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		cmd.Wait() // it was to fail
		gone("of a service that got " + signal.String())
		if left := programsCalled(program); len(left) > 0 {
			t.Errorf("%v: programs are left: %q", signal, left)
		}
	}
}

// programsCalled are command lines in which a name occurs.
func programsCalled(name string) (found []string) {
	for _, pid := range namesIn("/proc") {
		if line, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && strings.Contains(string(line), name+"\x00--") {
			found = append(found, string(line))
		}
	}
	return found
}
