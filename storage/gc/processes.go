package gc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"troupe/storage/storepath"
)

// kernelFiles name programs that the kernel runs.
var kernelFiles = []string{"sys/kernel/modprobe", "sys/kernel/fbsplash", "sys/kernel/poweroff_cmd"}

// processes finds what running processes use: their programs, working
// directories, open and mapped files, and what their environment names. Paths
// that are not valid, and processes that end meanwhile or are another's, are
// passed over.
func (f *finder) processes(ctx context.Context) error {
	proc := f.c.proc
	if proc == "" {
		proc = "/proc"
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if err := errors.Join(f.process(filepath.Join(proc, e.Name())), ctx.Err()); err != nil {
			return err
		}
	}
	for _, name := range kernelFiles {
		file := filepath.Join(proc, name)
		text, err := os.ReadFile(file)
		if err := gone(err); err != nil {
			return err
		}
		if err := f.used(file, strings.TrimSpace(string(text))); err != nil {
			return err
		}
	}
	return nil
}

func (f *finder) process(dir string) error {
	for _, name := range []string{"exe", "cwd"} {
		if err := f.usedLink(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	fds := filepath.Join(dir, "fd")
	open, err := readNames(fds)
	if err := gone(err); err != nil {
		return err
	}
	for _, n := range open {
		if err := f.usedLink(filepath.Join(fds, n)); err != nil {
			return err
		}
	}
	if err := f.usedText(filepath.Join(dir, "maps"), f.mapped); err != nil {
		return err
	}
	return f.usedText(filepath.Join(dir, "environ"), f.mentioned)
}

func (f *finder) usedLink(link string) error {
	target, err := os.Readlink(link)
	if err := gone(err); err != nil {
		return err
	}
	return f.used(link, target)
}

// used adds a private root if a valid path is used.
func (f *finder) used(link, path string) error {
	p, ok := f.inStore(path)
	if !ok {
		return nil
	}
	valid, err := f.isValid(p)
	if valid {
		f.roots = append(f.roots, Root{Link: link, Path: p, Private: true})
	}
	return err
}

func (f *finder) usedText(file string, find func(file string, text []byte) error) error {
	open, err := os.Open(file)
	if err != nil {
		return gone(err)
	}
	text, err := io.ReadAll(bufio.NewReader(open))
	open.Close()
	if err := gone(err); err != nil {
		return err
	}
	return find(file, text)
}

// mapped reads lines as "560338d4e000-560338dca000 r--p 00000000 fe:00 9994867   /path".
func (f *finder) mapped(file string, text []byte) error {
	last := ""
	for line := range bytes.Lines(text) {
		slash := bytes.IndexByte(line, '/')
		if slash < 0 {
			continue
		}
		path := strings.TrimSuffix(string(line[slash:]), "\n")
		if path == last { // a library has some five lines
			continue
		}
		last = path
		if err := f.used(file, path); err != nil {
			return err
		}
	}
	return nil
}

// mentioned finds store paths anywhere in a text.
func (f *finder) mentioned(file string, text []byte) error {
	for _, dir := range f.storeDirs() {
		start := []byte(string(dir) + "/")
		for rest := text; ; {
			at := bytes.Index(rest, start)
			if at < 0 {
				break
			}
			rest = rest[at+len(start):]
			if err := f.used(file, string(dir)+"/"+objectName(rest)); err != nil {
				return err
			}
		}
	}
	return nil
}

// objectName is how much of a text can be the name of a store object.
func objectName(text []byte) string {
	for i, c := range text {
		if storepath.CheckName("x"+string(rune(c))) != nil || c >= 0x80 {
			return string(text[:i])
		}
	}
	return string(text)
}

// gone drops the errors of processes that have ended, or are another's, and of
// files so deep that the kernel does not tell their names: any process could have
// one open, and no collection would end well any more.
func gone(err error) error {
	for _, harmless := range []error{unix.ENOENT, unix.EACCES, unix.ESRCH, unix.EPERM, unix.ENAMETOOLONG} {
		if errors.Is(err, harmless) {
			return nil
		}
	}
	return err
}
