package buildlog

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// empty has the last log of nothing that was compressed: many builders write
// nothing, and another name of a file costs a tenth of another file. It is held
// open, as what its names mean may change.
var empty struct {
	sync.Mutex
	file *os.File // nil before there is one
}

// packEmpty makes the compressed log of a build that wrote nothing.
func packEmpty(path string) error {
	if nameEmpty(path) {
		return nil
	}
	if err := pack(path, smallest, strings.NewReader("")); err != nil {
		return err
	}
	return keepEmpty(path)
}

// nameEmpty reports whether the file that there is could have another name.
func nameEmpty(path string) bool {
	empty.Lock()
	defer empty.Unlock()
	if empty.file == nil {
		return false
	}
	// The file may have lost all names, or have as many as it can, or be elsewhere.
	err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", empty.file.Fd()), unix.AT_FDCWD, path+".bz2", unix.AT_SYMLINK_FOLLOW)
	return err == nil
}

// keepEmpty lets a compressed log of nothing have more names.
func keepEmpty(path string) error {
	file, err := os.Open(path + ".bz2")
	if err != nil {
		return err
	}
	empty.Lock()
	defer empty.Unlock()
	before := empty.file
	empty.file = file
	if before == nil {
		return nil
	}
	return before.Close()
}
