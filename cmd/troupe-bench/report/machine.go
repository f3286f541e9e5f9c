package report

import (
	"bytes"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is where it was measured.
type Machine struct {
	CPUs                         int
	Model, Kernel, Arch, FileSys string
	Load                         string // of the last minute, before the run
	Memory                       uint64 // bytes
}

// ThisMachine is the one we are on; dir is where the stores are.
func ThisMachine(dir string) (m Machine, err error) {
	m = Machine{CPUs: runtime.NumCPU(), Arch: runtime.GOARCH, Model: field("/proc/cpuinfo", "model name"), FileSys: "unknown"}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load, _, _ = strings.Cut(string(load), " ")
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return m, err
	}
	m.Kernel = string(bytes.TrimRight(u.Release[:], "\x00"))
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return m, err
	}
	m.Memory = uint64(info.Totalram) * uint64(info.Unit)
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return m, err
	}
	if name, ok := fileSystems[int64(fs.Type)]; ok {
		m.FileSys = name
	}
	return m, nil
}

var fileSystems = map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
	unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay"}

// field is the value of a line "name : value"; "" if there is none.
func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
