package remotestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"troupe/actors/ports/remotestore/sshdtest"
	"troupe/messages/workerproto"
	"troupe/storage/derivation"
	"troupe/storage/nar"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// nixMachine is a machine with a store of the real Nix, as its environment.
func nixMachine(t *testing.T) (dir storepath.Dir, env []string) {
	t.Helper()
	if _, err := exec.LookPath("nix-daemon"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("nix-daemon is missing")
	}
	at := t.TempDir()
	conf := "build-users-group =\nsandbox = false\nsubstituters =\nexperimental-features = nix-command ca-derivations\n"
	if err := os.WriteFile(filepath.Join(at, "nix.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		filepath.WalkDir(at, func(path string, e os.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				return os.Chmod(path, 0o700)
			}
			return err
		})
	})
	return storepath.Dir(at + "/store"), []string{"HOME=" + at, "NIX_STORE_DIR=" + at + "/store", "NIX_STATE_DIR=" + at + "/var",
		"NIX_LOG_DIR=" + at + "/log", "NIX_CONF_DIR=" + at, "TMPDIR=" + at, "PATH=" + os.Getenv("PATH")}
}

func opened(t *testing.T, url string, s Settings) *Store {
	t.Helper()
	store, err := Open(url, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// TestOverSSH asks the real daemon all there is to ask, over a real sshd.
func TestOverSSH(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	dir, env := nixMachine(t)
	machine := sshdtest.Start(t, env...)
	store := opened(t, machine.URL("ssh-ng", "max-connections=2&compress=true"), Settings{Dir: dir})
	if want := fmt.Sprintf("ssh-ng://root@127.0.0.1:%d", machine.Port); store.String() != want {
		t.Errorf("it is called %s, want %s", store, want)
	}
	c := &conversation{t: t, dir: dir}
	for range 2 { // on a new connection, and on the same one
		if err := store.Do(t.Context(), c.all); err != nil {
			t.Fatal(err)
		}
	}
	c.parallel(store)
	machine.Cut()
	if err := store.Do(t.Context(), c.all); err != nil {
		t.Errorf("after all connections were cut: %v", err)
	}
	err := store.Do(t.Context(), func(conn *Conn) error {
		machine.Cut()
		return conn.Ensure(t.Context(), c.one.Info.Path)
	})
	if !IsLost(err) {
		t.Errorf("a connection that is cut: %v", err)
	}
}

// TestVersions: the real daemon understands us in versions that have archives as
// they are, by pieces and in frames, and realisations as paths and as JSON.
func TestVersions(t *testing.T) {
	for _, minor := range []uint8{19, 21, 23, 27, 38} {
		t.Run(fmt.Sprint(minor), func(t *testing.T) {
			dir, env := nixMachine(t)
			for _, v := range env {
				name, value, _ := strings.Cut(v, "=")
				t.Setenv(name, value)
			}
			var said []string
			store := opened(t, "ssh-ng://localhost", Settings{Dir: dir, newest: workerproto.MakeVersion(1, minor),
				Options: &workerproto.SetOptions{BuildCores: 1, MaxBuildJobs: 1}, Say: func(line string) { said = append(said, line) }})
			if err := store.Do(t.Context(), (&conversation{t: t, dir: dir}).all); err != nil {
				t.Fatalf("%v; said %q", err, said)
			}
		})
	}
}

// conversation is what every store must do with what it is sent.
type conversation struct {
	t        *testing.T
	dir      storepath.Dir
	one, two Object
}

func (c *conversation) object(base, contents string, refs ...storepath.Path) Object {
	p, err := storepath.ParseBase(base)
	if err != nil {
		c.t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := nar.DumpFile(&archive, []byte(contents)); err != nil {
		c.t.Fatal(err)
	}
	return Object{Archive: func(w io.Writer) error { return nar.DumpFile(w, []byte(contents)) },
		Info: validity.Info{Path: p, NarHash: nixhash.Sum(nixhash.SHA256, archive.Bytes()), NarSize: uint64(archive.Len()), References: refs,
			Signatures: []string{"key:c2ln"}, RegistrationTime: 7}}
}

func (c *conversation) all(conn *Conn) error {
	ctx := c.t.Context()
	c.one = c.object("1r2c1hkiirq3npgvlgqmqckfkdj3gm1k-one", strings.Repeat("one", 100_000))
	c.two = c.object("2r2c1hkiirq3npgvlgqmqckfkdj3gm1k-two", "two", c.one.Info.Path)
	three := c.object("3r2c1hkiirq3npgvlgqmqckfkdj3gm1k-three", "three", c.one.Info.Path)
	terms := Terms{DontCheckSigs: true}
	if err := errors.Join(conn.Keep(ctx, three.Info.Path), conn.Add(ctx, terms, c.one, c.two), conn.Add(ctx, terms, three)); err != nil {
		return err
	}
	absent := c.object("4r2c1hkiirq3npgvlgqmqckfkdj3gm1k-absent", "")
	all := []storepath.Path{c.one.Info.Path, c.two.Info.Path, three.Info.Path}
	if valid, err := conn.Valid(ctx, append(all, absent.Info.Path), false); err != nil || !slices.Equal(valid, all) {
		c.t.Errorf("valid: %v, %v", valid, err)
	}
	info, found, err := conn.Info(ctx, c.two.Info.Path)
	if err != nil || !found || !slices.Equal(info.References, all[:1]) || info.NarHash != c.two.Info.NarHash || !slices.Equal(info.Signatures, []string{"key:c2ln"}) {
		c.t.Errorf("recorded is %+v, %v, %v", info, found, err)
	}
	if _, found, err := conn.Info(ctx, absent.Info.Path); found || err != nil {
		c.t.Errorf("what is absent is recorded: %v, %v", found, err)
	}
	c.archive(conn, c.one)
	var refused *workerproto.Error
	if err := conn.Ensure(ctx, absent.Info.Path); !errors.As(err, &refused) || !strings.Contains(refused.Message, "absent") {
		c.t.Errorf("to ensure what is nowhere: %v", err)
	}
	if err := conn.Ensure(ctx, c.one.Info.Path); err != nil {
		c.t.Error(err)
	}
	return c.builds(conn)
}

func (c *conversation) archive(conn *Conn, o Object) {
	var got, want bytes.Buffer
	if err := errors.Join(conn.NAR(c.t.Context(), o.Info.Path, &got), o.Archive(&want)); err != nil {
		c.t.Error(err)
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		c.t.Errorf("an archive of %d bytes differs from that of %d", got.Len(), want.Len())
	}
}

// platforms are Nix's names of what this may run on.
var platforms = map[string]string{"amd64": "x86_64-linux", "arm64": "aarch64-linux"}

func (c *conversation) builds(conn *Conn) error {
	ctx := c.t.Context()
	sum := nixhash.Sum(nixhash.SHA256, []byte("one\n"))
	out, err := c.dir.MakeFixed("built", storepath.Flat, sum, nil, false)
	if err != nil {
		return err
	}
	drv := derivation.Derivation{Name: "built", Platform: platforms[runtime.GOARCH], Builder: "/bin/sh", Sources: []storepath.Path{c.one.Info.Path},
		Args:    []string{"-c", "echo a line; IFS= read -r x < " + c.dir.Join(c.one.Info.Path) + "; [ ${#x} = 300000 ] && echo one > $out"},
		Outputs: []derivation.Output{{Name: "out", Kind: derivation.Fixed, Path: out, Algorithm: nixhash.SHA256, Hash: sum}},
		Env:     map[string]string{"out": c.dir.Join(out)}}
	file, err := drv.Path(c.dir)
	if err != nil {
		return err
	}
	heard := ""
	conn.Hear = func(m workerproto.Frame) { heard += fmt.Sprintf("%+v\n", m) }
	missing, err := conn.Missing(ctx, []workerproto.DerivedPath{{Path: c.one.Info.Path}})
	if err != nil || len(missing.WillBuild)+len(missing.WillSubstitute)+len(missing.Unknown) > 0 {
		c.t.Errorf("to make valid what is valid takes %+v, %v", missing, err)
	}
	_, there, err := conn.Info(ctx, out)
	if err != nil {
		return err
	}
	result, err := conn.BuildDerivation(ctx, file, drv, workerproto.BuildNormal)
	if err != nil || result.Status > 2 || !there && conn.Version.AtLeast(20) && !strings.Contains(heard, "a line") {
		return fmt.Errorf("built: %+v, %w; heard %s", result, err, heard)
	}
	return c.realisations(conn, out)
}

func (c *conversation) realisations(conn *Conn, out storepath.Path) error {
	if !conn.Version.AtLeast(27) {
		return nil
	}
	ctx, id := c.t.Context(), workerproto.DrvOutput{Hash: nixhash.Sum(nixhash.SHA256, []byte("some")), Output: "out"}
	r, err := conn.Realisation(ctx, id)
	if err != nil {
		return err
	}
	if r == nil {
		if err := conn.Realise(ctx, workerproto.Realisation{ID: id, OutPath: out}); err != nil {
			return err
		}
		r, err = conn.Realisation(ctx, id)
	}
	if err != nil || r == nil || r.OutPath != out || r.ID.String() != id.String() {
		return fmt.Errorf("realisation %+v, %w", r, err)
	}
	return nil
}

// parallel uses more connections than there may be, and gives one up.
func (c *conversation) parallel(s *Store) {
	failed := make(chan error)
	for range 5 {
		go func() {
			failed <- s.Do(context.Background(), func(conn *Conn) error { c.archive(conn, c.one); return nil })
		}()
	}
	for range 5 {
		if err := <-failed; err != nil {
			c.t.Error(err)
		}
	}
	if n := len(s.free); n != 2 {
		c.t.Errorf("there are %d connections", n)
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	r, w := io.Pipe()
	go func() {
		r.Read(make([]byte, 1))
		cancel()
		r.Close()
	}()
	err := s.Do(ctx, func(conn *Conn) error { return conn.NAR(ctx, c.one.Info.Path, w) })
	if !errors.Is(err, context.Canceled) {
		c.t.Errorf("given up: %v", err)
	}
}

// TestUnreachable: who cannot be reached says why.
func TestUnreachable(t *testing.T) {
	machine := sshdtest.Start(t)
	for url, want := range map[string]string{
		"ssh-ng://127.0.0.1:1":                           "connect to 'ssh-ng://127.0.0.1:1': ssh: connect to host 127.0.0.1 port 1: Connection refused",
		machine.URL("ssh-ng", "remote-program=/nothing"): "/nothing: No such file or directory",
		fmt.Sprintf("ssh-ng://root@127.0.0.1:%d?base64-ssh-public-host-key=%s", machine.Port, hostKey):                                "Host key verification failed",
		fmt.Sprintf("ssh-ng://root@127.0.0.1:%d?ssh-key=%s&base64-ssh-public-host-key=%s", machine.Port, "/nothing", machine.HostKey): "Permission denied",
		"unix:///nothing/socket": "connect to the daemon at '/nothing/socket': nobody listens there",
	} {
		store := opened(t, url, Settings{Dir: "/nix/store"})
		_, err := store.Acquire(t.Context())
		if err == nil || !IsLost(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
		if n := len(store.slots); n != 0 {
			t.Errorf("%s: %d connections are in use", url, n)
		}
	}
}
