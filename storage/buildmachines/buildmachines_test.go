package buildmachines

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func machines(t *testing.T, text string) []Machine {
	t.Helper()
	all, _, err := NewList(text, "x86_64-linux").Machines()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "machines")
	if err := os.WriteFile(file, []byte("local?root=/m # a store of this machine\n\nc ; # none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := machines(t, " ssh-ng://u@a:22?x=y i686-linux,aarch64-linux /key 8 2.5 kvm,big kvm c3NoLWVkMjU1MTkgQUFBQQo= more\n"+
		"b - - - 0;;@"+file+" # and nothing else\n@/nowhere/machines")
	here := []string{"x86_64-linux"}
	want := []Machine{
		{URL: "ssh-ng://u@a:22?x=y", Systems: []string{"aarch64-linux", "i686-linux"}, SSHKey: "/key", Jobs: 8, Speed: 2.5,
			Supported: []string{"big", "kvm"}, Mandatory: []string{"kvm"}, HostKey: "c3NoLWVkMjU1MTkgQUFBQQo="},
		{URL: "ssh://b", Systems: here, Jobs: 1, Speed: 1},
		{URL: "local?root=/m", Systems: here, Jobs: 1, Speed: 1},
		{URL: "ssh://c", Systems: here, Jobs: 1, Speed: 1},
	}
	for i := range want {
		if want[i].Supported == nil {
			want[i].Supported, want[i].Mandatory = []string{}, []string{}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBadLines(t *testing.T) {
	loop := filepath.Join(t.TempDir(), "loop")
	if err := os.WriteFile(loop, []byte("@"+loop), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"- x86_64-linux":  "store URL was not found at the first column of a row: '- x86_64-linux'",
		"a - - many":      "failed to convert column #3",
		"a - - -1":        "failed to convert column #3",
		"a - - 1 fast":    "failed to convert column #4",
		"a - - 1 NaN":     "failed to convert column #4",
		"a - - 1 -1":      "speed factor must be >= 0",
		"a - - 1 1 - - &": "column #7 is not base64",
		"@/":              "read machines file",
		"@" + loop:        "files name each other",
	} {
		if all, _, err := NewList("good; "+line, "s").Machines(); err == nil || !strings.Contains(err.Error(), want) || all != nil {
			t.Errorf("%s: %v, %v; want %s", line, all, err, want)
		}
	}
}

// TestFits: a machine fits by its systems, its features, and those that must be
// asked for.
func TestFits(t *testing.T) {
	m := machines(t, "a i686-linux,x86_64-linux - 1 1 kvm,big must")[0]
	for _, c := range []struct {
		system   string
		features string
		want     bool
	}{
		{"x86_64-linux", "must", true},
		{"x86_64-linux", "must kvm", true},
		{"builtin", "must", true},
		{"x86_64-linux", "", false},
		{"x86_64-linux", "kvm", false},
		{"aarch64-linux", "must", false},
		{"x86_64-linux", "must other", false},
	} {
		if got := m.Fits(c.system, strings.Fields(c.features)); got != c.want {
			t.Errorf("%s [%s]: %v", c.system, c.features, got)
		}
	}
	if m := machines(t, "a - - 0")[0]; m.Fits("x86_64-linux", nil) {
		t.Error("a machine without jobs fits")
	}
}

func TestFileChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "machines")
	l := NewList("@"+file, "s")
	expect := func(want string, wantAnew bool) {
		t.Helper()
		all, anew, err := l.Machines()
		var got []string
		for _, m := range all {
			got = append(got, m.URL)
		}
		if s := strings.Join(got, " "); s != want || anew != wantAnew || err != nil {
			t.Errorf("%q, anew %v, %v; want %q, %v", s, anew, err, want, wantAnew)
		}
	}
	expect("", true)
	expect("", false)
	if err := os.WriteFile(file, []byte("a\nbb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("ssh://a ssh://bb", true)
	expect("ssh://a ssh://bb", false)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	expect("", true)
}

func FuzzLine(f *testing.F) {
	f.Add("ssh-ng://a x86_64-linux,i686-linux /key 4 2 kvm,big kvm c3No")
	f.Add("b - - 0 0.5 , - -")
	f.Fuzz(func(t *testing.T, line string) {
		m, err := parseLine(line, "s")
		if err != nil {
			return
		}
		if m.URL == "" || m.Jobs < 0 || !(m.Speed > 0) || len(m.Systems) == 0 {
			t.Errorf("%q is read as %+v", line, m)
		}
	})
}
