package buildlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"troupe/storage/storepath"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func drv(t testing.TB) storepath.Path {
	p, err := storepath.ParseBase(strings.Repeat("0a", 16) + "-hello-1.0.drv")
	must(t, err)
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, dir string) *Log {
	l, err := Create(dir, drv(t))
	must(t, err)
	return l
}

// text is a log of the size, of lines, the same for a seed.
func text(size int) []byte {
	rng := rand.New(rand.NewPCG(1, uint64(size)))
	var b bytes.Buffer
	for b.Len() < size {
		fmt.Fprintf(&b, "[%d/%d] cc -c file%d.c\n", rng.IntN(1000), size, rng.IntN(100))
	}
	return b.Bytes()[:size]
}

func wantRead(t *testing.T, dir string, want []byte) {
	t.Helper()
	r, err := Read(dir, drv(t))
	must(t, err)
	got, err := io.ReadAll(r)
	must(t, err)
	must(t, r.Close())
	if !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, want %d", len(got), len(want))
	}
}

func files(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, strings.TrimPrefix(p, dir))
		}
		return err
	}))
	return strings.Join(out, " ")
}

func TestALogIsPlainAndThenCompressed(t *testing.T) {
	plain := "/drvs/0a/" + strings.Repeat("0a", 15) + "-hello-1.0.drv"
	for _, size := range []int{0, 1, 99_999, 100_000, 1_000_003} {
		dir, want := t.TempDir(), text(size)
		if _, err := Read(dir, drv(t)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without a log the error is %v", err)
		}
		l := create(t, dir)
		_, err := l.Write(want)
		must(t, err)
		wantRead(t, dir, want)
		if got := files(t, dir); got != plain {
			t.Errorf("while it runs the files are %q", got)
		}
		if l.Size() != int64(size) {
			t.Errorf("size is %d, want %d", l.Size(), size)
		}
		must(t, l.Close())
		wantRead(t, dir, want)
		if got := files(t, dir); got != plain+".bz2" {
			t.Errorf("afterwards the files are %q", got)
		}
	}
}

func TestALaterBuildTakesThePlace(t *testing.T) {
	dir := t.TempDir()
	l := create(t, dir)
	_, err := l.Write([]byte("one"))
	must(t, err)
	early, err := l.Follow(context.Background())
	must(t, err)
	l.End() // as after a crash: the plain log stays
	again := create(t, dir)
	_, err = again.Write([]byte("two"))
	must(t, err)
	wantRead(t, dir, []byte("two"))
	must(t, again.Close())
	wantRead(t, dir, []byte("two"))
	if got, err := io.ReadAll(early); err != nil || string(got) != "one" {
		t.Errorf("the reader of the earlier log has %q, %v", got, err)
	}
	must(t, early.Close())
	must(t, l.file.Close())
}

