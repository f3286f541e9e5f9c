// The attacker is a builder that tries what no builder may do and says how each
// try ended: a line with its name and the kernel's error, or "done".
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	if err := os.WriteFile("f", nil, 0o644); err != nil {
		say("write a file", err)
	}
	switch os.Args[1] {
	case "connect":
		say("connect", connect(os.Args[2]))
	case "listen":
		say("listening", listen(os.Args[2]))
		unix.Pause()
	case "files":
		setidBits()
		attributes()
	case "legacy":
		legacy()
	case "kernel":
		reach()
		privileges()
		mounts()
	case "world":
		writable("/proc", "/sys")
		devices()
	case "namespace":
		inNamespace("in-namespace")
	case "in-namespace":
		mounts()
		call("fchmodat 4755", unix.SYS_FCHMODAT, here, "f", 0o4755)
	}
}

func say(what string, err error) {
	var errno syscall.Errno
	switch {
	case err == nil:
		fmt.Println(what + ": done")
	case errors.As(err, &errno):
		fmt.Println(what+":", unix.ErrnoName(errno))
	default:
		fmt.Println(what+":", err)
	}
}

// texts keeps what the kernel was given a pointer to where it is.
var texts [][]byte

// call makes a system call by its number. Strings become pointers.
func call(what string, number uintptr, args ...any) {
	var a [6]uintptr
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			text := append([]byte(v), 0)
			texts = append(texts, text)
			a[i] = uintptr(unsafe.Pointer(&text[0]))
		case int:
			a[i] = uintptr(v)
		}
	}
	_, _, errno := unix.RawSyscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		say(what, errno)
		return
	}
	say(what, nil)
}

const (
	here      = unix.AT_FDCWD
	fchmodat2 = 452
)

func setidBits() {
	f, err := os.OpenFile("f", os.O_RDWR, 0)
	if err != nil {
		say("open a file", err)
		return
	}
	defer f.Close()
	for _, mode := range []int{0o755, 0o4755, 0o2755} {
		call(fmt.Sprintf("fchmod %o", mode), unix.SYS_FCHMOD, int(f.Fd()), mode)
		call(fmt.Sprintf("fchmodat %o", mode), unix.SYS_FCHMODAT, here, "f", mode)
		call(fmt.Sprintf("fchmodat2 %o", mode), fchmodat2, here, "f", mode, 0)
	}
	call("openat create 4755", unix.SYS_OPENAT, here, "o", unix.O_CREAT|unix.O_WRONLY, 0o4755)
	call("openat nameless 2755", unix.SYS_OPENAT, here, ".", unix.O_TMPFILE|unix.O_WRONLY, 0o2755)
	call("openat no file 6755", unix.SYS_OPENAT, here, "f", unix.O_RDONLY, 0o6755)
	call("openat2 create 4755", unix.SYS_OPENAT2, here, "o", 0, 0)
	call("mkdirat 2755", unix.SYS_MKDIRAT, here, "d", 0o2755)
	call("mknodat 4755", unix.SYS_MKNODAT, here, "n", unix.S_IFREG|0o4755, 0)
}

func attributes() {
	f, err := os.Open("f")
	if err != nil {
		say("open a file", err)
		return
	}
	defer f.Close()
	fd, name := int(f.Fd()), "user.x"
	call("setxattr", unix.SYS_SETXATTR, "f", name, "v", 1, 0)
	call("lsetxattr", unix.SYS_LSETXATTR, "f", name, "v", 1, 0)
	call("fsetxattr", unix.SYS_FSETXATTR, fd, name, "v", 1, 0)
	call("setxattrat", 463, here, "f", 0, name, 0, 0)
	call("listxattr", unix.SYS_LISTXATTR, "f", 0, 0)
	call("llistxattr", unix.SYS_LLISTXATTR, "f", 0, 0)
	call("flistxattr", unix.SYS_FLISTXATTR, fd, 0, 0)
	call("listxattrat", 465, here, "f", 0, 0, 0)
	call("removexattr", unix.SYS_REMOVEXATTR, "f", name)
	call("lremovexattr", unix.SYS_LREMOVEXATTR, "f", name)
	call("fremovexattr", unix.SYS_FREMOVEXATTR, fd, name)
	call("removexattrat", 466, here, "f", 0, name)
}

