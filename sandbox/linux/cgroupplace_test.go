package linux

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// These are what the tests of package linux_test look at.
var (
	CgroupPlace   = cgroupPlace
	CgroupsPrefix = cgroupsPrefix
)

// Lack is why a launcher that uses cgroups has none, and CgroupsDir where it has
// them.
func Lack(l *Launcher) error        { return l.cgroups.lack }
func CgroupsDir(l *Launcher) string { return l.cgroups.path }

func TestOwnCgroup(t *testing.T) {
	const (
		unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate\n"
		hybrid  = "31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n" +
			"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		legacy = "31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
		inside = "9 8 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
		above  = "9 8 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
	)
	for _, c := range []struct{ name, mounts, membership, want string }{
		{"the root", unified, "0::/\n", "/sys/fs/cgroup"},
		{"a session", unified, "0::/user.slice/user-0.slice/session-3.scope\n", "/sys/fs/cgroup/user.slice/user-0.slice/session-3.scope"},
		{"both versions", hybrid, "9:name=systemd:/x\n1:cpu:/y\n0::/z\n", "/sys/fs/cgroup/unified/z"},
		{"only version 1", legacy, "9:name=systemd:/x\n1:cpu:/y\n", ""},
		{"not mounted", legacy, "1:cpu:/y\n0::/z\n", ""},
		{"no cgroups", "22 1 8:1 / / rw - ext4 /dev/root rw\n", "", ""},
		{"a part is mounted", inside, "0::/docker/abc/d\n", "/sys/fs/cgroup/d"},
		{"all of the part", inside, "0::/docker/abc\n", "/sys/fs/cgroup"},
		{"another part is mounted", inside, "0::/docker/abcd\n", ""},
		{"the second has it", inside + unified, "0::/x\n", "/sys/fs/cgroup/x"},
		{"above the namespace", unified, "0::/../x\n", ""},
		{"mounted from above the namespace", above, "0::/\n", ""},
		{"blanks and backslashes", "9 8 0:26 / /my\\040groups\\134 rw - cgroup2 none rw\n", "0::/a\\x2db\n", "/my groups\\/a\\x2db"},
		{"no sense", "x\n - cgroup2 \n", "0::/\n", ""},
	} {
		got, err := ownCgroup(c.mounts, c.membership)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

// The kernel counts the memory of a cgroup where all that are above pass the
// controller on. This kernel may have none; the files stand for it.
func TestCountMemory(t *testing.T) {
	const file = "/cgroup.subtree_control"
	for _, delegated := range []bool{false, true} {
		place, dir := t.TempDir(), t.TempDir()
		for _, name := range []string{place + file, dir + file} {
			if err := os.WriteFile(name, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want := ""
		if delegated {
			want = "+memory"
			if err := unix.Setxattr(place, "user.delegate", []byte("1"), 0); err != nil {
				t.Skipf("no extended attributes here: %v", err)
			}
		}
		countMemory(place, dir)
		if above, below := fileText(place, file), fileText(dir, file); above != want || below != "+memory" {
			t.Errorf("delegated %v: %q above and %q below", delegated, above, below)
		}
	}
}

func TestAccount(t *testing.T) {
	builder := Exit{User: time.Second, System: time.Second, PeakMemory: 1000}
	for _, c := range []struct {
		name, cpu, peak string
		want            Exit
	}{
		{"nothing", "", "", builder},
		{"time only", "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnice_usec 0\n", "", Exit{User: 3 * time.Microsecond, System: 2 * time.Microsecond, PeakMemory: 1000}},
		{"all", "user_usec 3\nsystem_usec 2\n", "4096\n", Exit{User: 3 * time.Microsecond, System: 2 * time.Microsecond, PeakMemory: 4096}},
		{"no sense", "user_usec\n", "max\n", builder},
	} {
		got := builder
		if got.account(c.cpu, c.peak); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
