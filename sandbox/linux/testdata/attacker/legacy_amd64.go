package main

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// int80 makes a 32-bit system call from a 64-bit program.
func int80(number, a, b, c, d uintptr) int32

const x32 = 0x40000000

// legacy tries the calls that only this machine has, by all the three tables
// that a program on it can use.
func legacy() {
	call("chmod 4755", unix.SYS_CHMOD, "f", 0o4755)
	call("creat 4755", unix.SYS_CREAT, "c", 0o4755)
	call("open create 4755", unix.SYS_OPEN, "c", unix.O_CREAT|unix.O_WRONLY, 0o4755)
	call("mkdir 2755", unix.SYS_MKDIR, "d", 0o2755)
	call("mknod 4755", unix.SYS_MKNOD, "n", unix.S_IFREG|0o4755, 0)
	call("x32 chmod 4755", unix.SYS_CHMOD|x32, "f", 0o4755)
	call("x32 getpid", unix.SYS_GETPID|x32)
	low, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_32BIT)
	if err != nil {
		say("mmap", err)
		return
	}
	f, name, value := place(low, 0, "f"), place(low, 64, "user.x"), place(low, 128, "v")
	dot, fresh := place(low, 192, "."), place(low, 256, "new")
	at := ^uintptr(99) // AT_FDCWD
	for _, c := range []struct {
		what                string
		number, a, b, c2, d uintptr
	}{
		{"chmod 755", 15, f, 0o755, 0, 0}, {"chmod 4755", 15, f, 0o4755, 0, 0},
		{"creat 4755", 8, fresh, 0o4755, 0, 0}, {"open create 4755", 5, fresh, unix.O_CREAT, 0o4755, 0},
		{"openat nameless 4755", 295, at, dot, unix.O_TMPFILE | unix.O_RDWR, 0o4755},
		{"mkdir 2755", 39, fresh, 0o2755, 0, 0}, {"mkdirat 2755", 296, at, fresh, 0o2755, 0},
		{"mknod 4755", 14, fresh, unix.S_IFREG | 0o4755, 0, 0}, {"mknodat 4755", 297, at, fresh, unix.S_IFREG | 0o4755, 0},
		{"fchmodat 2755", 306, at, f, 0o2755, 0}, {"fchmodat2 2755", fchmodat2, at, f, 0o2755, 0},
		{"setxattr", 226, f, name, value, 1}, {"listxattr", 232, f, 0, 0, 0}, {"removexattr", 235, f, name, 0, 0},
		{"add_key", 286, 0, 0, 0, 0}, {"request_key", 287, 0, 0, 0, 0}, {"keyctl", 288, 0, 0, 0, 0},
		{"io_uring_setup", 425, 1, 0, 0, 0}, {"openat2", 437, at, f, 0, 0}, {"socket vsock", 359, 40, 1, 0, 0},
	} {
		if r := int80(c.number, c.a, c.b, c.c2, c.d); r < 0 {
			say("i386 "+c.what, unix.Errno(-r))
		} else {
			say("i386 "+c.what, nil)
		}
	}
	if r := int80(20, 0, 0, 0, 0); int(r) != unix.Getpid() {
		fmt.Println("i386 getpid:", r)
	}
}

// place puts a string where a 32-bit pointer reaches it.
func place(b []byte, at int, s string) uintptr {
	copy(b[at:], s)
	return uintptr(unsafe.Pointer(&b[at]))
}
