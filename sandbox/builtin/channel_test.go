package builtin

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	dsbzip2 "github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ulxz "github.com/ulikunitz/xz"
)

// entry is one entry of a test's archive; the zero type is a file.
type entry struct {
	name, link, text string
	kind             byte
	mode             int64
}

func archive(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Linkname: e.link, Typeflag: e.kind, Mode: e.mode, Size: int64(len(e.text))}
		if e.kind == 0 {
			header.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpack runs the builder on an archive; the output is dir/out.
func unpack(t *testing.T, dir string, data []byte, channelName string) error {
	t.Helper()
	src := filepath.Join(dir, "src")
	if err := os.WriteFile(src, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return Run("builtin:unpack-channel", Input{
		Env:     map[string]string{"src": src, "channelName": channelName},
		Outputs: map[string]string{"out": filepath.Join(dir, "out")}, Log: io.Discard,
	})
}

func TestUnpackCompressed(t *testing.T) {
	data := archive(t, entry{name: "c-1.2/default.nix", text: strings.Repeat("1", 100000)}, entry{name: "c-1.2/run", mode: 0o755})
	compressors := map[string]func(io.Writer) (io.WriteCloser, error){
		"gzip":  func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		"xz":    func(w io.Writer) (io.WriteCloser, error) { return ulxz.NewWriter(w) },
		"bzip2": func(w io.Writer) (io.WriteCloser, error) { return dsbzip2.NewWriter(w, nil) },
		"zstd":  func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) },
	}
	want := "nixpkgs/\nnixpkgs/default.nix executable=false \"" + strings.Repeat("1", 100000) + "\"\nnixpkgs/run executable=true \"\"\n"
	for name, make := range compressors {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w, err := make(&b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := unpack(t, dir, b.Bytes(), "nixpkgs"); err != nil {
				t.Fatal(err)
			}
			if got := tree(t, dir+"/out"); got != want {
				t.Errorf("got %.200s", got)
			}
			if err := unpack(t, t.TempDir(), b.Bytes()[:b.Len()-b.Len()/3], "nixpkgs"); err == nil {
				t.Error("a truncated archive was taken as whole")
			}
		})
	}
}

// TestUnpackAttacks gives archives that reach for what is outside: a sentinel beside the output stays as it was.
func TestUnpackAttacks(t *testing.T) {
	const dirKind, linkKind, hardKind = tar.TypeDir, tar.TypeSymlink, tar.TypeLink
	attacks := map[string]struct {
		entries []entry
		want    string // part of the error; empty: it unpacks, harmlessly, to tree
		tree    string
	}{
		"parent":            {[]entry{{name: "c/../../sentinel", text: "x"}}, "contains '..'", ""},
		"parent first":      {[]entry{{name: "../sentinel", text: "x"}}, "contains '..'", ""},
		"absolute":          {[]entry{{name: "//SENTINEL", text: "x"}}, "", ""},
		"through symlink":   {[]entry{{name: "c/l", link: "../..", kind: linkKind}, {name: "c/l/sentinel", text: "x"}}, "is not a directory", ""},
		"through absolute":  {[]entry{{name: "c/l", link: "DIR", kind: linkKind}, {name: "c/l/sentinel", text: "x"}}, "is not a directory", ""},
		"symlink inside":    {[]entry{{name: "c/d/", kind: dirKind}, {name: "c/l", link: "d", kind: linkKind}, {name: "c/l/x", text: "x"}}, "is not a directory", ""},
		"over symlink":      {[]entry{{name: "c", link: "DIR/sentinel", kind: linkKind}, {name: "c", text: "x"}}, "", "n executable=false \"x\"\n"},
		"dir over symlink":  {[]entry{{name: "c", link: "DIR", kind: linkKind}, {name: "c/", kind: dirKind}}, "is not a directory", ""},
		"top symlink":       {[]entry{{name: "c", link: "DIR", kind: linkKind}}, "", "n -> DIR\n"},
		"hard link out":     {[]entry{{name: "c/h", link: "../sentinel", kind: hardKind}}, "contains '..'", ""},
		"hard link abs":     {[]entry{{name: "c/h", link: "DIR/sentinel", kind: hardKind}}, "not a directory", ""},
		"hard link via":     {[]entry{{name: "c/l", link: "DIR", kind: linkKind}, {name: "c/h", link: "c/l/sentinel", kind: hardKind}}, "is not a directory", ""},
		"hard link symlink": {[]entry{{name: "c/l", link: "DIR/sentinel", kind: linkKind}, {name: "c/h", link: "c/l", kind: hardKind}}, "not a regular file", ""},
		"write to link":     {[]entry{{name: "c/a", text: "a"}, {name: "c/h", link: "c/a", kind: hardKind}, {name: "c/h", text: "b"}}, "", "n/\nn/a executable=false \"a\"\nn/h executable=false \"b\"\n"},
		"device":            {[]entry{{name: "c/null", kind: tar.TypeChar}}, "not supported", ""},
		"fifo":              {[]entry{{name: "c/fifo", kind: tar.TypeFifo}}, "not supported", ""},
		"setuid":            {[]entry{{name: "c", mode: 0o6755, text: "x"}}, "", "n executable=true \"x\"\n"},
		"file over dir":     {[]entry{{name: "c/d/x"}, {name: "c/d", text: "x"}}, "directory not empty", ""},
		"the root":          {[]entry{{name: "./", kind: linkKind, link: "DIR"}}, "it has no name", ""},
		"empty":             {nil, "is empty", ""},
		"two":               {[]entry{{name: "a"}, {name: "b"}}, "contains more than one file", ""},
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, dir+"/sentinel", "safe")
			for i := range attack.entries {
				attack.entries[i].link = strings.ReplaceAll(attack.entries[i].link, "DIR", dir)
				attack.entries[i].name = strings.ReplaceAll(attack.entries[i].name, "SENTINEL", dir+"/sentinel")
			}
			err := unpack(t, dir, archive(t, attack.entries...), "n")
			if attack.want == "" && err != nil || attack.want != "" && (err == nil || !strings.Contains(err.Error(), attack.want)) {
				t.Errorf("want %q, got %v", attack.want, err)
			}
			if got := strings.ReplaceAll(tree(t, dir+"/out"), dir, "DIR"); attack.tree != "" && got != attack.tree {
				t.Errorf("unpacked to\n%s", got)
			}
			checkSentinel(t, dir)
		})
	}
}

