//go:build !amd64 || race || msan || asan

package early

import "syscall"

// Elsewhere stages are copies, and where the compiler adds calls to functions: they would
// find the stack of the thread that forks.
const canShare = false

func cloneOnto(_, _, _, _, _ uintptr) (uintptr, syscall.Errno) { panic("a stage in this memory") }
