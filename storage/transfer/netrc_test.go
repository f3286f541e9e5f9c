package transfer

import (
	"strings"
	"testing"
)

func TestNetrc(t *testing.T) {
	const text = `# a comment with machine c.org login x
machine a.org login joe password "with \"blank\" # in it"
machine b.org
	login ann # comment
	account ignored
	password pw#x
macdef init
machine c.org login evil password evil

default login any password one
machine late.org login late password late
`
	for host, want := range map[string]string{
		"a.org": `joe:with "blank" # in it`, "A.ORG": `joe:with "blank" # in it`, "b.org": "ann:pw#x", "c.org": "any:one", "late.org": "late:late", "": "any:one",
	} {
		m, ok := netrcLogin(parseNetrc(text), host)
		if got := m.user + ":" + m.password; !ok || got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
	if m, ok := netrcLogin(parseNetrc("machine a.org login x"), "b.org"); ok {
		t.Errorf("a login for another host: %v", m)
	}
}

func FuzzNetrc(f *testing.F) {
	f.Add("machine a login b password c")
	f.Add("default\nlogin \"x\\\"\nmacdef m\n\nmachine")
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range parseNetrc(text) {
			if !strings.Contains(text, "machine") && !strings.Contains(text, "default") {
				t.Errorf("%q has %v", text, m)
			}
		}
	})
}
