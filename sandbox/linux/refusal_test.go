package linux_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
	"troupe/sandbox/linux"
)

// refusedKind says to TestWithoutNamespaces that it is to try, in a user
// namespace that has none of this kind for it.
const refusedKind = "TROUPE_TEST_REFUSED_NAMESPACE"

// Where the kernel gives a namespace no more, there is no builder, and the error
// says what there is not.
func TestWithoutNamespaces(t *testing.T) {
	if kind := os.Getenv(refusedKind); kind != "" {
		buildWithout(t, kind)
		return
	}
	for _, kind := range []string{"user", "pid", "mnt", "net", "ipc", "uts"} {
		t.Run(kind, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestWithoutNamespaces$", "-test.v")
			cmd.Env = append(os.Environ(), refusedKind+"="+kind)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, AmbientCaps: []uintptr{unix.CAP_SYS_RESOURCE},
				UidMappings: []syscall.SysProcIDMap{{ContainerID: 1234, HostID: os.Getuid(), Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{ContainerID: 1234, HostID: os.Getgid(), Size: 1}}}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !strings.Contains(string(out), "refused: ") {
				t.Errorf("nothing was tried:\n%s", out)
			}
		})
	}
}

func buildWithout(t *testing.T, kind string) {
	if err := os.WriteFile("/proc/sys/user/max_"+kind+"_namespaces", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	l := launcher(t)
	s, at := boxed(t, "echo ran")
	p, err := l.Start(s, at, nil)
	if err == nil {
		t.Fatalf("it ran: %q", drain(t, p))
	}
	t.Log("refused: " + err.Error())
	if !strings.Contains(err.Error(), "namespace") || !strings.Contains(err.Error(), "/proc/sys/user/max_"+kind+"_namespaces is 0") {
		t.Error("the error does not say why")
	}
}

// Each part of a sandbox that cannot be made ends the build before its builder.
func TestNothingRunsWithLess(t *testing.T) {
	for what, spoil := range map[string]func(*sandbox.Spec, *linux.Places){
		"bind":       func(s *sandbox.Spec, _ *linux.Places) { s.Mounts[0].Source = "/nonexistent" },
		"mount proc": func(s *sandbox.Spec, _ *linux.Places) { s.Mounts[1].Target = "/nonexistent" },
		"mount tmpfs": func(s *sandbox.Spec, _ *linux.Places) {
			s.Mounts[1].Kind, s.Mounts[1].Options = sandbox.Tmpfs, "size=x"
		},
		"bind ":    func(_ *sandbox.Spec, at *linux.Places) { at.Root = "/nonexistent" },
		"chdir":    func(s *sandbox.Spec, _ *linux.Places) { s.Dir = "/nonexistent" },
		"exec":     func(s *sandbox.Spec, _ *linux.Places) { s.Builder = "/nonexistent" },
		"hostname": func(s *sandbox.Spec, _ *linux.Places) { s.Host = strings.Repeat("x", 100) },
		"mount devpts": func(s *sandbox.Spec, _ *linux.Places) {
			s.Mounts[1].Kind, s.Mounts[1].Target = sandbox.Devpts, "/nonexistent"
		},
	} {
		l := launcher(t)
		s, at := boxed(t, "echo ran")
		spoil(&s, &at)
		p, err := l.Start(s, at, nil)
		if err == nil {
			t.Errorf("%s: it ran: %q", what, drain(t, p))
			continue
		}
		if !strings.Contains(err.Error(), strings.TrimPrefix(what, "mount ")) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
