package early

import (
	"syscall"
	"testing"
)

func TestCompile(t *testing.T) {
	s := &stage{}
	s.add(syscall.SYS_SETSID)
	s.program = Encode([]Step{{"chdir", []string{"/"}}, {"bind", []string{"/a", "/b"}}, {"hostname", []string{"h", "d"}}})
	if err := s.compile(); err != nil {
		t.Fatal(err)
	}
	want := []struct {
		number uintptr
		step   int
	}{{syscall.SYS_SETSID, 0}, {syscall.SYS_CHDIR, 0}, {syscall.SYS_MOUNT, 1}, {syscall.SYS_SETHOSTNAME, 2}, {syscall.SYS_SETDOMAINNAME, 2}}
	for i, w := range want {
		if c := s.calls[i]; c.number != w.number || c.step != w.step {
			t.Errorf("call %d is number %d of step %d, not %d of %d", i, c.number, c.step, w.number, w.step)
		}
	}
	if len(s.calls) != len(want) {
		t.Errorf("%d calls", len(s.calls))
	}
}

func TestCompileNothingWrong(t *testing.T) {
	for _, tt := range []struct {
		step Step
		err  error
	}{
		{Step{"unheard-of", nil}, syscall.ENOSYS},
		{Step{"chdir", []string{"/with\x00zero"}}, syscall.EINVAL},
		{Step{"exec", []string{"/bin/sh", "1", "sh", "A=\x00"}}, syscall.EINVAL},
	} {
		s := &stage{program: Encode([]Step{{"end", nil}, tt.step})}
		if err := s.compile(); err != tt.err || Describe(s.current) != Describe(tt.step) {
			t.Errorf("%s: %v", Describe(s.current), err)
		}
	}
}

// The stage and the service read and write the same words.
func TestFailure(t *testing.T) {
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pipe[0])
	s := &stage{program: Encode([]Step{{"umask", []string{"18"}}, {"chdir", []string{"/nonexistent"}}, {"end", nil}})}
	if err := s.compile(); err != nil {
		t.Fatal(err)
	}
	pid, err := s.spawn(0, -1, pipe[1])
	syscall.Close(pipe[1])
	if err != nil {
		t.Fatal(err)
	}
	var said [100]byte
	n, err := syscall.Read(pipe[0], said[:])
	if err != nil {
		t.Fatal(err)
	}
	if errno, step, ok := Failure(said[:n]); errno != syscall.ENOENT || step != 1 || !ok {
		t.Errorf("%v of step %d, %v", errno, step, ok)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 1 {
		t.Errorf("%v, %v", status, err)
	}
	if _, _, ok := Failure(nil); ok {
		t.Error("a builder that was executed is taken for a failure")
	}
}
