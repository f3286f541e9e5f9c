package registration

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

var byValue = cmp.Options{cmp.Comparer(func(a, b storepath.Path) bool { return a == b }),
	cmp.Comparer(func(a, b nixhash.Hash) bool { return a == b })}

const (
	p1   = "/nix/store/00000000000000000000000000000000-one"
	p2   = "/nix/store/11111111111111111111111111111111-two"
	hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func readAll(text string, dir storepath.Dir, form Form) (out []validity.Info, err error) {
	r := NewReader(strings.NewReader(text), dir, form)
	for {
		i, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, i)
	}
}

func writeAll(t testing.TB, infos []validity.Info, dir storepath.Dir, form Form) string {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, dir, form)
	for _, i := range infos {
		must(t, w.Write(i))
	}
	must(t, w.Flush())
	return b.String()
}

func TestForms(t *testing.T) {
	lines := func(s ...string) string { return strings.Join(s, "\n") + "\n" }
	dump := lines(p1, hash, "120", p2+".drv", "2", p1, p2)
	for _, c := range []struct {
		form Form
		text string
	}{
		{Dump, dump},
		{Register, lines(p1, p2+".drv", "2", p1, p2)},
		{Graph, lines(p1, "", "2", p1, p2)},
	} {
		infos, err := readAll(dump+dump, "/nix/store", Dump)
		must(t, err)
		if got := writeAll(t, infos, "/nix/store", c.form); got != c.text+c.text {
			t.Errorf("%+v: wrote\n%s, want twice\n%s", c.form, got, c.text)
		}
		again, err := readAll(c.text, "/nix/store", c.form)
		must(t, err)
		want := infos[0]
		if !c.form.Hash {
			want.NarHash, want.NarSize = nixhash.Hash{}, 0
		}
		if !c.form.Deriver {
			want.Deriver = storepath.Path{}
		}
		if !cmp.Equal(again, []validity.Info{want}, byValue) {
			t.Errorf("%+v: read %v, want %v", c.form, again, want)
		}
	}
}

func TestWhatNixAlsoReads(t *testing.T) {
	sorted, err := readAll(p1+"\n"+hash+"\n1\n\n2\n"+p1+"\n"+p2+"\n", "/nix/store", Dump)
	must(t, err)
	for _, h := range []string{"sha256:" + hash, sorted[0].NarHash.Base32(), sorted[0].NarHash.Base64(), sorted[0].NarHash.SRI()} {
		got, err := readAll(p1+"\n"+h+"\n1\n\n3\n"+p2+"\n"+p1+"\n"+p2+"\n", "/nix/store", Dump)
		if err != nil || !cmp.Equal(got, sorted, byValue) {
			t.Errorf("hash %q: %v, %v", h, got, err)
		}
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"/nix/store/short\n":                        "line 1: ",
		p1 + "\nzz\n":                               "line 2: ",
		p1 + "\n" + hash + "\n-1\n":                 `line 3: expected a number, found "-1"`,
		p1 + "\n" + hash + "\n+1\n":                 `line 3: expected a number`,
		p1 + "\n" + hash + "\n1\nx\n":               "line 4: ",
		p1 + "\n" + hash + "\n1\n\n1_0\n":           "line 5: expected a number",
		p1 + "\n" + hash + "\n1\n\n9999999999999\n": "line 6: unexpected EOF",
		p1 + "\n" + hash + "\n1\n\n1\n" + p2:        "line 6: has no newline at its end",
		p1 + "\n" + hash + "\n1\n\n0\n\n":           "line 6: ",
		p1 + "\n" + strings.Repeat("a", maxLine+10): "line 2: longer than 8192 bytes",
		p1:                                       "line 1: has no newline",
		p1 + "\n":                                "line 2: unexpected EOF",
		"/gnu/store/" + filepath.Base(p1) + "\n": "line 1: ",
		p1 + "\n" + hash + "\n1\n\n1\n" + p2 + "/x\n": "line 6: ",
	} {
		_, err := readAll(text, "/nix/store", Dump)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want %q", text, err, want)
		}
	}
}

