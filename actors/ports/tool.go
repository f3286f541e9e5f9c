package ports

import (
	"os"
	"slices"

	"troupe/sandbox"
	"troupe/sandbox/linux"
)

// StartTool starts a program of the settings that works in the service's stead. It is
// who the service is and in no sandbox, but otherwise as a builder: without descriptors,
// in a session of its own and a cgroup where there are any, and it ends when the service
// does. Its output is the caller's to read and close.
func (s Services) StartTool(program string, args ...string) (*linux.Process, error) {
	own := sandbox.Identity{UID: os.Geteuid(), GID: os.Getegid(), OutsideUID: os.Geteuid(), OutsideGID: os.Getegid()}
	return s.Launcher.Start(sandbox.Spec{Builder: program, Args: append([]string{program}, args...), Env: slices.Sorted(slices.Values(os.Environ())),
		Dir: "/", Identity: own, AllowSetuid: true}, linux.Places{}, nil)
}
