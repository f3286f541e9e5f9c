package config

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestLikeNix gives the same files and variables to the installed Nix and to Load.
func TestLikeNix(t *testing.T) {
	program, err := exec.LookPath("nix")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("nix is missing")
		}
		t.Skip("nix is missing")
	}
	dir := t.TempDir()
	writeFile(t, dir+"/etc/nix.conf", "max-jobs =\t2\t# two\r\ncores = 4\n\nextra-system-features = mine kvm\n!include none\ninclude ../more.conf\n"+
		"build-timeout = 5\nsandbox-build-dir = /b/c\nmax-build-log-size = 3072\nlog-lines = 7")
	writeFile(t, dir+"/more.conf", "max-silent-time = 60\ntimeout = 4\ninclude etc/deep.conf")
	writeFile(t, dir+"/etc/deep.conf", "keep-failed = 1\nextra-system-features = deep\n")
	writeFile(t, dir+"/home/.config/nix/nix.conf", "cores = 5\nsandbox = relaxed\n")
	writeFile(t, dir+"/xdg1/nix/nix.conf", "cores = 6\nmax-jobs = 6\n")
	writeFile(t, dir+"/xdg2/nix/nix.conf", "cores = 7\nmax-jobs = 7\nfallback = yes\n")
	writeFile(t, dir+"/own/nix/nix.conf", "cores = 8\n")
	base := []string{"NIX_CONF_DIR=" + dir + "/etc", "HOME=" + dir + "/home"}
	for name, env := range map[string][]string{
		"plain":     {},
		"xdg":       {"XDG_CONFIG_DIRS=" + dir + "/xdg1:" + dir + "/xdg2"},
		"own":       {"XDG_CONFIG_HOME=" + dir + "/own", "XDG_CONFIG_DIRS=" + dir + "/xdg1"},
		"files":     {"NIX_USER_CONF_FILES=" + dir + "/xdg2/nix/nix.conf:" + dir + "/none:" + dir + "/xdg1/nix/nix.conf"},
		"no files":  {"NIX_USER_CONF_FILES="},
		"variables": {"NIX_CONFIG=cores = 9\nsystem-features = only these\nextra-system-features = these too"},
	} {
		env = append(slices.Clone(base), env...)
		if want, got := settingsOfNix(t, program, env), ourSettings(t, env); !reflect.DeepEqual(want, got) {
			t.Errorf("%s:\nNix  %v\nours %v", name, want, got)
		}
	}
}

// settingsOfNix asks for the settings that ourSettings has.
func settingsOfNix(t *testing.T, program string, env []string) map[string]any {
	t.Helper()
	command := exec.Command(program, "--extra-experimental-features", "nix-command", "show-config", "--json")
	command.Env = append(env, "PATH="+os.Getenv("PATH"))
	var said strings.Builder
	command.Stderr = &said
	text, err := command.Output()
	if err != nil {
		t.Fatal(err, said.String())
	}
	var all map[string]struct{ Value any }
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	for name := range ourSettings(t, env) {
		values[name] = all[name].Value
	}
	values["sandbox"] = fmt.Sprint(values["sandbox"]) // true and false are no strings there
	// uid-range and kvm come and go with the version and the machine.
	list := []any{}
	for _, feature := range values["system-features"].([]any) {
		if feature != "uid-range" && feature != "kvm" {
			list = append(list, feature)
		}
	}
	values["system-features"] = list
	return values
}

func ourSettings(t *testing.T, env []string) map[string]any {
	t.Helper()
	loaded, err := Load(Sources{Host: host, Lookup: func(name string) (string, bool) {
		for _, entry := range env {
			if value, ok := strings.CutPrefix(entry, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := loaded.Settings
	features := []any{}
	for _, feature := range s.SystemFeatures {
		if feature != "uid-range" && feature != "kvm" {
			features = append(features, feature)
		}
	}

	return map[string]any{
		"max-jobs": float64(s.MaxJobs), "cores": float64(s.Cores), "timeout": float64(s.Timeout / time.Second),
		"max-silent-time": float64(s.MaxSilentTime / time.Second), "keep-failed": s.KeepFailed, "fallback": s.Fallback,
		"sandbox": string(s.Sandbox), "sandbox-build-dir": s.SandboxBuildDir, "max-build-log-size": float64(s.MaxBuildLogSize),
		"log-lines": float64(s.LogLines), "system-features": features,
	}
}
