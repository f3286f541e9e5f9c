package builtin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// unpackChannel unpacks the tarball "src" into the output, whose one entry is then called "channelName".
func unpackChannel(in Input) error {
	out, err := in.out()
	if err != nil {
		return err
	}
	name, err := in.attribute("channelName")
	if err != nil {
		return err
	}
	src, err := in.attribute("src")
	if err != nil {
		return err
	}
	if strings.ContainsRune(name, '/') {
		return fmt.Errorf("channelName is not allowed to contain filesystem separators, got %s", name)
	}
	if name == "" || name == "." || name == ".." {
		return fmt.Errorf("channelName is not the name of a file: %q", name)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("unpack channel: %w", err)
	}
	if err := unpackTarball(src, out); err != nil {
		return fmt.Errorf("unpack %q: %w", src, err)
	}
	return renameOnly(src, out, name)
}

// renameOnly gives the one entry of dir its name.
func renameOnly(src, dir, name string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	switch {
	case len(entries) == 0:
		return fmt.Errorf("channel tarball '%s' is empty", src)
	case len(entries) > 1:
		return fmt.Errorf("channel tarball '%s' contains more than one file", src)
	}
	if err := os.Rename(filepath.Join(dir, entries[0].Name()), filepath.Join(dir, name)); err != nil {
		return errors.Join(fmt.Errorf("channel tarball '%s'", src), err)
	}
	return nil
}
