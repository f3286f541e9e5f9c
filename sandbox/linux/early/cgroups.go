package early

import "syscall"

// cgroups is the directory in which builders have their cgroups. The zero value
// is none.
type cgroups struct {
	path string
	fd   int // holds the directory's lock for as long as this process lives
}

// A killed process may need a while to end, and its cgroup stays until then.
const (
	endAttempts = 1000
	endPause    = 10e6 // nanoseconds
)

// end kills all that runs in any of the cgroups, also what has left the process
// group of its builder, and removes them: the service, which does this else, may
// be dead.
func (g cgroups) end() {
	if g.path == "" {
		return
	}
	for range endAttempts {
		g.kill()
		if RemoveCgroup(g.path) == nil {
			return
		}
		syscall.Nanosleep(&syscall.Timespec{Nsec: endPause}, nil)
	}
}

func (g cgroups) kill() {
	fd, err := syscall.Openat(g.fd, "cgroup.kill", syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return // the service has removed it
	}
	syscall.Write(fd, []byte("1"))
	syscall.Close(fd)
}

// RemoveCgroup removes a cgroup that no process is in, with those that a builder
// may have made in it. That it is gone already is well.
func RemoveCgroup(path string) error {
	err := syscall.Rmdir(path)
	switch err {
	case nil, syscall.ENOENT:
		return nil
	case syscall.ENOTDIR:
		return err
	}
	for _, name := range namesIn(path) {
		RemoveCgroup(path + "/" + name) // what is a file stays, and goes with its cgroup
	}
	if err = syscall.Rmdir(path); err == syscall.ENOENT {
		return nil
	}
	return err
}

// namesIn is empty where there is no such directory.
func namesIn(path string) (names []string) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	var buf [4096]byte
	for {
		n, err := syscall.ReadDirent(fd, buf[:])
		if err != nil || n <= 0 {
			return names
		}
		_, _, names = syscall.ParseDirent(buf[:n], -1, names)
	}
}
