package descriptor_test

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"troupe/storage/descriptor"
)

// cancelled is how many bytes this process has written that never had to go to a disk.
func cancelled(t *testing.T) (bytes int64) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip("the kernel does not count what is written: ", err)
	}
	if _, err := fmt.Sscan(string(regexp.MustCompile(`(?m)^cancelled_write_bytes: (\d+)$`).FindSubmatch(text)[1]), &bytes); err != nil {
		t.Fatal(err)
	}
	return bytes
}

// left writes and removes a file, and tells how much of it nobody had begun to write to
// disk.
func left(t *testing.T, size int, more func(fd, n int)) int64 {
	f, err := os.Create(t.TempDir() + "/large")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before, piece := cancelled(t), make([]byte, 1<<18)
	for range size / len(piece) {
		if _, err := f.Write(piece); err != nil {
			t.Fatal(err)
		}
		more(int(f.Fd()), len(piece))
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	return cancelled(t) - before
}

// TestWriteBack: of a large file little is left to a flush, behind who writes it or ahead
// of who reads it, and of a small one all.
func TestWriteBack(t *testing.T) {
	const small, large = descriptor.WriteBackEach - 1<<18, 6 * descriptor.WriteBackEach
	none := func(int, int) {}
	if n := left(t, large, none); n < large {
		t.Skipf("the file system counts %d bytes of %d, or somebody has flushed them", n, large)
	}
	var first, behind descriptor.WriteBack
	if n := left(t, small, first.Behind); n < small/2 {
		t.Errorf("of a small file %d bytes are left", n)
	}
	if n := left(t, large, behind.Behind); n > descriptor.WriteBackEach {
		t.Errorf("%d bytes are left behind who writes", n)
	}
	read := func(fd, n int) {
		var ahead descriptor.WriteBack
		for at := 0; at < large; at += n {
			ahead.Ahead(fd, n)
		}
	}
	written := 0
	if n := left(t, large, func(fd, n int) {
		if written += n; written == large {
			read(fd, n)
		}
	}); n > 0 {
		t.Errorf("%d bytes are left of what was read", n)
	}
}