func TestFollowersSeeAll(t *testing.T) {
	dir, want := t.TempDir(), text(300_000)
	l := create(t, dir)
	var followers sync.WaitGroup
	follow := func() {
		r, err := l.Follow(context.Background())
		must(t, err)
		followers.Go(func() {
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
				t.Errorf("followed %d bytes, want %d: %v", len(got), len(want), err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	rng := rand.New(rand.NewPCG(2, 2))
	for rest := want; len(rest) > 0; {
		follow()
		n := min(len(rest), 1+rng.IntN(20_000))
		_, err := l.Write(rest[:n])
		must(t, err)
		rest = rest[n:]
	}
	follow()
	must(t, l.Close())
	follow() // reads the compressed one
	followers.Wait()
}

func TestAFollowerSeesWhatCameBeforeTheEnd(t *testing.T) {
	l := create(t, t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	r, err := l.Follow(ctx)
	must(t, err)
	for _, line := range []string{"one\n", "two\n"} {
		_, err := l.Write([]byte(line))
		must(t, err)
		b := make([]byte, 10)
		if n, err := r.Read(b); err != nil || string(b[:n]) != line {
			t.Errorf("read %q, %v", b[:n], err)
		}
	}
	cancel()
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("after its context a follower reads %d bytes, %v", n, err)
	}
	must(t, r.Close())
	must(t, l.Close())
}

func TestAnEmptyLogEnds(t *testing.T) {
	l := create(t, t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	r, err := l.Follow(ctx)
	must(t, err)
	l.End()
	time.AfterFunc(10*time.Second, cancel) // instead of a hang
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read %d bytes, %v", n, err)
	}
	must(t, r.Close())
	must(t, l.Close())
	cancel()
}

// The real Nix finds and reads our log, of a running build and of one that is
// over.
func TestNixReadsTheLog(t *testing.T) {
	nix, err := exec.LookPath("nix-store")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("nix-store is missing")
		}
		t.Skip("nix-store is missing")
	}
	dir := t.TempDir()
	t.Setenv("NIX_STORE_DIR", dir+"/store")
	t.Setenv("NIX_STATE_DIR", dir+"/var")
	t.Setenv("NIX_LOG_DIR", dir+"/log")
	t.Setenv("NIX_CONF_DIR", dir+"/etc")
	t.Setenv("NIX_REMOTE", "")
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return string(out)
	}
	instantiate := filepath.Join(filepath.Dir(nix), "nix-instantiate")
	path := strings.TrimSpace(run(instantiate, "-E", `derivation { name = "hello-1.0"; system = "x"; builder = "y"; }`))
	p, err := storepath.Dir(dir + "/store").Parse(path)
	must(t, err)
	for _, size := range []int{0, 10, 250_000} {
		l, err := Create(dir+"/log", p)
		must(t, err)
		want := text(size)
		_, err = l.Write(want)
		must(t, err)
		if got := run(nix, "--read-log", path); got != string(want) {
			t.Errorf("nix reads %d bytes of a running build, want %d", len(got), size)
		}
		must(t, l.Close())
		if got := run(nix, "--read-log", path); got != string(want) {
			t.Errorf("nix reads %d bytes of a compressed log, want %d", len(got), size)
		}
	}
}

func BenchmarkSmallLog(b *testing.B) {
	dir, line := b.TempDir(), text(200)
	for b.Loop() {
		l := create(b, dir)
		if _, err := l.Write(line); err != nil {
			b.Fatal(err)
		}
		must(b, l.Close())
	}
}

func BenchmarkCompress(b *testing.B) {
	dir, want := b.TempDir(), text(4<<20)
	b.SetBytes(int64(len(want)))
	for b.Loop() {
		l := create(b, dir)
		if _, err := l.Write(want); err != nil {
			b.Fatal(err)
		}
		must(b, l.Close())
	}
}

// Logs of nothing are one file with many names, and what becomes of one of these is
// nothing to the others.
func TestEmptyLogs(t *testing.T) {
	dir := t.TempDir()
	paths := make([]storepath.Path, 3)
	for i := range paths {
		var err error
		paths[i], err = storepath.ParseBase(strings.Repeat(fmt.Sprint(i), 32) + "-quiet.drv")
		must(t, err)
	}
	for i, p := range paths {
		l, err := Create(dir, p)
		must(t, err)
		must(t, l.Close())
		if i == 1 { // what had the name before is replaced
			must(t, os.Remove(Path(dir, paths[0])+".bz2"))
			again, err := Create(dir, paths[0])
			must(t, err)
			if _, err := again.Write([]byte("text")); err != nil {
				t.Fatal(err)
			}
			must(t, again.Close())
		}
	}
	var b, c unix.Stat_t
	must(t, unix.Stat(Path(dir, paths[1])+".bz2", &b))
	must(t, unix.Stat(Path(dir, paths[2])+".bz2", &c))
	if b.Ino != c.Ino {
		t.Error("two logs of nothing are two files")
	}
	for i, want := range []string{"text", "", ""} {
		r, err := Read(dir, paths[i])
		must(t, err)
		if got, err := io.ReadAll(r); err != nil || string(got) != want {
			t.Errorf("log %d is %q, %v", i, got, err)
		}
		must(t, r.Close())
	}
	for _, p := range paths { // all names are gone
		must(t, os.Remove(Path(dir, p)+".bz2"))
	}
	l, err := Create(dir, paths[0])
	must(t, err)
	must(t, l.Close())
	r, err := Read(dir, paths[0])
	must(t, err)
	must(t, r.Close())
}
