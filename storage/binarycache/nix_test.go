package binarycache

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"troupe/storage/nar"
	"troupe/storage/narinfo"
	"troupe/storage/storepath"
)

// missing skips a test, where nobody has promised that it can run.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("missing: ", what)
	}
	t.Skip("missing: ", what)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// nix is a store of a real Nix, with a path "top" that refers to itself and to "dep".
type nix struct {
	t        *testing.T
	dir      string
	top, dep storepath.Path
}

const graph = `
let dep = derivation { name = "dep"; system = builtins.currentSystem; builder = "/bin/sh"; args = ["-c" ''
  PATH=/bin:/usr/bin
  mkdir -p $out/lib/debug/.build-id/ab $out/bin $out/none
  echo x > $out/lib/debug/.build-id/ab/12345678901234567890123456789012345678.debug
  echo hi > $out/bin/x; chmod 755 $out/bin/x; ln -s x "$out/bin/<y>"; : > $out/empty
  i=0; while [ $i -lt 4000 ]; do echo "line $i"; i=$((i+1)); done > $out/long
'']; };
in derivation { name = "top"; system = builtins.currentSystem; builder = "/bin/sh"; args = ["-c" "echo ${dep} $out > $out"]; }`

func newNix(t *testing.T) *nix {
	t.Helper()
	if _, err := exec.LookPath("nix"); err != nil {
		missing(t, "nix")
	}
	n := &nix{t: t, dir: t.TempDir()}
	n.top = n.parse(n.run("a", "nix-build", "--no-out-link", "-E", graph))
	for base := range strings.FieldsSeq(n.run("a", "nix-store", "-q", "--references", n.path(n.top))) {
		if p := n.parse(base); p != n.top {
			n.dep = p
		}
	}
	t.Cleanup(func() { // store paths are read-only
		filepath.WalkDir(n.dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				os.Chmod(path, 0o755)
			}
			return nil
		})
	})
	return n
}

// in is the same store for a subtest.
func (n *nix) in(t *testing.T) *nix {
	inner := *n
	inner.t = t
	return &inner
}

func (n *nix) store() storepath.Dir         { return storepath.Dir(n.dir + "/a/store") }
func (n *nix) path(p storepath.Path) string { return n.store().Join(p) }

func (n *nix) parse(s string) storepath.Path {
	n.t.Helper()
	p, err := n.store().Parse(strings.TrimSpace(s))
	must(n.t, err)
	return p
}

// command is a program on a store in the directory state. All have the same store directory: the files of "b" are in
// another place.
func (n *nix) command(state, name string, args ...string) *exec.Cmd {
	at := n.dir + "/" + state
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "NIX_REMOTE=", "NIX_STORE_DIR="+string(n.store()), "NIX_STATE_DIR="+at+"/state", "NIX_LOG_DIR="+at+"/log",
		"NIX_CONF_DIR="+at+"/etc", "NIX_LOCALSTATE_DIR="+at+"/state", "NIX_USER_CONF_FILES=", "HOME="+at,
		"NIX_CONFIG=experimental-features = nix-command\nsandbox = false\nbuild-users-group =\nsubstitute = false\n")
	return c
}

func (n *nix) run(state, name string, args ...string) string {
	n.t.Helper()
	c := n.command(state, name, args...)
	var says strings.Builder
	c.Stderr = &says
	out, err := c.Output()
	if err != nil {
		n.t.Fatalf("%s %v: %v\n%s", name, args, err, &says)
	}
	return string(out)
}

// archive is the NAR of a path in the store.
func (n *nix) archive(p storepath.Path) io.Reader {
	r, w := io.Pipe()
	go func() { w.CloseWithError(nar.Dump(w, n.path(p))) }()
	return r
}

func (n *nix) pool(change ...func(*Settings)) *Pool {
	s := Settings{StoreDir: n.store(), Attempts: 1}
	for _, c := range change {
		c(&s)
	}
	p := NewPool(s)
	n.t.Cleanup(p.Close)
	return p
}

func (n *nix) open(pool *Pool, url string) *Cache {
	n.t.Helper()
	c, err := pool.Open(url)
	must(n.t, err)
	return c
}

