package linux

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroupPlace is the cgroup in which those of builders are to be made: our own.
// So the limits that are set for us hold for builders, and whoever ends us by our
// cgroup ends them.
//
// With DelegateSubgroup, systemd puts a service into a cgroup below that of its
// unit and leaves the unit's to the service. Then it is the unit's, as only a
// cgroup without processes can have the memory of those below counted.
func cgroupPlace() (string, error) {
	own, err := OwnCgroup()
	if err != nil {
		return "", err
	}
	if unit := filepath.Dir(own); isUnit(unit) && isDelegated(unit) && !isUnit(own) {
		return unit, nil
	}
	return own, nil
}

// OwnCgroup is the directory of this process's cgroup of version 2.
func OwnCgroup() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	membership, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	own, err := ownCgroup(string(mounts), string(membership))
	if err != nil {
		return "", err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(own, &fs); err != nil {
		return "", &os.PathError{Op: "statfs", Path: own, Err: err}
	}
	if fs.Type != unix.CGROUP2_SUPER_MAGIC { // something has been mounted over it
		return "", fmt.Errorf("%s is not a cgroup", own)
	}
	return own, nil
}

// ownCgroup finds it by what the kernel says in /proc/self/mountinfo and
// /proc/self/cgroup.
func ownCgroup(mounts, membership string) (string, error) {
	own, ok := unifiedCgroup(membership)
	if !ok {
		return "", errors.New("the kernel has no cgroups of version 2")
	}
	for line := range strings.Lines(mounts) {
		// ID PARENT DEVICE ROOT PLACE OPTIONS [MORE…] - TYPE SOURCE OPTIONS
		mount, kind, _ := strings.Cut(line, " - ")
		fields := strings.Fields(mount)
		if len(fields) < 5 || !strings.HasPrefix(kind, "cgroup2 ") {
			continue
		}
		root, place := strings.TrimSuffix(unescape(fields[3]), "/"), unescape(fields[4])
		// What is above the namespace of cgroups begins with "/..".
		if below, ok := strings.CutPrefix(own+"/", root+"/"); ok && !strings.HasPrefix(own+"/", "/../") {
			return filepath.Join(place, below), nil
		}
	}
	return "", fmt.Errorf("no mounted file system has the cgroup %s", own)
}

// unifiedCgroup is the cgroup in the hierarchy of version 2, whose number is 0.
func unifiedCgroup(membership string) (string, bool) {
	for line := range strings.Lines(membership) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return path, true
		}
	}
	return "", false
}

// unescape turns what stands for blanks and backslashes in mountinfo back: a
// backslash and three octal digits.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// isUnit and isDelegated ask for the marks that systemd sets.
func isUnit(dir string) bool      { return attribute(dir, "invocation_id") != "" }
func isDelegated(dir string) bool { return attribute(dir, "delegate") == "1" }

// attribute is an extended attribute. Before Linux 5.7 systemd could only set
// those that only root can read.
func attribute(dir, name string) string {
	var value [64]byte
	for _, space := range []string{"user.", "trusted."} {
		if n, err := unix.Getxattr(dir, space+name, value[:]); err == nil {
			return string(value[:n])
		}
	}
	return ""
}
