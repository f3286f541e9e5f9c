package linux

import (
	"sync"

	"golang.org/x/sys/unix"
)

// scopesSockets reports whether the kernel can keep a process from the abstract
// sockets of others: version 6 of Landlock, in Linux 6.12.
var scopesSockets = sync.OnceValue(func() bool {
	const scopes = 6
	version, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	return errno == 0 && version >= scopes
})