// info is what a cache says of a path that it must have.
func (n *nix) info(c *Cache, p storepath.Path) narinfo.Info {
	n.t.Helper()
	i, found, err := c.Info(context.Background(), p)
	if err != nil || !found {
		n.t.Fatalf("%v of %v: %v, %v", p, c, found, err)
	}
	return i
}

// same compares what was unpacked with the path in the store.
func (n *nix) same(p storepath.Path, place string) {
	n.t.Helper()
	got, want := new(strings.Builder), new(strings.Builder)
	must(n.t, nar.Dump(got, place))
	must(n.t, nar.Dump(want, n.path(p)))
	if got.String() != want.String() {
		n.t.Errorf("%v is not what is in the store", p)
	}
}

// What nix copy wrote is read, from the directory and from a server.
func TestReadWhatNixWrote(t *testing.T) {
	n := newNix(t)
	for _, method := range []string{"none", "xz", "zstd", "bzip2", "gzip", "br", "lz4", "lzip"} {
		t.Run(method, func(t *testing.T) {
			n := n.in(t)
			if argv, ok := programs[method]; ok {
				if _, err := exec.LookPath(argv[0]); err != nil {
					missing(t, argv[0])
				}
			}
			cache := n.dir + "/from-nix-" + method
			n.run("a", "nix", "copy", "--to", "file://"+cache+"?compression="+method, n.path(n.top))
			server := httptest.NewServer(http.FileServer(http.Dir(cache)))
			defer server.Close()
			for _, url := range []string{"file://" + cache, server.URL} {
				c := n.open(n.pool(), url)
				for _, p := range []storepath.Path{n.top, n.dep} {
					info := n.info(c, p)
					if info.Compression != method {
						t.Errorf("%v is packed with %s", p, info.Compression)
					}
					r, err := c.Fetch(context.Background(), info)
					must(t, err)
					place := t.TempDir() + "/x"
					must(t, r.Unpack(place))
					must(t, r.Close())
					n.same(p, place)
					if got := r.Received(); got != int64(info.FileSize) {
						t.Errorf("%d bytes were received, not %d", got, info.FileSize)
					}
				}
			}
		})
	}
}

// key signs as Nix does, with a key file that Nix made.
type key struct {
	name string
	key  ed25519.PrivateKey
}

func (k key) Sign(fingerprint string) string {
	return k.name + ":" + base64.StdEncoding.EncodeToString(ed25519.Sign(k.key, []byte(fingerprint)))
}

func readKey(file string) (Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	name, digits, ok := strings.Cut(strings.TrimSpace(string(text)), ":")
	secret, err := base64.StdEncoding.DecodeString(digits)
	if !ok || err != nil || len(secret) != ed25519.PrivateKeySize {
		return nil, errors.New("not a key")
	}
	return key{name, secret}, nil
}

// makeKey returns the file of a secret key and the public key.
func (n *nix) makeKey() (file, public string) {
	n.t.Helper()
	file = n.dir + "/key"
	must(n.t, os.WriteFile(file, []byte(n.run("a", "nix", "key", "generate-secret", "--key-name", "k1")), 0o600))
	c := n.command("a", "nix", "key", "convert-secret-to-public")
	c.Stdin = strings.NewReader(n.run("a", "cat", file))
	out, err := c.Output()
	must(n.t, err)
	return file, strings.TrimSpace(string(out))
}