// Files of Nix 2.34.8, which this machine may not have.
func TestGolden(t *testing.T) {
	for name, form := range map[string]Form{"dump": Dump, "graph": Graph} {
		want, err := os.ReadFile("testdata/" + name)
		must(t, err)
		infos, err := readAll(string(want), "/nix/store", form)
		must(t, err)
		if got := writeAll(t, infos, "/nix/store", form); len(infos) == 0 || got != string(want) {
			t.Errorf("%s: wrote\n%s, want\n%s", name, got, want)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(p1+"\n"+hash+"\n120\n"+p2+".drv\n2\n"+p1+"\n"+p2+"\n", true, true)
	f.Add(p1+"\n\n0\n"+p2+"\n\n1\n"+p1+"\n", false, true)
	f.Add(p1+"\n\n18446744073709551615\n", false, false)
	f.Fuzz(func(t *testing.T, text string, hash, deriver bool) {
		form := Form{Hash: hash, Deriver: deriver}
		infos, err := readAll(text, "/nix/store", form)
		if err != nil {
			return
		}
		if !deriver {
			for n := range infos {
				infos[n].Deriver = storepath.Path{}
			}
		}
		again, err := readAll(writeAll(t, infos, "/nix/store", form), "/nix/store", form)
		if err != nil || !cmp.Equal(infos, again, byValue) {
			t.Errorf("%v became %v, %v", infos, again, err)
		}
	})
}

// nix runs programs of the real Nix on a store of its own.
type nix struct {
	t   *testing.T
	dir string
	bin string
}

func newNix(t *testing.T, store string) nix {
	t.Helper()
	path, err := exec.LookPath("nix-store")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("nix-store is missing")
		}
		t.Skip("nix-store is missing")
	}
	return nix{t, store, filepath.Dir(path)}
}

// run is the output of a program with its state in the directory "state".
func (n nix) run(state, stdin, name string, args ...string) string {
	n.t.Helper()
	cmd := exec.Command(filepath.Join(n.bin, name), args...)
	at := filepath.Join(filepath.Dir(n.dir), state)
	cmd.Env = append(os.Environ(), "NIX_REMOTE=", "NIX_STORE_DIR="+n.dir, "NIX_STATE_DIR="+at+"/var", "NIX_LOG_DIR="+at+"/log", "NIX_CONF_DIR="+at+"/etc")
	cmd.Stdin = strings.NewReader(stdin)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		n.t.Fatalf("%s %v: %v: %s", name, args, err, errs.String())
	}
	return string(out)
}

// The dump of a real store is read; what we write of it is the same text; the
// real Nix loads ours, and dumps the same from it.
func TestNixAgrees(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	n := newNix(t, store)
	drv := strings.TrimSpace(n.run("a", "", "nix-instantiate", "-E", `
		let dep = derivation { name = "dep"; system = "x"; builder = builtins.toFile "b" "echo"; outputs = [ "out" "dev" ]; };
		in derivation { name = "top"; system = "x"; builder = "y"; inherit dep; src = builtins.toFile "s" "text"; }`))
	want := n.run("a", "", "nix-store", "--dump-db")
	infos, err := readAll(want, storepath.Dir(store), Dump)
	must(t, err)
	if len(infos) != 4 {
		t.Fatalf("the dump has %d paths, want 4:\n%s", len(infos), want)
	}
	ours := writeAll(t, infos, storepath.Dir(store), Dump)
	if ours != want {
		t.Errorf("wrote\n%s, want\n%s", ours, want)
	}
	n.run("b", ours, "nix-store", "--load-db")
	if got := n.run("b", "", "nix-store", "--dump-db"); got != want {
		t.Errorf("nix dumps after it loaded ours\n%s, want\n%s", got, want)
	}
	n.run("c", writeAll(t, infos, storepath.Dir(store), Register), "nix-store", "--register-validity")
	n.run("d", ours, "nix-store", "--register-validity", "--hash-given")
	for _, state := range []string{"c", "d"} {
		if got := n.run(state, "", "nix-store", "--dump-db"); got != want {
			t.Errorf("nix dumps after it registered ours\n%s, want\n%s", got, want)
		}
		if got := n.run(state, "", "nix-store", "-q", "--references", drv); len(strings.Fields(got)) != 2 {
			t.Errorf("references of %s are %q", drv, got)
		}
	}
}

// The file that Nix gives a builder is what we write for the same closure.
func TestNixWritesTheSameGraph(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	n := newNix(t, store)
	drv := strings.TrimSpace(n.run("a", "", "nix-instantiate", "-E", `
		let file = builtins.toFile "f" "${builtins.toFile "g" "text"} ${builtins.toFile "h" "text"}";
		in derivation { name = "graph"; system = builtins.currentSystem; builder = "/bin/sh";
			args = [ "-c" "while read line; do echo $line; done < graph > $out" ];
			exportReferencesGraph = [ "graph" file ]; }`))
	out := n.run("a", "", "nix-store", "--option", "sandbox", "false", "--option", "build-users-group", "", "--option", "substitute", "false", "-r", drv)
	want, err := os.ReadFile(strings.TrimSpace(out))
	must(t, err)
	infos, err := readAll(string(want), storepath.Dir(store), Graph)
	must(t, err)
	if len(infos) != 3 {
		t.Fatalf("the graph has %d paths, want 3:\n%s", len(infos), want)
	}
	if got := writeAll(t, infos, storepath.Dir(store), Graph); got != string(want) {
		t.Errorf("wrote\n%s, want\n%s", got, want)
	}
}
