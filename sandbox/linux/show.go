package linux

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
)

// Show makes a store object of the host appear, read-only, in the store of a
// builder that runs in a sandbox. real is where it is; inside is its path as the
// builder sees it, whose last name is free in the builder's store; at is where
// the builder's store is made. It takes root: nobody else may mount what the host
// sees.
//
// The builder can rename what is in its store until something is mounted there.
// So the mount point is held by a descriptor, and looked for in the sandbox
// without following a link: if it is not the same, nothing is mounted.
func (p *Process) Show(real, inside string, at Places) error {
	if err := p.show(real, inside, at); err != nil {
		return fmt.Errorf("show '%s' to builder: %w", inside, err)
	}
	return nil
}

func (p *Process) show(real, inside string, at Places) error {
	store, err := unix.Open(at.Store, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: at.Store, Err: err}
	}
	defer unix.Close(store)
	found, name := Look(real), filepath.Base(inside)
	if found.Kind == sandbox.Symlink {
		return os.NewSyscallError("symlinkat", unix.Symlinkat(found.Target, store, name))
	}
	place, err := mountPoint(store, name, found.Kind)
	if err != nil {
		return err
	}
	defer unix.Close(place)
	tree, err := unix.OpenTree(unix.AT_FDCWD, real, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return os.NewSyscallError("open_tree", err)
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return os.NewSyscallError("mount_setattr", err)
	}
	namespace, err := unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", p.PID), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open namespace", err)
	}
	defer unix.Close(namespace)
	return inNamespace(namespace, func() error { return mountOn(tree, place, inside) })
}

// mountPoint makes one that only we can have made.
func mountPoint(store int, name string, kind sandbox.FoundKind) (fd int, err error) {
	if kind == sandbox.Directory {
		err = unix.Mkdirat(store, name, 0o755)
	} else {
		err = unix.Mknodat(store, name, unix.S_IFREG|0o444, 0)
	}
	if err != nil {
		return -1, os.NewSyscallError("make mount point", err)
	}
	fd, err = unix.Openat(store, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("open mount point", err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && int(st.Uid) != os.Geteuid() {
		err = errSwapped
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

var errSwapped = errors.New("the builder has put something else at the mount point")

// inNamespace calls f on a thread in a mount namespace.
func inNamespace(namespace int, f func() error) error {
	return onSpentThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		if err := unix.Setns(namespace, unix.CLONE_NEWNS); err != nil {
			return os.NewSyscallError("setns", err)
		}
		return f()
	})
}

// onSpentThread calls f on a thread that is of no use for anything afterwards: it
// ends with its goroutine. The first thread of a process cannot end, and what is
// asked of /proc/self is answered by its namespaces; so it is passed over.
func onSpentThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			done <- f() // and the thread is never unlocked
			return
		}
		defer runtime.UnlockOSThread()
		done <- onSpentThread(f) // which gets another one
	}()
	return <-done
}

// mountOn mounts a tree at a place whose path in this namespace is known.
func mountOn(tree, place int, path string) error {
	at, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		return os.NewSyscallError("open mount point", err)
	}
	defer unix.Close(at)
	var here, made unix.Stat_t
	if err := errors.Join(unix.Fstat(at, &here), unix.Fstat(place, &made)); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if here.Dev != made.Dev || here.Ino != made.Ino {
		return errSwapped
	}
	return os.NewSyscallError("move_mount", unix.MoveMount(tree, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
}
