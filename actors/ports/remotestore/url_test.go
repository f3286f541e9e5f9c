package remotestore

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"troupe/storage/storeurl"
)

var hostKey = base64.StdEncoding.EncodeToString([]byte("ssh-ed25519 AAAA host\n"))

func TestParseURL(t *testing.T) {
	three := 3
	for text, want := range map[string]Config{
		"daemon":                                {Scheme: "daemon"},
		"daemon?trusted=true&max-connections=4": {Scheme: "daemon", Common: storeurl.Common{Trusted: true}, MaxConnections: 4},
		"unix:///a/b?store=/s&root=/x": {Scheme: "unix", Socket: "/a/b", Common: storeurl.Common{StoreDir: "/s"},
			Warnings: []string{"setting 'root' of 'unix:///a/b' has no effect"}},
		"ssh-ng://mac?priority=3&foo=1": {Scheme: "ssh-ng", Host: "mac", RemoteProgram: []string{"nix-daemon"}, Common: storeurl.Common{Priority: &three},
			Warnings: []string{"unknown setting 'foo' of 'ssh-ng://mac'"}},
		"ssh-ng://me@a.org:22?ssh-key=/k&compress=true&remote-program=sudo%20nix-daemon&remote-store=local?root=/r&max-connection-age=60&base64-ssh-public-host-key=" + hostKey: {
			Scheme: "ssh-ng", User: "me", Host: "a.org", Port: "22", SSHKey: "/k", Compress: true, RemoteProgram: []string{"sudo", "nix-daemon"},
			RemoteStore: "local?root=/r", MaxConnectionAge: time.Minute, HostKey: "ssh-ed25519 AAAA host"},
		"ssh://[::1]:8": {Scheme: "ssh", Host: "::1", Port: "8", RemoteProgram: []string{"nix-store"}},
	} {
		got, err := ParseURL(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !Known(text) {
			t.Errorf("%s is not known", text)
		}
		want.MaxConnections = max(want.MaxConnections, 1)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
		if bare, _, _ := strings.Cut(text, "?"); got.String() != bare {
			t.Errorf("%s is shown as %s", text, got)
		}
	}
	for text, want := range map[string]string{
		"http://a":                "it is none of daemon, unix:///socket, ssh-ng://host and ssh://host",
		"/nix":                    "it is none of daemon",
		"unix://a":                "it names no socket",
		"ssh-ng://":               "host name must not be empty",
		"ssh-ng://-oProxyCommand": "host name '-oProxyCommand' must not start with '-'",
		"ssh-ng://-l@a":           "user name '-l' must not start with '-'",
		"ssh-ng://@a":             "user name must not be empty",
		"ssh-ng://u:pw@a":         "read store URL 'ssh-ng://u:xxxxx@a': ssh takes no password from it",
		"ssh-ng://a/nix":          "it has a path: the store there is named by remote-store",
		"ssh://a?compress=x":      "setting 'compress': 'x' is not a Boolean",
		"ssh://a?remote-program=": "it names no program",
		"ssh://a?base64-ssh-public-host-key=" + base64.StdEncoding.EncodeToString([]byte("a\nb")): "it is not one line",
	} {
		if _, err := ParseURL(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestCommands(t *testing.T) {
	files := t.TempDir()
	for _, c := range []struct{ url, options, want string }{
		{"ssh-ng://localhost?remote-store=/a%20b", "-v", "nix-daemon|--stdio|--store|/a b"},
		{"ssh-ng://me@mac:23?compress=1&ssh-key=/k&remote-program=sudo%20nix-daemon&remote-store=local?root=/x%26y", "-o 'Proxy Command=x' -4",
			"ssh|me@mac|-x|-o|Proxy Command=x|-4|-i|/k|-C|-p23|OURS|--|sudo|nix-daemon|--stdio|--store|local\\?root=/x\\&y"},
		{"ssh-ng://mac:23?base64-ssh-public-host-key=" + hostKey, "", "ssh|mac|-x|-oUserKnownHostsFile=" + files + "/known-hosts|-p23|OURS|--|nix-daemon|--stdio"},
	} {
		t.Setenv("NIX_SSHOPTS", c.options)
		config, err := ParseURL(c.url)
		if err != nil {
			t.Fatal(err)
		}
		args, err := config.sshArguments(files, Settings{}, config.daemonCommand()...)
		if err != nil {
			t.Fatal(err)
		}
		ours := "-oPermitLocalCommand=yes|-oLocalCommand=echo started|-oServerAliveInterval=15|-oServerAliveCountMax=4|-oBatchMode=yes"
		if got := strings.Join(args, "|"); got != strings.ReplaceAll(c.want, "OURS", ours) {
			t.Errorf("%s: %s\nwant %s", c.url, got, c.want)
		}
	}
	if known, err := os.ReadFile(filepath.Join(files, "known-hosts")); err != nil || string(known) != "mac,[mac]:23 ssh-ed25519 AAAA host\n" {
		t.Errorf("known hosts %q, %v", known, err)
	}
	t.Setenv("NIX_SSHOPTS", "'")
	c, err := ParseURL("ssh://a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.sshArguments(files, Settings{}); err == nil || !strings.Contains(err.Error(), "NIX_SSHOPTS") {
		t.Errorf("a quote that is not closed: %v", err)
	}
	c.Host = "b"
	t.Setenv("NIX_SSHOPTS", "")
	if args, err := c.sshArguments(files, Settings{Interactive: true}); err != nil || slices.Contains(args, "-oBatchMode=yes") {
		t.Errorf("somebody is there, and may not be asked: %q, %v", args, err)
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("ssh-ng://me@a.org:22?ssh-key=/k&compress=true")
	f.Add("unix:///a?trusted=1")
	f.Add("daemon")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseURL(text)
		if err != nil {
			return
		}
		if c.overSSH() && (c.Host == "" || c.Host[0] == '-' || strings.HasPrefix(c.User, "-")) {
			t.Errorf("%q: ssh would take host '%s' or user '%s' for an option", text, c.Host, c.User)
		}
		again, err := ParseURL(c.String())
		if err != nil || again.String() != c.String() {
			t.Errorf("%q is shown as %s, which is read as %s, %v", text, c, again, err)
		}
	})
}
