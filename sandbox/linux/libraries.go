package linux

import (
	"bufio"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"troupe/sandbox"
)

// OwnLibraries are the files that this program needs to be executed again in a
// sandbox: none where it is linked statically, as it should be; its dynamic
// loader and what that has loaded where it was compiled with a C compiler at
// hand and nobody said CGO_ENABLED=0.
func OwnLibraries() ([]sandbox.HostPath, error) {
	loader, err := ownLoader()
	if err != nil || loader == "" {
		return nil, err
	}
	real, err := filepath.EvalSymlinks(loader)
	if err != nil {
		return nil, fmt.Errorf("find own libraries: %w", err)
	}
	files := []sandbox.HostPath{{Inside: loader, Outside: real}}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return nil, err
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		i := strings.IndexByte(lines.Text(), '/')
		if i < 0 || !strings.Contains(filepath.Base(lines.Text()), ".so") {
			continue
		}
		file := sandbox.HostPath{Inside: lines.Text()[i:], Outside: lines.Text()[i:]}
		if !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	return files, nil
}

// ownLoader is the dynamic loader that this program names, or "".
func ownLoader() (string, error) {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("read own program: %w", err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return "", fmt.Errorf("read own program: %w", err)
		}
		return strings.TrimRight(string(name), "\x00"), nil
	}
	return "", nil
}
