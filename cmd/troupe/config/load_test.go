package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// host is a machine of our own making, so that goldens do not depend on where the test runs.
var host = Host{System: "x86_64-linux", ExtraPlatforms: []string{"i686-linux"}, Root: true, CertFile: "/etc/ca.crt"}

// TestLoad runs testdata/load/*: "file NAME" writes a file below $D, "env" sets variables (NAME=VALUE lines),
// and "load NAME..." loads with NIX_CONF_DIR=$D/etc and HOME=$D/home and prints what the settings then are, what is
// warned of, or the error. Lines of a load's input are --option words.
func TestLoad(t *testing.T) {
	datadriven.Walk(t, "testdata/load", func(t *testing.T, file string) {
		dir := t.TempDir()
		env := map[string]string{}
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "file":
				writeFile(t, filepath.Join(dir, d.CmdArgs[0].Key), d.Input)
				return ""
			case "env":
				env = map[string]string{"NIX_CONF_DIR": dir + "/etc", "HOME": dir + "/home"}
				for _, line := range strings.Split(d.Input, "\n") {
					name, value, _ := strings.Cut(strings.ReplaceAll(line, "$D", dir), "=")
					env[name] = strings.ReplaceAll(value, `\n`, "\n")
				}
				return ""
			case "load":
				return strings.ReplaceAll(load(d, env, dir), dir, "$D")
			}
			return "unknown command " + d.Cmd
		})
	})
}

func load(d *datadriven.TestData, env map[string]string, dir string) string {
	from := Sources{Host: host, Lookup: func(name string) (string, bool) {
		switch value, ok := env[name]; {
		case ok:
			return value, true
		case name == "NIX_CONF_DIR":
			return dir + "/etc", true
		case name == "HOME":
			return dir + "/home", true
		}
		return "", false
	}}
	for _, line := range strings.Split(d.Input, "\n") {
		if name, value, ok := strings.Cut(line, " "); ok {
			from.Overrides = append(from.Overrides, Override{name, strings.Trim(value, `"`)})
		}
	}
	loaded, err := Load(from)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	var b strings.Builder
	for _, arg := range d.CmdArgs {
		fmt.Fprintf(&b, "%s: %s\n", arg.Key, show(&loaded.Settings, arg.Key))
	}
	for _, line := range loaded.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", line)
	}
	return b.String()
}

// show prints the field of a setting as Go does.
func show(s *Settings, name string) string {
	fields := map[string]any{
		"max-jobs": s.MaxJobs, "cores": s.Cores, "keep-going": s.KeepGoing, "keep-failed": s.KeepFailed,
		"timeout": s.Timeout, "sandbox": s.Sandbox, "sandbox-paths": fmt.Sprintf("%+v", s.SandboxPaths), "build-dir": s.BuildDir,
		"sandbox-build-dir": s.SandboxBuildDir, "system-features": s.SystemFeatures, "extra-platforms": s.ExtraPlatforms,
		"max-build-log-size": s.MaxBuildLogSize, "impure-env": s.ImpureEnv, "netrc-file": s.NetrcFile,
		"substituters": s.Substituters, "build-users-group": fmt.Sprintf("%q", s.BuildUsersGroup), "store": s.Store,
		"builders": s.Builders, "trusted-users": s.TrustedUsers,
		"use-cgroups": fmt.Sprintf("%q", s.UseCgroups),
	}
	value, ok := fields[name]
	if !ok {
		return "the test does not know this field"
	}
	return fmt.Sprint(value)
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
