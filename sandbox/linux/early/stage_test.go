package early

import (
	"errors"
	"os"
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

// The stage and the service read and write the same words, wherever the stage is.
func TestFailure(t *testing.T) {
	for _, shares := range []bool{false, mayShare()} {
		s := (&stages{shares: shares}).next()
		s.program = Encode([]Step{{"umask", []string{"18"}}, {"chdir", []string{"/nonexistent"}}, {"end", nil}})
		status, said := run(t, s)
		if errno, step, ok := Failure(said); errno != syscall.ENOENT || step != 1 || !ok {
			t.Errorf("%v of step %d, %v", errno, step, ok)
		}
		if status.ExitStatus() != 1 || s.running.Load() != 0 {
			t.Errorf("%v; running %d", status, s.running.Load())
		}
	}
	if _, _, ok := Failure(nil); ok {
		t.Error("a builder that was executed is taken for a failure")
	}
}

// run lets a stage run to its end.
func run(t *testing.T, s *stage) (status syscall.WaitStatus, said []byte) {
	var pipe [2]int
	if err := errors.Join(s.compile(), syscall.Pipe2(pipe[:], syscall.O_CLOEXEC)); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pipe[0])
	pid, err := s.spawn(0, -1, pipe[1])
	syscall.Close(pipe[1])
	if err != nil {
		t.Fatal(err)
	}
	said = make([]byte, 100)
	n, err := syscall.Read(pipe[0], said)
	if _, waited := syscall.Wait4(pid, &status, 0, nil); err != nil || waited != nil {
		t.Fatal(err, waited)
	}
	return status, said[:n]
}

// What a stage uses is not another's before the stage has ended, or executes its
// builder.
func TestStages(t *testing.T) {
	if !mayShare() {
		if canShare && os.Getenv("CI") != "" {
			t.Fatal("fs.suid_dumpable is 1, or cannot be read")
		}
		t.Skip("stages are copies here")
	}
	all := &stages{shares: true}
	waiting := all.next()
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	waiting.awaitMapping(pipe)
	waiting.program = Encode([]Step{{"exec", []string{"/bin/sh", "3", "sh", "-c", "exit 7"}}})
	if err := waiting.compile(); err != nil {
		t.Fatal(err)
	}
	pid, err := waiting.spawn(0, -1, 2)
	if err != nil {
		t.Fatal(err)
	}
	other := all.next()
	if other == waiting {
		t.Error("a stage that runs is used again")
	}
	other.program = Encode([]Step{{"umask", []string{"18"}}, {"end", nil}})
	if status, said := run(t, other); status.ExitStatus() != 0 || len(said) != 0 {
		t.Errorf("%v, %q", status, said)
	}
	syscall.Write(pipe[1], []byte{0})
	syscall.Close(pipe[0])
	syscall.Close(pipe[1])
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 7 {
		t.Errorf("%v, %v", status, err)
	}
	if next := all.next(); next != waiting || len(all.all) != 2 {
		t.Error("a stage that has ended is not used again")
	}
}
