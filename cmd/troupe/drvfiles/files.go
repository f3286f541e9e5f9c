// Package drvfiles reads derivations from where people have them: files,
// directories and archives.
package drvfiles

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Each reads a file, a directory of derivations or a tar archive of
// them.
func Each(file string, take func(name string, data []byte)) error {
	switch {
	case strings.HasSuffix(file, ".tar"), strings.HasSuffix(file, ".tar.zst"):
		return eachInTar(file, take)
	}
	return filepath.WalkDir(file, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || (path != file && !strings.HasSuffix(path, ".drv")) {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil {
			take(path, data)
		}
		return err
	})
}

// window is the largest that a compressed archive may ask for, in bytes.
const window = 128 << 20

func eachInTar(file string, take func(name string, data []byte)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(file, ".zst") {
		z, err := zstd.NewReader(f, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		defer z.Close()
		in = z
	}
	for t := tar.NewReader(in); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("'%s': %w", file, err)
		}
		if h.Typeflag != tar.TypeReg || !strings.HasSuffix(h.Name, ".drv") {
			continue
		}
		data, err := io.ReadAll(t)
		if err != nil {
			return fmt.Errorf("'%s': %w", file, err)
		}
		take(h.Name, data)
	}
}
