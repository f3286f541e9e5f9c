package narinfo

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"troupe/storage/storepath"
)

const dir = storepath.Dir("/nix/store")

// sample was written by nix copy of Nix 2.8.0.
func sample(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/nix-2.8.0.narinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// with is the sample with another value for a key, or, for "", without the key.
func with(text, key, value string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		switch {
		case !strings.HasPrefix(line, key+":"):
			b.WriteString(line)
		case value != "":
			b.WriteString(key + ": " + value + "\n")
		}
	}
	return b.String()
}

func TestWhatNixWrote(t *testing.T) {
	text := sample(t)
	i, err := Parse(dir, "x", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(i.Print(dir)); got != text {
		t.Errorf("wrote\n%swant\n%s", got, text)
	}
	const fingerprint = "1;/nix/store/i1kx9g2zbfgblhg37zik3s0vy4clkbzd-top;sha256:17ij1cz9i0nqb59dndbpg0qrldr4sw7p8fa30nq6ljai017d9nnd;272;" +
		"/nix/store/i1kx9g2zbfgblhg37zik3s0vy4clkbzd-top,/nix/store/rp73i1spasx5z3qd460yvwmy6gbdqc4d-dep"
	if got := i.Fingerprint(dir); got != fingerprint {
		t.Errorf("fingerprint %s, want %s", got, fingerprint)
	}
	if i.Compression != "none" || i.FileSize != 272 || i.NarSize != 272 || len(i.References) != 2 || i.Deriver.Name() != "top.drv" || len(i.Signatures) != 1 {
		t.Errorf("read %+v", i)
	}
}

// What Nix takes in another form comes out in its own.
func TestOtherForms(t *testing.T) {
	text := sample(t)
	refs := "i1kx9g2zbfgblhg37zik3s0vy4clkbzd-top rp73i1spasx5z3qd460yvwmy6gbdqc4d-dep"
	for name, c := range map[string]struct{ in, want string }{
		"an unknown key":           {text + "Foo: bar\n", text},
		"an unknown deriver":       {with(text, "Deriver", "unknown-deriver"), with(text, "Deriver", "")},
		"references in disorder":   {with(text, "References", "rp73i1spasx5z3qd460yvwmy6gbdqc4d-dep  "+refs), text},
		"no compression":           {with(text, "Compression", ""), with(text, "Compression", "bzip2")},
		"no file hash and size":    {with(with(text, "FileHash", ""), "FileSize", ""), with(with(text, "FileHash", ""), "FileSize", "")},
		"a hash in base 16":        {with(text, "NarHash", "sha256:cddad44e0051496ab0054339740fd724379a31787735db5259d882983e0b329e"), text},
		"a system":                 {text + "System: x86_64-linux\n", with(text, "Sig", "") + "System: x86_64-linux\n" + text[strings.Index(text, "Sig: "):]},
		"signatures in disorder":   {text + "Sig: a:b\n", strings.Replace(text, "Sig: ", "Sig: a:b\nSig: ", 1)},
		"a signature that is none": {text + "Sig: foo\n", strings.Replace(text, "Sig: ", "Sig: foo\nSig: ", 1)},
		"a content address":        {text + "CA: fixed:r:sha256:0palvrdf82b885nd16kmjjn6yb75bx1jdv4qvwd6h3q7ak1kckvg\n", text + "CA: fixed:r:sha256:0palvrdf82b885nd16kmjjn6yb75bx1jdv4qvwd6h3q7ak1kckvg\n"},
	} {
		i, err := Parse(dir, "x", []byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := string(i.Print(dir)); got != c.want {
			t.Errorf("%s: wrote\n%swant\n%s", name, got, c.want)
		}
	}
}

// bad are files that are refused; laxer says that Nix 2.8.0 takes them.
var bad = []struct {
	name, want string
	laxer      bool
	text       func(string) string
}{
	{"empty", "StorePath is missing", false, func(string) string { return "" }},
	{"cut short", "its last line has no end", false, func(s string) string { return s[:len(s)-1] }},
	{"a line without a colon", `line "Foo" is not 'key: value'`, false, func(s string) string { return s + "Foo\n" }},
	{"an empty line", `line "" is not 'key: value'`, false, func(s string) string { return s + "\n" }},
	{"a key alone", `line "Foo:" is not 'key: value'`, false, func(s string) string { return s + "Foo:\n" }},
	{"no blank", "no blank follows the colon of 'StorePath'", false, func(s string) string { return strings.Replace(s, ": ", ":", 1) }},
	{"no path", "StorePath is missing", false, func(s string) string { return with(s, "StorePath", "") }},
	{"no URL", "URL is missing", false, func(s string) string { return with(s, "URL", "") }},
	{"an empty URL", "URL is empty", false, func(s string) string { return with(s, "URL", "") + "URL: \n" }},
	{"no hash", "NarHash is missing", false, func(s string) string { return with(s, "NarHash", "") }},
	{"no size", "NarSize is missing", false, func(s string) string { return with(s, "NarSize", "") }},
	{"no bytes", "NarSize is 0", false, func(s string) string { return with(s, "NarSize", "0") }},
	{"not a size", "NarSize: '5x' is not a size in bytes", false, func(s string) string { return with(s, "NarSize", "5x") }},
	{"below nothing", "NarSize: '-5' is not a size in bytes", false, func(s string) string { return with(s, "NarSize", "-5") }},
	{"too large", "NarSize: '99999999999999999999' is not a size in bytes", false, func(s string) string { return with(s, "NarSize", "99999999999999999999") }},
	{"not a file size", "FileSize: 'x' is not a size in bytes", false, func(s string) string { return with(s, "FileSize", "x") }},
	{"not a hash", `NarHash: parse hash "sha256:xyz": wrong length for algorithm 'sha256'`, false, func(s string) string { return with(s, "NarHash", "sha256:xyz") }},
	{"another hash", "NarHash: a hash of type 'md5', not sha256", true, func(s string) string { return with(s, "NarHash", "md5:d41d8cd98f00b204e9800998ecf8427e") }},
	{"a hash of no type", "does not include a type", false, func(s string) string { return with(s, "NarHash", "d41d8cd98f00b204e9800998ecf8427e") }},
	{"a bad deriver", "Deriver: path 'foo' is not a valid store path", false, func(s string) string { return with(s, "Deriver", "foo") }},
	{"a bad reference", "References: path 'foo' is not a valid store path", false, func(s string) string { return with(s, "References", "foo") }},
	{"another store", "is not in the store", false, func(s string) string { return with(s, "StorePath", "/other/i1kx9g2zbfgblhg37zik3s0vy4clkbzd-top") }},
	{"a bad address", "CA: 'foo' is not a content address", false, func(s string) string { return s + "CA: foo\n" }},
	{"two URLs", "URL: it comes twice", true, func(s string) string { return s + "URL: nar/x\n" }},
	{"references twice", "References: it comes twice", false, func(s string) string { return s + "References: rp73i1spasx5z3qd460yvwmy6gbdqc4d-dep\n" }},
	{"two sizes", "NarSize: it comes twice", true, func(s string) string { return s + "NarSize: 5\n" }},
	{"carriage returns", "is not a valid store path", false, func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }},
}

func TestRefused(t *testing.T) {
	for _, c := range bad {
		_, err := Parse(dir, "x.narinfo", []byte(c.text(sample(t))))
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || !strings.HasPrefix(err.Error(), "NAR info file 'x.narinfo' is corrupt: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// Nix refuses the same files, but for those where we say otherwise.
func TestNixRefuses(t *testing.T) {
	if _, err := exec.LookPath("nix"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("nix is missing")
		}
		t.Skip("nix is missing")
	}
	cache, state := t.TempDir(), t.TempDir()
	path := "/nix/store/i1kx9g2zbfgblhg37zik3s0vy4clkbzd-top"
	file := filepath.Join(cache, "i1kx9g2zbfgblhg37zik3s0vy4clkbzd.narinfo")
	for name, text := range map[string]string{filepath.Join(cache, "nix-cache-info"): "StoreDir: /nix/store\n", file: sample(t)} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	accepted := func() bool {
		c := exec.Command("nix", "--extra-experimental-features", "nix-command", "path-info", "--store", "file://"+cache, path)
		c.Env = append(os.Environ(), "NIX_STORE_DIR=/nix/store", "NIX_STATE_DIR="+state, "NIX_CONF_DIR="+state, "NIX_USER_CONF_FILES=", "HOME="+state)
		out, err := c.CombinedOutput()
		return err == nil && strings.TrimSpace(string(out)) == path
	}
	if !accepted() {
		t.Fatal("nix refuses its own file")
	}
	for _, c := range bad {
		if err := os.WriteFile(file, []byte(c.text(sample(t))), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := accepted(); got != c.laxer {
			t.Errorf("%s: nix accepts: %v", c.name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample(f))
	for _, c := range bad {
		f.Add(c.text(sample(f)))
	}
	f.Fuzz(func(t *testing.T, text string) {
		i, err := Parse(dir, "x", []byte(text))
		if err != nil {
			return
		}
		printed := i.Print(dir)
		again, err := Parse(dir, "x", printed)
		if err != nil || string(again.Print(dir)) != string(printed) {
			t.Errorf("%q came back as %q, %v", printed, again.Print(dir), err)
		}
	})
}
