package early

import "syscall"

// dropProgram lets the kernel take back the pages of this program that its start has
// looked at. Those that are needed come again, and they are few; each stage that is
// in this memory counts all of them as its own.
func dropProgram() {
	eachFile(readAll("/proc/self/smaps"), func(first, end uintptr) {
		syscall.RawSyscall(syscall.SYS_MADVISE, first, end-first, syscall.MADV_DONTNEED)
	})
}

// eachFile calls f with each part of memory that is a file's, cannot be written to and
// was not: the loader of libraries writes before it forbids it. From proc(5), without
// the lines of no interest:
//
//	00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/program
//	Anonymous:             0 kB
func eachFile(smaps string, f func(first, end uintptr)) {
	const anonymous = "Anonymous:"
	var first, end uintptr
	is := false // a file's, and not to be written to
	for len(smaps) > 0 {
		line := smaps
		if at := index(smaps, '\n'); at >= 0 {
			line, smaps = smaps[:at], smaps[at+1:]
		} else {
			smaps = ""
		}
		if number, rest := hexadecimal(line); len(rest) > 0 && rest[0] == '-' {
			first = number
			end, rest = hexadecimal(rest[1:])
			is = len(rest) > 2 && rest[2] == '-' && index(rest, '/') >= 0
		} else if is && len(line) > len(anonymous) && line[:len(anonymous)] == anonymous && atoi(firstWord(line[len(anonymous):])) == 0 {
			f(first, end)
		}
	}
}

// firstWord is the first word of a text.
func firstWord(s string) string {
	for len(s) > 0 && s[0] == ' ' {
		s = s[1:]
	}
	if at := index(s, ' '); at >= 0 {
		s = s[:at]
	}
	return s
}

// hexadecimal is the number that a text begins with, and what follows.
func hexadecimal(s string) (n uintptr, rest string) {
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			n = n<<4 | uintptr(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uintptr(c-'a'+10)
		default:
			return n, s[i:]
		}
	}
	return n, ""
}

func index(s string, c byte) int {
	for i := range len(s) {
		if s[i] == c {
			return i
		}
	}
	return -1
}

// readAll is what a file holds, as far as it can be read.
func readAll(path string) string {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer syscall.Close(fd)
	return readFrom(fd)
}

func readFrom(fd int) (text string) {
	var buf [4096]byte
	for {
		n, err := syscall.Read(fd, buf[:])
		if err != nil || n <= 0 {
			return text
		}
		text += string(buf[:n])
	}
}
