package early

import (
	"syscall"
	"unsafe"
)

// call is one system call of a stage.
type call struct {
	number uintptr
	args   [6]uintptr
	mode   mode
	step   int // of the program, that it is a part of
}

// mode says what is particular about a call.
type mode uint8

const (
	checked   mode = iota // if it fails, so does the stage
	tried                 // it may fail
	keeps                 // what it returns is kept
	onKept                // its first argument is what was kept
	soleRead              // it reads a byte; if there is none, the stage ends
	whoeverIs             // it may find nobody that it may kill
)

// stage is a program as system calls.
type stage struct {
	shared
	args    cloneArgs // by which it begins
	calls   []call
	program []byte
	current Step
	step    int
	// held are what the calls point to. It neither moves nor is it freed while
	// the stage is forked.
	held     []unsafe.Pointer
	err      error  // of the step
	filter   filter // that "seccomp" installs
	loopback int    // where its calls are; 0 is that there are none
	filtered bool   // it is to be forked by a thread that has the filter
}

// reset forgets all but the memory.
func (s *stage) reset() {
	clear(s.held)
	s.calls, s.held, s.program, s.err, s.filtered = s.calls[:0], s.held[:0], s.program[:0], nil, false
	s.loopback = 0
}

// compile adds the calls of the program. The error is of the current step.
func (s *stage) compile() error {
	s.step = -1
	for rest := s.program; len(rest) > 0; {
		rest = s.current.decode(rest)
		s.step++
		meaning := meanings[s.current.Op]
		if meaning == nil {
			return syscall.ENOSYS
		}
		if meaning(s, s.current.Args); s.err != nil {
			return s.err
		}
	}
	return nil
}

func (s *stage) add(number uintptr, args ...uintptr) { s.addAs(checked, number, args...) }

func (s *stage) addAs(m mode, number uintptr, args ...uintptr) {
	c := call{number: number, mode: m, step: s.step}
	copy(c.args[:], args)
	s.calls = append(s.calls, c)
}

// hold is the address of something that the stage needs.
func (s *stage) hold(p unsafe.Pointer) uintptr {
	s.held = append(s.held, p)
	return uintptr(p)
}

// text is the address of a string that ends with a zero byte. Those of the program
// do.
func (s *stage) text(t string) uintptr {
	if p := unsafe.StringData(t); s.within(p) {
		for i := range len(t) {
			if t[i] == 0 {
				s.err = syscall.EINVAL
			}
		}
		return uintptr(unsafe.Pointer(p))
	}
	p, err := syscall.BytePtrFromString(t)
	if err != nil {
		s.err = err
	}
	return s.hold(unsafe.Pointer(p))
}

func (s *stage) within(p *byte) bool {
	first := uintptr(unsafe.Pointer(unsafe.SliceData(s.program)))
	at := uintptr(unsafe.Pointer(p))
	return first <= at && at < first+uintptr(len(s.program))
}

// texts is the address of addresses of strings, with a zero after them.
func (s *stage) texts(all []string) uintptr {
	list := make([]uintptr, len(all)+1)
	for i, t := range all {
		list[i] = s.text(t)
	}
	return s.hold(unsafe.Pointer(&list[0]))
}

// Describe names a step in an error, without what is long or binary in it.
func Describe(s Step) string {
	text := s.Op
	for i, a := range s.Args {
		if i == 2 || len(a) > 200 {
			break
		}
		text += " " + a
	}
	return text
}
