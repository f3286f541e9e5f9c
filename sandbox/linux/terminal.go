package linux

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
)

// openTerminal makes a pseudo terminal for a builder's output, as many programs
// write line by line only to a terminal. It passes bytes as they are.
func openTerminal(id sandbox.Identity) (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: "/dev/ptmx", Err: err}
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		unix.Close(fd)
		return nil, nil, os.NewSyscallError("unlock terminal", err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		unix.Close(fd)
		return nil, nil, os.NewSyscallError("name terminal", err)
	}
	name := fmt.Sprintf("/dev/pts/%d", number)
	sfd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(fd)
		return nil, nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	if err := setUpTerminal(sfd, id); err != nil {
		unix.Close(fd)
		unix.Close(sfd)
		return nil, nil, fmt.Errorf("set up terminal %s: %w", name, err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that a read can be interrupted
		return nil, nil, err
	}
	return os.NewFile(uintptr(fd), "/dev/ptmx"), os.NewFile(uintptr(sfd), name), nil
}

func setUpTerminal(fd int, id sandbox.Identity) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return err
	}
	if !id.Change {
		return nil
	}
	if err := unix.Fchown(fd, id.OutsideUID, 0); err != nil {
		return os.NewSyscallError("fchown", err)
	}
	return os.NewSyscallError("fchmod", unix.Fchmod(fd, 0o600))
}
