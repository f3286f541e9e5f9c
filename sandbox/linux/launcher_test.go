package linux_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"troupe/sandbox"
	"troupe/sandbox/linux"
)

func launcher(t testing.TB) *linux.Launcher {
	t.Helper()
	l, err := linux.NewLauncher()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// drain reads a builder's output to its end; a terminal ends with EIO.
func drain(t testing.TB, p *linux.Process) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := io.Copy(&b, p.Output); err != nil && !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	if err := p.Output.Close(); err != nil {
		t.Error(err)
	}
	return b.String()
}

func ownIdentity() sandbox.Identity {
	return sandbox.Identity{UID: os.Getuid(), GID: os.Getgid(), OutsideUID: os.Getuid(), OutsideGID: os.Getgid()}
}

// static finds a shell that needs nothing else in its root.
func static(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err == nil {
		if out, lerr := exec.Command("file", "-L", path).Output(); lerr != nil || strings.Contains(string(out), "statically") {
			return path
		}
		err = errors.New("busybox is not static")
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("a static busybox is missing: %v", err)
	}
	t.Skipf("a static busybox is missing: %v", err)
	return ""
}

func TestPlainProcess(t *testing.T) {
	l := launcher(t)
	p, err := l.Start(sandbox.Spec{Builder: "/bin/sh", Args: []string{"sh", "-c", "echo out; echo err >&2; test -t 1 && echo terminal; read x || echo no input; exit 3"},
		Env: []string{"A=b"}, Dir: "/", Identity: ownIdentity()}, linux.Places{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := drain(t, p)
	if e := p.Wait(); out != "out\nerr\nterminal\nno input\n" || e.Code != 3 || e.Signal != 0 || e.PeakMemory == 0 {
		t.Fatalf("%q %+v", out, e)
	}
}

func TestSignal(t *testing.T) {
	l := launcher(t)
	p, err := l.Start(sandbox.Spec{Builder: "/bin/sh", Args: []string{"sh", "-c", "kill -11 $$"}, Dir: "/", Identity: ownIdentity()}, linux.Places{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	drain(t, p)
	if e := p.Wait(); e.Code != -1 || e.Signal != 11 {
		t.Fatalf("%+v", e)
	}
}

func TestBuilderThatIsNotThere(t *testing.T) {
	l := launcher(t)
	_, err := l.Start(sandbox.Spec{Builder: "/nonexistent", Args: []string{"x"}, Dir: "/", Identity: ownIdentity()}, linux.Places{}, nil)
	if !errors.Is(err, syscall.ENOENT) || !strings.Contains(err.Error(), "/nonexistent") {
		t.Fatal(err)
	}
}

func TestKill(t *testing.T) {
	l := launcher(t)
	p, err := l.Start(sandbox.Spec{Builder: "/bin/sh", Args: []string{"sh", "-c", "sleep 1000 & echo started; wait"}, Dir: "/", Env: []string{"PATH=/bin:/usr/bin"}, Identity: ownIdentity()}, linux.Places{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(p.Output, make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	drain(t, p) // ends only when the sleep is gone, too
	if e := p.Wait(); e.Signal != 9 {
		t.Fatalf("%+v", e)
	}
}

// boxed is a spec with a root that has a shell and all the namespaces.
func boxed(t testing.TB, script string) (sandbox.Spec, linux.Places) {
	t.Helper()
	shell := static(t)
	root, tmp := t.TempDir(), t.TempDir()
	if err := os.Chmod(tmp, 0o1777); err != nil {
		t.Fatal(err)
	}
	id := ownIdentity()
	id.UID, id.GID = 1000, 100
	id.Change = os.Getuid() == 0
	if id.Change {
		id.OutsideUID, id.OutsideGID = 30999, 30999
	}
	s := sandbox.Spec{Builder: "/bin/sh", Args: []string{"sh", "-c", script}, Dir: "/", Boxed: true, Host: "localhost", Domain: "(none)",
		Env:            []string{"PATH=/bin"},
		Identity:       id,
		Spaces:         sandbox.Namespaces{PID: true, Mount: true, Net: true, IPC: true, UTS: true, User: true},
		FilterSyscalls: true,
		Root: sandbox.Tree{
			Dirs:  []sandbox.Dir{{Path: "/bin", Mode: 0o755}, {Path: "/proc", Mode: 0o555}, {Path: "/tmp", Mode: 0o755}},
			Files: []sandbox.File{{Path: "/bin/sh"}}},
		Mounts: []sandbox.Mount{{Kind: sandbox.Bind, Source: shell, Target: "/bin/sh", ReadOnly: true}, {Kind: sandbox.Proc, Target: "/proc"},
			{Kind: sandbox.Bind, Source: tmp, Target: "/tmp"}},
	}
	for _, tool := range []string{"id", "ls", "cat", "hostname", "mount", "chmod", "touch", "ip", "sleep", "setsid", "echo", "mkdir"} {
		s.Root.Links = append(s.Root.Links, sandbox.Link{Path: "/bin/" + tool, Target: "sh"})
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := linux.MakeTree(root, s.Root, ""); err != nil {
		t.Fatal(err)
	}
	return s, linux.Places{Root: root}
}

func runBoxed(t testing.TB, script string) (string, linux.Exit) {
	t.Helper()
	l := launcher(t)
	spec, places := boxed(t, script)
	p, err := l.Start(spec, places, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := drain(t, p)
	return out, p.Wait()
}

func TestSandbox(t *testing.T) {
	out, e := runBoxed(t, "id -u; id -g; echo $$; hostname; ls / | cat; cat /proc/sys/kernel/domainname; ip -o link | cat; echo >> /bin/sh")
	want := []string{"1000\n100\n1\nlocalhost\nbin\nproc\ntmp\n(none)\n", "LOOPBACK,UP", "can't create /bin/sh"}
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("no %q in:\n%s", w, out)
		}
	}
	if strings.Contains(out, "eth0") {
		t.Errorf("the network is there:\n%s", out)
	}
	if e.Code == 0 {
		t.Error("writing to a read-only mount succeeded")
	}
}

// What the builder leaves behind goes with it.
func TestNothingOutlivesTheSandbox(t *testing.T) {
	out, e := runBoxed(t, "setsid sleep 1000 </proc/version & sleep 1000 </proc/version & echo bye")
	if !strings.Contains(out, "bye\n") || e.Code != 0 {
		t.Fatalf("%q %+v", out, e)
	}
}

func TestSetuidBitsAreRefused(t *testing.T) {
	out, _ := runBoxed(t, "cd /tmp; touch f; chmod 755 f && echo plain; chmod 4755 f || echo refused; chmod 2755 f || echo refused; mkdir -m 6755 d; ls -l /tmp")
	if strings.Count(out, "refused") != 2 || !strings.Contains(out, "plain") || strings.Contains(out, "rws") {
		t.Fatal(out)
	}
}

func TestManyAtOnce(t *testing.T) {
	l := launcher(t)
	errs := make(chan error)
	for range 50 {
		go func() {
			p, err := l.Start(sandbox.Spec{Builder: "/bin/true", Args: []string{"true"}, Dir: "/", Identity: ownIdentity()}, linux.Places{}, nil)
			if err == nil {
				if e := p.Wait(); e.Code != 0 {
					err = errors.New("it failed")
				}
				p.Output.Close()
			}
			errs <- err
		}()
	}
	for range 50 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestKillUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("killing another user's processes needs root")
	}
	l := launcher(t)
	const uid = 30998
	killAtEnd(t, l, uid)
	if err := l.KillUser(uid); err != nil { // of whom there is nothing
		t.Fatal(err)
	}
	p, err := l.Start(sandbox.Spec{Builder: "/bin/sh", Args: []string{"sh", "-c", "setsid sleep 1000 & echo started; sleep 1000"}, Dir: "/", Env: []string{"PATH=/bin:/usr/bin"},
		Identity: sandbox.Identity{UID: uid, GID: uid, OutsideUID: uid, OutsideGID: uid, Change: true}}, linux.Places{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(p.Output, make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	if l.Swept(uid) {
		t.Error("a user whose builder runs is taken to have no processes")
	}
	if err := l.KillUser(uid); err != nil {
		t.Fatal(err)
	}
	if !l.Swept(uid) {
		t.Error("what was killed is forgotten")
	}
	drain(t, p)
	if e := p.Wait(); e.Signal != 9 {
		t.Fatalf("%+v", e)
	}
	for _, own := range []int{0, os.Getuid()} {
		if err := l.KillUser(own); err == nil {
			t.Errorf("user %d was killed", own)
		}
	}
}

func BenchmarkPlain(b *testing.B) {
	l, shell := launcher(b), static(b)
	for b.Loop() {
		p, err := l.Start(sandbox.Spec{Builder: shell, Args: []string{"true"}, Dir: "/", Identity: ownIdentity()}, linux.Places{}, nil)
		if err != nil {
			b.Fatal(err)
		}
		p.Wait()
		p.Output.Close()
	}
}

func BenchmarkSandbox(b *testing.B) {
	for _, inputs := range []int{0, 50, 500} {
		b.Run(fmt.Sprintf("%d-inputs", inputs), func(b *testing.B) {
			l := launcher(b)
			s, places := boxed(b, "exit 0")
			input := openDir(b)
			for i := range inputs {
				dir := fmt.Sprintf("/bin/%d", i)
				if err := os.Mkdir(places.Root+dir, 0o755); err != nil {
					b.Fatal(err)
				}
				s.Mounts = append(s.Mounts, sandbox.Mount{Kind: sandbox.Bind, Source: input, Target: dir, ReadOnly: true})
			}
			for b.Loop() {
				p, err := l.Start(s, places, nil)
				if err != nil {
					b.Fatal(err)
				}
				p.Wait()
				p.Output.Close()
			}
		})
	}
}

// A builder has its three descriptors and no other, whatever we have open.
func TestDescriptorsAreClosed(t *testing.T) {
	leak, err := syscall.Open("/", syscall.O_RDONLY, 0) // without close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leak)
	l := launcher(t)
	p, err := l.Start(sandbox.Spec{Builder: "/bin/sh", Args: []string{"sh", "-c", "for i in 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$i && readlink /proc/$$/fd/$i; done; true"},
		Env: []string{"PATH=/bin:/usr/bin"}, Dir: "/", Identity: ownIdentity()}, linux.Places{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if out := drain(t, p); out != "" {
		t.Fatalf("open in the builder: %q", out)
	}
	p.Wait()
}

// Go raises this process's limit and that of the launcher.
func TestTheLimitOnOpenFilesIsTheServices(t *testing.T) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	low := syscall.Rlimit{Cur: 345, Max: before.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before)
	l := launcher(t)
	p, err := l.Start(plain("ulimit -Sn; ulimit -Hn"), linux.Places{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if out := drain(t, p); out != fmt.Sprintf("345\n%d\n", before.Max) {
		t.Errorf("the builder's limits are %q", out)
	}
	p.Wait()
}
