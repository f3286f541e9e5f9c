package early

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

func TestEachFile(t *testing.T) {
	const smaps = `00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/program
Size:                328 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00651000-00652000 r--p 00051000 08:02 173521 /usr/bin/program
Anonymous:             0 kB
00652000-00655000 rw-p 00052000 08:02 173521 /usr/bin/program
Anonymous:             0 kB
7f8b1c000000-7f8b1c004000 r--p 00201000 08:02 173524 /usr/lib/libc.so.6
Anonymous:            16 kB
00e03000-00e24000 rw-p 00000000 00:00 0 [heap]
Anonymous:             0 kB
35b1800000-35b1820000 r-xp 00000000 00:00 0
Anonymous:             0 kB
7fffb2c0d000-7fffb2c2e000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
`
	var got []uintptr
	eachFile(smaps+"7fab-", func(first, end uintptr) { got = append(got, first, end) })
	if want := []uintptr{0x400000, 0x452000, 0x651000, 0x652000}; !slices.Equal(got, want) {
		t.Errorf("%x", got)
	}
}

// What was dropped comes again where it is needed, and only there.
func TestDropProgram(t *testing.T) {
	read := byte(0)
	eachFile(readAll("/proc/self/smaps"), func(first, end uintptr) {
		for ; first < end; first += 4096 {
			read |= *(*byte)(unsafe.Add(nil, first))
		}
	})
	before := fileMemory(t)
	dropProgram()
	if after := fileMemory(t); after > before*9/10 {
		t.Errorf("%d kB, and %d kB before (%d)", after, before, read)
	}
}

// fileMemory is how much of files this process has in its memory, in kB.
func fileMemory(t *testing.T) (n int) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(status), "\nRssFile:")
	if _, err := fmt.Sscan(rest, &n); err != nil || !found {
		t.Fatalf("%q: %v", status, err)
	}
	return n
}
