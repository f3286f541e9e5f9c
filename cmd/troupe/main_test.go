package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"troupe": main}) }

// TestScripts runs the real program. Each script has a store of its own, in
// which $busybox is a valid tree with bin/busybox, and the command
//
//	drv FILE NAME SCRIPT [KEY=VALUE…]
//
// writes a derivation as JSON whose builder is that busybox's shell. Keys are
// those of the JSON form; "env.X" sets a variable and "out.X" an output. The
// command
//
//	await PATTERN
//
// returns when a file has that name.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: setUp,
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"drv": writeDerivation, "corrupt": corrupt, "await": await},
	})
}

func setUp(e *testscript.Env) error {
	if _, err := exec.LookPath("busybox"); err != nil {
		return missing(e, "a static busybox is missing")
	}
	tree := filepath.Join(e.WorkDir, "busybox-tree")
	if err := busyboxTree(tree); err != nil {
		return err
	}
	e.Setenv("HOME", e.WorkDir)
	e.Setenv("NIX_CONF_DIR", e.WorkDir)
	e.Setenv("XDG_DATA_HOME", e.WorkDir+"/data")
	e.Setenv("S", e.WorkDir+"/store") // for --store
	troupe, err := exec.LookPath("troupe")
	if err != nil {
		return err
	}
	// Each has another name: to a collector the processes of all are roots.
	name := strings.TrimPrefix(filepath.Base(e.WorkDir), "script-") + "-busybox"
	add := exec.Command(troupe, "--store", e.WorkDir+"/store", "store", "add", "-n", name, tree)
	add.Env = append(os.Environ(), e.Vars...)
	out, err := add.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	lines := strings.Fields(string(out))
	e.Setenv("busybox", lines[len(lines)-1])
	return nil
}

// busyboxTree makes a directory with bin/busybox, and names of it that scripts
// use.
func busyboxTree(tree string) error {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(tree+"/bin", 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(tree+"/bin/busybox", data, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"sh", "mkdir", "ln", "cat", "sleep", "chmod", "mkfifo", "echo", "touch", "env", "printf", "sed"} {
		if err := os.Symlink("busybox", tree+"/bin/"+name); err != nil {
			return err
		}
	}
	return nil
}

func missing(e *testscript.Env, what string) error {
	if os.Getenv("CI") != "" {
		return fmt.Errorf("%s", what)
	}
	e.T().Skip(what)
	return nil
}

func writeDerivation(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: drv FILE NAME SCRIPT [KEY=VALUE…]")
	}
	busybox := ts.Getenv("busybox")
	env := map[string]string{"PATH": busybox + "/bin", "name": args[1]}
	outputs := map[string]string{}
	system, builder, extra := "x86_64-linux", busybox+"/bin/busybox", ""
	inputs := []string{}
	for _, a := range args[3:] {
		key, value, _ := strings.Cut(a, "=")
		kind, name, _ := strings.Cut(key, ".")
		switch kind {
		case "env":
			env[name] = value
		case "out":
			outputs[name] = value
		case "system":
			system = value
		case "builder":
			builder = value
		case "input":
			inputs = append(inputs, fmt.Sprintf("%q:{\"outputs\":[\"out\"],\"dynamicOutputs\":{}}", filepath.Base(value)))
		case "attrs":
			extra = `"structuredAttrs":` + value + ","
			env = map[string]string{}
		default:
			ts.Fatalf("drv: unknown key %q", key)
		}
	}
	if len(outputs) == 0 {
		outputs["out"] = ""
	}
	var outs, vars []string
	for name, value := range outputs {
		outs = append(outs, fmt.Sprintf("%q:{%s}", name, value))
	}
	for name, value := range env {
		vars = append(vars, fmt.Sprintf("%q:%q", name, value))
	}
	text := fmt.Sprintf(`{"name":%q,"version":4,"system":%q,"builder":%q,"args":["sh","-c",%q],%s"env":{%s},"outputs":{%s},"inputs":{"srcs":[%q],"drvs":{%s}}}`,
		args[1], system, builder, args[2], extra, strings.Join(vars, ","), strings.Join(outs, ","), filepath.Base(busybox), strings.Join(inputs, ","))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}

// corrupt changes a byte of a file in the store.
func corrupt(ts *testscript.TestScript, neg bool, args []string) {
	file := ts.MkAbs(args[0])
	ts.Check(os.Chmod(file, 0o644))
	ts.Check(os.WriteFile(file, []byte("changed"), 0o644))
}

// await returns when a file is there.
func await(ts *testscript.TestScript, neg bool, args []string) {
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		found, err := filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
		if len(found) > 0 {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("there is no %s", args[0])
		}
	}
}