// upload puts both paths of the store into a cache.
func (n *nix) upload(c, from *Cache) {
	n.t.Helper()
	for _, p := range []storepath.Path{n.dep, n.top} {
		known := n.info(from, p)
		info := narinfo.Info{Path: p, NarHash: known.NarHash, NarSize: known.NarSize, References: known.References, Deriver: known.Deriver}
		if _, err := c.Upload(context.Background(), info, n.archive(p)); err != nil {
			n.t.Fatal(err)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	return string(text)
}

// What we write is what nix copy writes, but for the bytes of packed NARs, and Nix takes it: with its signatures, from a
// directory and through a server.
func TestNixReadsWhatWeWrote(t *testing.T) {
	n := newNix(t)
	file, public := n.makeKey()
	settings := "&write-nar-listing=true&index-debug-info=true&secret-key=" + file
	theirs := n.dir + "/theirs"
	n.run("a", "nix", "copy", "--to", "file://"+theirs+"?compression=none"+settings, n.path(n.top))
	pool := n.pool(func(s *Settings) { s.ReadKey = readKey })
	from := n.open(pool, "file://"+theirs)
	for method := range suffixes {
		t.Run(method, func(t *testing.T) {
			n := n.in(t)
			ours := n.dir + "/ours-" + method
			must(t, os.MkdirAll(ours, 0o755))
			store := &putServer{dir: ours}
			server := httptest.NewServer(store)
			defer server.Close()
			to := map[bool]string{true: "file://" + ours, false: server.URL}[method != "zstd"]
			n.upload(n.open(pool, to+"?compression="+method+settings), from)
			if method == "none" {
				if diff, err := exec.Command("diff", "-r", "-x", "log", "-x", "realisations", theirs, ours).CombinedOutput(); err != nil {
					t.Errorf("it differs from what nix wrote: %v\n%s", err, diff)
				}
			}
			for _, p := range []storepath.Path{n.top, n.dep} {
				if got, want := read(t, ours+"/"+p.HashPart()+".ls"), read(t, theirs+"/"+p.HashPart()+".ls"); got != want {
					t.Errorf("listing of %v:\n%s\nwant\n%s", p, got, want)
				}
			}
			if left, _ := filepath.Glob(ours + "/nar/.*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			for _, url := range []string{"file://" + ours, server.URL} {
				to := n.dir + "/to"
				n.run("a", "nix", "copy", "--from", url, "--to", to, "--option", "trusted-public-keys", public, n.path(n.top))
				for _, p := range []storepath.Path{n.top, n.dep} { // a store elsewhere has its files there
					n.same(p, to+"/nix/store/"+p.Base())
				}
				n.run("a", "chmod", "-R", "u+w", to)
				must(t, os.RemoveAll(to))
			}
		})
	}
}

// putServer is a server that takes files, into a directory.
type putServer struct {
	dir   string
	fails func(r *http.Request) bool
}

func (s *putServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.fails != nil && s.fails(r) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if r.Method != http.MethodPut {
		http.FileServer(http.Dir(s.dir)).ServeHTTP(w, r)
		return
	}
	name := filepath.Join(s.dir, filepath.Clean(r.URL.Path))
	text, err := io.ReadAll(r.Body)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(name), 0o755)
	}
	if err == nil {
		err = os.WriteFile(name, text, 0o644)
	}
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

// What is packed in parallel is read by Nix as one stream.
func TestNixReadsParallel(t *testing.T) {
	n := newNix(t)
	file := n.dir + "/numbers"
	must(t, os.WriteFile(file, []byte(strings.Repeat("0123456789abcdef\n", chunkSize/4)), 0o644))
	p := n.parse(n.run("a", "nix-store", "--add", file))
	n.run("a", "nix", "copy", "--to", "file://"+n.dir+"/theirs?compression=none", n.path(p))
	known := n.info(n.open(n.pool(), "file://"+n.dir+"/theirs"), p)
	methods := []string{"zstd", "xz", "bzip2", "gzip"}
	if raced {
		methods = methods[:1]
	}
	for _, method := range methods {
		t.Run(method, func(t *testing.T) {
			n := n.in(t)
			url, to := "file://"+n.dir+"/ours-"+method, n.dir+"/to-"+method
			c := n.open(n.pool(), url+"?parallel-compression=true&compression="+method)
			info, err := c.Upload(context.Background(), narinfo.Info{Path: p, NarHash: known.NarHash, NarSize: known.NarSize}, n.archive(p))
			must(t, err)
			if info.FileSize > info.NarSize/50 {
				t.Errorf("%d bytes were packed into %d", info.NarSize, info.FileSize)
			}
			n.run("a", "nix", "copy", "--no-check-sigs", "--from", url, "--to", to, n.path(p))
			n.same(p, to+"/nix/store/"+p.Base())
		})
	}
}
