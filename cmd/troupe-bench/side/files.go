package side

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// users is how many build users each daemon has.
const users = 32

// group is the name of the build users' group.
const group = "troupe-bench"

// Conf are the settings of a daemon.
type Conf struct {
	Sandbox bool
	Jobs    int
	Lines   []string // further lines of nix.conf
}

func (c Conf) text() string {
	lines := append([]string{
		"build-users-group = " + group,
		fmt.Sprintf("sandbox = %t", c.Sandbox),
		"sandbox-fallback = false",
		"sandbox-paths =",
		fmt.Sprintf("max-jobs = %d", c.Jobs),
		"trusted-users = root",
		"substituters =",
		"require-sigs = false",
		"keep-derivations = true",
		"auto-optimise-store = false",
		"experimental-features = nix-command",
	}, c.Lines...)
	return strings.Join(lines, "\n") + "\n"
}

// layOut makes the files of a daemon below dir: FILES of [Within]. first is the
// uid of its first build user, and the group's number.
func layOut(dir string, first int, c Conf) error {
	for _, d := range []string{"nix/store", "nix/var/nix", "nix/var/log/nix", "nix/etc", "nix/tmp", "nix/home"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	for _, d := range []struct {
		name string
		mode os.FileMode
		gid  int
	}{{"nix/store", 0o775 | os.ModeSticky, first}, {"nix/tmp", 0o777 | os.ModeSticky, 0}} {
		name := filepath.Join(dir, d.name)
		if err := os.Chown(name, 0, d.gid); err != nil {
			return err
		}
		if err := os.Chmod(name, d.mode); err != nil {
			return err
		}
	}
	passwd, members := "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n", []string{}
	for i := range users {
		name := fmt.Sprintf("%s%d", group, i)
		passwd += fmt.Sprintf("%s:x:%d:%d::/var/empty:/bin/false\n", name, first+i, first)
		members = append(members, name)
	}
	groups := fmt.Sprintf("root:x:0:\nnogroup:x:65534:\n%s:x:%d:%s\n", group, first, strings.Join(members, ","))
	for name, text := range map[string]string{"passwd": passwd, "group": groups, "nix/etc/nix.conf": c.text()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
