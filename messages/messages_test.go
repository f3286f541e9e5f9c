package messages

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A message that the registry does not know could not be read back from a
// journal.
func TestRegistryHasEveryMessage(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, source := range sources {
		f, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Name.Name != "message" {
				continue
			}
			found++
			name := fn.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name
			if New(kebab(name)) == nil {
				t.Errorf("%s is not in the registry", name)
			}
		}
	}
	if found != len(all) {
		t.Errorf("%d messages are declared, %d are in the registry", found, len(all))
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct {
		m    Message
		want string
	}{
		{&EOF{}, "eof"},
		{&RankGoal{Goal: "drv/a", Remaining: 3 * time.Second}, "rank-goal goal=drv/a remaining=3s"},
		{&LocksFailed{Reason: "no space left"}, `locks-failed reason="no space left"`},
		{&ChildOutput{From: 3, To: 9, LastLine: "x\ny"}, `child-output from=3 to=9 last-line="x\ny"`},
		{&ClaimUser{User: BuildUser{UID: 7, GID: 8}}, "claim-user user=7:8"},
		{&BuilderExited{Cause: SilentTooLong, Exit: Exit{Signal: 9}}, "builder-exited cause=silent-too-long exit=signal-9/wall=0s"},
		{&AwaitGoals{From: "drv/a", Waitees: make([]Target, 10)}, ""},
	} {
		got := c.m.String()
		if c.want == "" {
			if !strings.Contains(got, "… 10 in all]") {
				t.Errorf("%T: a long list is not cut: %s", c.m, got)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%T: got %s, want %s", c.m, got, c.want)
		}
	}
}
