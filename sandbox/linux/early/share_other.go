//go:build !amd64

package early

import "syscall"

// Elsewhere stages are copies.
const canShare = false

func cloneOnto(_, _, _, _, _ uintptr) (uintptr, syscall.Errno) { panic("a stage in this memory") }
