//go:build amd64 && !race && !msan && !asan

package early

import "syscall"

const canShare = true

// cloneOnto makes a system call that begins a process on another stack, in this
// memory. There it finds the arguments of [play], and calls that.
//
//go:noescape
func cloneOnto(number, first, second, third, fourth uintptr) (pid uintptr, e syscall.Errno)