// reach tries what goes around the rules or outlives a build.
func reach() {
	call("add_key", unix.SYS_ADD_KEY, "user", "x", "v", 1, -4)
	call("request_key", unix.SYS_REQUEST_KEY, "user", "x", 0, 0)
	call("keyctl", unix.SYS_KEYCTL, 0, -4, 1)
	call("io_uring_setup", unix.SYS_IO_URING_SETUP, 1, 0)
	call("io_uring_enter", unix.SYS_IO_URING_ENTER, 0, 0, 0, 0)
	call("io_uring_register", unix.SYS_IO_URING_REGISTER, 0, 0, 0, 0)
	call("socket vsock", unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	call("socket unix", unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM, 0)
}

func privileges() {
	call("setuid root", unix.SYS_SETUID, 0)
	call("setgid root", unix.SYS_SETGID, 0)
	call("sethostname", unix.SYS_SETHOSTNAME, "x", 1)
	call("chroot", unix.SYS_CHROOT, ".")
	call("make a device", unix.SYS_MKNODAT, here, "null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))
	call("chown", unix.SYS_FCHOWNAT, here, "f", 0, 0, 0)
	call("raise priority", unix.SYS_SETPRIORITY, 0, 0, -5)
}

// mounts are those by which a builder could write to what it only sees: the
// root, and the input that this program is in.
func mounts() {
	input := filepath.Dir(os.Args[0])
	say("mount tmpfs on the root", unix.Mount("none", "/proc", "tmpfs", 0, ""))
	say("write to the root", os.WriteFile("/x", nil, 0o644))
	say("make the root writable", unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	say("make an input writable", unix.Mount("", input, "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	say("make an input writable by attributes", unix.MountSetattr(here, input, 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}))
	say("unmount an input", unix.Unmount(input, unix.MNT_DETACH))
	say("unmount the root", unix.Unmount("/", unix.MNT_DETACH))
	say("write to an input", openForWriting(input+"/busybox"))
}

func openForWriting(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// gone are files that go with the builder: triggers that live as long as they
// are open, and a counter of its own namespace.
var gone = []string{"/proc/pressure/cpu", "/proc/pressure/io", "/proc/pressure/irq", "/proc/pressure/memory", "/proc/sys/kernel/ns_last_pid"}

// writable lists the files of the kernel that this user may write to, but for
// those of its own processes.
func writable(dirs ...string) {
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return nil // what cannot be entered cannot be written to
			}
			name, own := strings.CutPrefix(path, "/proc/")
			if own && d.IsDir() && (name[0] >= '0' && name[0] <= '9') {
				return filepath.SkipDir
			}
			if d.Type().IsRegular() && !slices.Contains(gone, path) && openForWriting(path) == nil {
				fmt.Println("writable:", path)
			}
			return nil
		})
		if err != nil {
			say("walk "+dir, err)
		}
	}
}

// devices lists the device nodes.
func devices() {
	entries, err := os.ReadDir("/dev")
	if err != nil {
		say("list devices", err)
	}
	for _, e := range entries {
		info, err := e.Info() // the entry's own type is that of the mount point
		if err != nil {
			say(e.Name(), err)
		} else if info.Mode()&os.ModeDevice != 0 {
			fmt.Println("device:", e.Name())
		}
	}
}

// inNamespace tries again as the root of a user namespace of its own.
func inNamespace(what string) {
	cmd := exec.Command(os.Args[0], what)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		say("a user namespace", err)
	}
	os.Stdout.Write(out)
}

// listen makes a socket that has no file, and leaves it open.
func listen(name string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: "@" + name})
	}
	if err == nil {
		err = unix.Listen(fd, 1)
	}
	return err
}

// connect tries to reach a socket that has no file.
func connect(name string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: "@" + name})
}