// checkSentinel sees that nothing but the archive and the output is in dir, and the sentinel is as it was.
func checkSentinel(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(dir + "/sentinel")
	if err != nil || string(text) != "safe" {
		t.Errorf("the sentinel is now %q, %v", text, err)
	}
	info, err := os.Lstat(dir + "/sentinel")
	if err != nil || info.Mode() != 0o644 || len(entries) != 3 {
		t.Errorf("outside of the output: %v, %v, %v", info, entries, err)
	}
}

func TestChannelNames(t *testing.T) {
	data := archive(t, entry{name: "c"})
	for name, want := range map[string]string{"a/b": "is not allowed to contain filesystem separators, got a/b", "..": "not the name", "": "not the name", ".": "not the name"} {
		dir := t.TempDir()
		if err := unpack(t, dir, data, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestUnpackLikeNix compares with the real builder on an archive with what archives have: repeated entries,
// missing parents, hard links, absolute names, odd modes.
func TestUnpackLikeNix(t *testing.T) {
	build, _ := nixBuild(t)
	dir := t.TempDir()
	data := archive(t,
		entry{name: "./", kind: tar.TypeDir, mode: 0o755}, entry{name: "./c/", kind: tar.TypeDir, mode: 0o700},
		entry{name: "c/a", text: "first", mode: 0o644}, entry{name: "c/a", text: "second", mode: 0o755}, entry{name: "c/deep/er/b", text: "b"},
		entry{name: "/c/abs", text: "abs", mode: 0o400}, entry{name: "c/hard", link: "c/a", kind: tar.TypeLink},
		entry{name: "c/soft", link: "/nowhere", kind: tar.TypeSymlink, mode: 0o777}, entry{name: "c/soft", link: "a", kind: tar.TypeSymlink, mode: 0o777},
		entry{name: "c/group", mode: 0o470}, entry{name: "c/" + strings.Repeat("long/", 40) + "x", text: "long"})
	if err := unpack(t, dir, data, "n"); err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir+"/c.nix", `derivation { name = "c"; system = builtins.currentSystem; builder = "builtin:unpack-channel"; channelName = "n"; src = ./src; }`)
	output, err := build(dir + "/c.nix")
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	if want, got := tree(t, lines[len(lines)-1]), tree(t, dir+"/out"); want != got {
		t.Errorf("Nix:\n%sours:\n%s", want, got)
	}
}

func FuzzUnpack(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{{Name: "c/", Typeflag: tar.TypeDir}, {Name: "c/l", Linkname: "..", Typeflag: tar.TypeSymlink}, {Name: "c/l/x", Typeflag: tar.TypeReg}} {
		if err := w.WriteHeader(&h); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("BZh9"))
	f.Add([]byte{0xfd, '7', 'z', 'X', 'Z', 0, 0, 4})
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		writeFile(t, dir+"/sentinel", "safe")
		if err := unpack(t, dir, data, "n"); err == nil {
			if _, err := os.Lstat(dir + "/out/n"); err != nil {
				t.Error(err)
			}
		}
		if err := os.MkdirAll(dir+"/out", 0o755); err != nil {
			t.Fatal(err)
		}
		checkSentinel(t, dir)
	})
}
