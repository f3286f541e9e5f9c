package builtin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// leftOut are the endings of paths that never get into an environment: build-time files, and files that
// nearly every package has and nobody looks for there.
var leftOut = []string{
	"/propagated-build-inputs", "/nix-support", "/perllocal.pod", "/info/dir", "/log", "/manifest.nix", "/manifest.json",
}

// link puts symlinks to the entries of src into the directory dst; hidden files stay out.
func (e *environment) link(src, dst string, priority int) error {
	entries, err := os.ReadDir(src)
	if errors.Is(err, syscall.ENOTDIR) {
		e.in.warn("not including \"%s\" in the user environment because it's not a directory", src)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read package: %w", err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || isLeftOut(filepath.Join(src, name)) {
			continue
		}
		if err := e.linkEntry(filepath.Join(src, name), filepath.Join(dst, name), priority); err != nil {
			return err
		}
	}
	return nil
}

func isLeftOut(path string) bool {
	for _, ending := range leftOut {
		if strings.HasSuffix(path, ending) {
			return true
		}
	}
	return false
}

func (e *environment) linkEntry(src, dst string, priority int) error {
	srcInfo, err := os.Stat(src)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		e.in.warn("skipping dangling symlink '%s'", dst)
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at package: %w", err)
	}
	dstInfo, err := os.Lstat(dst)
	if errors.Is(err, fs.ErrNotExist) {
		return e.place(src, dst, priority)
	}
	if err != nil {
		return fmt.Errorf("look at environment: %w", err)
	}
	if srcInfo.IsDir() {
		return e.merge(src, dst, dstInfo, priority)
	}
	return e.contend(src, dst, dstInfo, priority)
}

func (e *environment) place(src, dst string, priority int) error {
	if err := os.Symlink(src, dst); err != nil {
		return err
	}
	e.priorities[dst] = priority
	return nil
}

// merge adds the directory src to what is at dst. A symlink there, to a directory of another package, is
// opened up into a real directory that holds both.
func (e *environment) merge(src, dst string, dstInfo fs.FileInfo, priority int) error {
	if dstInfo.IsDir() {
		return e.link(src, dst, priority)
	}
	target, err := filepath.EvalSymlinks(dst)
	if err != nil {
		return fmt.Errorf("follow environment: %w", err)
	}
	targetInfo, err := os.Lstat(target)
	if err != nil {
		return fmt.Errorf("look at package: %w", err)
	}
	if !targetInfo.IsDir() {
		return fmt.Errorf("collision between \"%s\" and non-directory \"%s\"", src, target)
	}
	if err := os.Remove(dst); err != nil {
		return err
	}
	if err := os.Mkdir(dst, 0o755); err != nil {
		return err
	}
	if err := e.link(target, dst, e.priorities[dst]); err != nil {
		return err
	}
	return e.link(src, dst, priority)
}

// contend decides between the file src and what is at dst already.
func (e *environment) contend(src, dst string, dstInfo fs.FileInfo, priority int) error {
	if dstInfo.IsDir() {
		return fmt.Errorf("collision between non-directory '%s' and directory '%s'", src, dst)
	}
	switch there := e.priorities[dst]; {
	case there < priority:
		return nil
	case there == priority:
		target, err := os.Readlink(dst)
		if err != nil {
			return err
		}
		return conflict(target, src)
	}
	if err := os.Remove(dst); err != nil {
		return err
	}
	return e.place(src, dst, priority)
}

// conflict has Nix's words, by which nix profile and others know it.
func conflict(there, src string) error {
	//lint:ignore ST1005 these are Nix's words
	return fmt.Errorf("Unable to build profile. There is a conflict for the following files:\n\n  \"%s\"\n  \"%s\"", there, src)
}
