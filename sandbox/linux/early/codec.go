package early

import "unsafe"

// Step is one thing for a stage to do.
type Step struct {
	Op   string
	Args []string
}

// Encode writes a program: for each step the number of its words, then each
// word with its length before it and a zero byte after it, as system calls take
// it; all lengths in four bytes, little-endian.
func Encode(program []Step) []byte {
	var b []byte
	for _, s := range program {
		b = appendLength(b, len(s.Args)+1)
		b = appendWord(b, s.Op)
		for _, a := range s.Args {
			b = appendWord(b, a)
		}
	}
	return b
}

func appendLength(b []byte, n int) []byte {
	return append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
}

func appendWord(b []byte, s string) []byte {
	return append(append(appendLength(b, len(s)), s...), 0)
}

// decode takes the first step off a program into s, whose words are valid for as
// long as the program is. The program comes from our own process, so that a wrong
// one is not expected and is a panic.
func (s *Step) decode(b []byte) (rest []byte) {
	n, b := takeLength(b)
	s.Op, b = takeWord(b)
	s.Args = s.Args[:0]
	for range n - 1 {
		var word string
		word, b = takeWord(b)
		s.Args = append(s.Args, word)
	}
	return b
}

func takeLength(b []byte) (int, []byte) {
	return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 | int(b[3])<<24, b[4:]
}

func takeWord(b []byte) (string, []byte) {
	n, b := takeLength(b)
	return unsafe.String(&b[0], n), b[n+1:]
}

// Itoa renders a number for a step.
func Itoa(n int) string {
	if n < 0 {
		return "-" + Itoa(-n)
	}
	if n < 10 {
		return string(rune('0' + n))
	}
	return Itoa(n/10) + string(rune('0'+n%10))
}

func atoi(s string) int {
	n, sign := 0, 1
	for i := range len(s) {
		if s[i] == '-' {
			sign = -1
			continue
		}
		n = n*10 + int(s[i]-'0')
	}
	return n * sign
}

// Decode reads a packet of one step, which the caller may reuse.
func Decode(b []byte) (s Step) {
	s.decode([]byte(string(b)))
	return s
}
