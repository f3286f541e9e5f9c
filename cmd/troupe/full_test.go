package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFullDisk builds on a disk that fills up at one moment after another, of
// blocks and of inodes, under the whole store, its objects or its state. The
// build fails and says why, nothing valid is lost, and with space it succeeds.
func TestFullDisk(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	for _, c := range []struct {
		name, dir    string
		bytes, files []uint64 // that are free
	}{
		{"everything", "", []uint64{0, 64 << 10, 1 << 20, 5 << 20, 31 << 20, 33 << 20, 38 << 20}, upTo(60, 5)},
		{"objects", "/nix/store", []uint64{0, 16 << 10, 100 << 10, 1 << 20, 4 << 20}, upTo(24, 3)},
		{"state", "/nix/var", []uint64{0, 1 << 20, 33 << 20}, upTo(36, 6)},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFiller(t, c.dir)
			for _, n := range c.bytes {
				f.try(fmt.Sprint("b", n), n, plenty)
			}
			for _, n := range c.files {
				f.try(fmt.Sprint("f", n), plenty, n)
			}
			f.lookForValid()
			f.want(0, "verify", "--contents")
			if f.failed < 5 {
				t.Errorf("only %d builds failed", f.failed)
			}
		})
	}
}

func upTo(end, step uint64) (all []uint64) {
	for n := uint64(0); n < end; n += step {
		all = append(all, n)
	}
	return all
}

// plenty is as many bytes or files as nobody needs here.
const plenty = 1 << 28

// inOwnMounts runs the calling test again where its mounts are nobody else's
// and go when it ends. It says true inside.
func inOwnMounts(t *testing.T) bool {
	t.Helper()
	needBuilds(t)
	const inside = "TROUPE_TEST_INSIDE"
	if os.Getenv(inside) != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("a disk of a chosen size needs root")
	}
	c := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), inside+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("inside: %v\n%s", err, out)
	}
	return false
}

// filler is a store with a disk that it fills.
type filler struct {
	*testStore
	work, disk string
	valid      []string // that were acknowledged
	failed     int
}

func newFiller(t *testing.T, below string) *filler {
	t.Helper()
	work := tempDir(t)
	f := &filler{testStore: newTestStore(t, work, work+"/root"), work: work, disk: work + "/root" + below}
	if err := os.MkdirAll(f.disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", f.disk, "tmpfs", 0, fmt.Sprintf("mode=755,size=%d,nr_inodes=%d", plenty, plenty)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(f.disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	f.addBusybox(work)
	return f
}

// leave makes the disk so large that a number of bytes and files are free.
func (f *filler) leave(bytes, files uint64) {
	f.t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(f.disk, &st); err != nil {
		f.t.Fatal(err)
	}
	size, inodes := (st.Blocks-st.Bfree)*uint64(st.Bsize)+bytes, st.Files-st.Ffree+files
	if err := unix.Mount("none", f.disk, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d,nr_inodes=%d", max(size, 4096), inodes)); err != nil {
		f.t.Fatal(err)
	}
}

// bigScript fills some megabytes of the store and of the build directory, and
// makes some files.
const bigScript = `set -e
busybox dd if=/dev/zero of=scratch bs=1k count=6000 2>&1
mkdir $out
for i in 1 2 3 4 5 6 7 8 9; do echo $i > $out/$i; done
busybox dd if=/dev/zero of=$out/large bs=1k count=6000 2>&1
`

// try builds with that much space and then with more.
func (f *filler) try(salt string, bytes, files uint64) {
	f.t.Helper()
	input := f.write(f.work, &recipe{name: "input-" + salt, script: goodScript})
	big := f.write(f.work, &recipe{name: "big-" + salt, script: bigScript, inputs: []*recipe{input}})
	args := []string{"build", "-j2", "--keep-going", input.file, big.file}
	f.leave(bytes, files)
	o := f.run(args...)
	if o.code != 0 {
		f.failed++
	}
	if text := strings.ToLower(o.stderr); o.code != 0 && !strings.Contains(text, "no space left on device") && !strings.Contains(text, "disk is full") || strings.Contains(text, "goroutine ") {
		f.t.Errorf("%s: the reason is not told: code %d\n%s", salt, o.code, o.stderr)
	}
	f.valid = append(f.valid, strings.Fields(o.stdout)...)

	f.leave(plenty, plenty)
	f.lookForValid()
	if o = f.run(args...); o.code != 0 {
		f.t.Errorf("%s: with space the exit code is %d\n%s", salt, o.code, o.stderr)
	}
	f.valid = append(f.valid, strings.Fields(o.stdout)...)
	l := f.layout()
	for _, dir := range []string{l.SandboxesDir(), l.BuildsDir(), filepath.Join(l.StateDir, "temproots"), filepath.Join(f.work, "tmp")} {
		if left := namesIn(dir); len(left) > 0 {
			f.t.Errorf("%s: %s has %q", salt, dir, left)
		}
	}
}

// lookForValid looks that all that was acknowledged is valid.
func (f *filler) lookForValid() {
	f.t.Helper()
	f.want(0, append([]string{"path-info", storeDir.Join(f.busybox)}, f.valid...)...)
}

// The same process goes on: what fits is built when space is made.
func TestFullDiskIsEmptied(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	f := newFiller(t, "/nix/store")
	big := f.write(f.work, &recipe{name: "big", script: bigScript})
	patient := f.write(f.work, &recipe{name: "patient", script: `until busybox dd if=/dev/zero of=$out bs=1k count=7000; do sleep 0.1; done`})
	f.leave(8<<20, plenty)
	said, err := os.Create(f.work + "/stderr")
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd := f.command("build", "-j2", "--keep-going", big.file, patient.file)
	cmd.Stderr = said
	failed := make(chan struct{})
	go func() {
		defer close(failed)
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(20 * time.Millisecond) {
			if text, err := os.ReadFile(said.Name()); err != nil || strings.Contains(string(text), big.drv.Name()) {
				return
			}
		}
	}()
	go func() {
		<-failed
		f.leave(plenty, plenty)
	}()
	out, _ := cmd.Output()
	text, err := os.ReadFile(said.Name())
	if err != nil || cmd.ProcessState.ExitCode() != 100 || !strings.Contains(string(out), storeDir.Join(patient.paths["out"])) ||
		!strings.Contains(string(text), "No space left on device") {
		t.Errorf("exit code %d, %v: %s\n%s", cmd.ProcessState.ExitCode(), err, out, text)
	}
	f.want(0, "build", big.file)
	f.want(0, "verify", "--contents")
}
