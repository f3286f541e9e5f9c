package side

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// privateVerb is the argument by which this program knows that it is in a mount
// namespace of its own.
const privateVerb = "in-private"

// Private runs this program again in a mount namespace of its own, in which
// [Side.Show] mounts, and returns its exit code. Once it is in one it returns the
// arguments and false.
func Private(args []string) (rest []string, code int, ran bool) {
	if len(args) > 1 && args[1] == privateVerb {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			fmt.Fprintln(os.Stderr, "error: make mounts private:", err)
			return nil, 1, true
		}
		return args[2:], 0, false
	}
	if os.Geteuid() != 0 { // what needs no daemon needs no mounts
		return args[1:], 0, false
	}
	cmd := exec.Command("/proc/self/exe", append([]string{privateVerb}, args[1:]...)...)
	cmd.Args[0] = args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	told := make(chan os.Signal, 1)
	signal.Notify(told, unix.SIGINT, unix.SIGTERM)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return nil, 1, true
	}
	go func() {
		for s := range told {
			if s == unix.SIGTERM { // a terminal tells both of SIGINT
				cmd.Process.Signal(s)
			}
		}
	}()
	cmd.Wait()
	return nil, cmd.ProcessState.ExitCode(), true
}

// Show makes the store of a side appear where both sides have theirs, for the
// clients, which look into it. It is for one row at a time.
func (s *Side) Show() error {
	if s.files == "" {
		return nil
	}
	at := s.hide()
	return bind(s.files+"/nix", at, 0)
}

// hide undoes [Side.Show], and says where that was.
func (s *Side) hide() string {
	at := filepath.Dir(string(s.Dir))
	for unix.Unmount(at, unix.MNT_DETACH) == nil { // one over the other
	}
	return at
}

// withinVerb is the argument by which this program, executed again in a mount
// namespace of its own, knows that it is to become a daemon.
const withinVerb = "become-daemon"

// Within turns this process into the daemon that it was executed for, if it was:
//
//	troupe-bench become-daemon WORK FILES ROOT COMMAND...
//
// FILES/nix appears at WORK/nix, so that both daemons have their stores at the
// same place, and FILES/passwd and FILES/group in /etc, so that the build users
// are nobody else's. With a ROOT that is not "/", the rest is as it is there. Only
// this mount namespace is changed.
func Within(args []string) (ran bool, err error) {
	if len(args) < 6 || args[1] != withinVerb {
		return false, nil
	}
	work, files, root, command := args[2], args[3], args[4], args[5:]
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return true, fmt.Errorf("make mounts private: %w", err)
	}
	if root != "/" {
		if err := enter(root, work); err != nil {
			return true, err
		}
	}
	for _, b := range [][2]string{{files + "/nix", work + "/nix"}, {files + "/passwd", "/etc/passwd"}, {files + "/group", "/etc/group"}} {
		if err := bind(b[0], b[1], 0); err != nil {
			return true, err
		}
	}
	program, err := exec.LookPath(command[0])
	if err != nil {
		return true, err
	}
	return true, unix.Exec(program, command, os.Environ())
}

func bind(from, to string, flags uintptr) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|flags, ""); err != nil {
		return fmt.Errorf("bind '%s' to '%s': %w", from, to, err)
	}
	return nil
}

// enter makes root the root directory, with what there is of this machine that
// the daemon needs. It is a root and no chroot, in which no process may make user
// namespaces.
func enter(root, work string) error {
	if err := bind(root, root, unix.MS_REC); err != nil {
		return err
	}
	for _, dir := range []string{"/proc", "/dev", "/sys"} {
		if err := bind(dir, root+dir, unix.MS_REC); err != nil {
			return err
		}
	}
	above := filepath.Join(root, filepath.Dir(work))
	if err := unix.Mount("tmpfs", above, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount a file system at '%s': %w", above, err)
	}
	if err := os.Mkdir(root+work, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := bind(work, root+work, unix.MS_REC); err != nil {
		return err
	}
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("make '%s' the root: %w", root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root: %w", err)
	}
	return unix.Chdir("/")
}
