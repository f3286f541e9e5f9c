//go:build ignore

// Fill compiles the packages that several tools share into a Go build cache.
//
// The cache becomes a store path, so whatever the time of the build has left
// in it is replaced: each index entry ends in a time stamp.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if err := fill(os.Getenv("out"), os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "fill cache: %v\n", err)
		os.Exit(1)
	}
}

func fill(cache string, packages []string) error {
	args := append([]string{"build", "-trimpath", "-buildvcs=false"}, packages...)
	build := exec.Command("/go/bin/go", args...)
	build.Env = append(os.Environ(), "GOCACHE="+cache)
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		return err
	}
	entries, err := filepath.Glob(filepath.Join(cache, "*", "*-a"))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := timeless(entry); err != nil {
			return err
		}
	}
	fmt.Printf("%d packages and steps in the cache\n", len(entries))
	return os.RemoveAll(filepath.Join(cache, "trim.txt"))
}

// timeless sets the time of an entry, its last field, to 1. The field keeps its
// width of 20 characters.
func timeless(entry string) error {
	text, err := os.ReadFile(entry)
	if err != nil {
		return err
	}
	i := strings.LastIndexByte(strings.TrimSuffix(string(text), "\n"), ' ')
	fields := strings.Fields(string(text))
	if len(fields) != 5 || fields[0] != "v1" {
		return fmt.Errorf("read %s: not an entry of a Go build cache", entry)
	}
	stamp := len(fields[4])
	head := string(text[:i+1-(20-stamp)])
	return os.WriteFile(entry, fmt.Appendf(nil, "%s%20d\n", head, 1), 0o644)
}
