package remote

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"troupe/actors/ports"
	"troupe/messages"
	"troupe/storage/addition"
	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// stage is a store with a derivation in it, and a hook that is a script.
type stage struct {
	t    *testing.T
	r    *Remote
	s    ports.Services
	drv  storepath.Path
	hook ports.Hook
	sent chan messages.Message
	work string
}

// Send implements [ports.Outbox].
func (s *stage) Send(_ messages.Address, m messages.Message) { s.sent <- m }

// Now implements [ports.Outbox].
func (s *stage) Now() time.Duration { return 0 }

// newStage makes one whose hook is a script of sh; $work is a directory for it.
func newStage(t *testing.T, script string) *stage {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	s := &stage{t: t, sent: make(chan messages.Message, 100), work: t.TempDir()}
	l := localstore.Layout{Dir: "/nix/store", Root: s.work, StateDir: s.work + "/state", LogDir: s.work + "/log"}
	s.must(localstore.Prepare(l, ""))
	db, err := validity.Open("/db", validity.Options{FS: vfs.NewMem()})
	s.must(err)
	t.Cleanup(func() { s.must(db.Close()) })
	program := filepath.Join(s.work, "hook")
	s.must(os.WriteFile(program, []byte("#!/bin/sh\nwork="+s.work+"\n"+script), 0o755))
	s.hook.Program = []string{program, "an argument"}
	s.hook.Settings = []ports.Setting{{Name: "system", Value: "x"}}
	s.s = ports.Services{Layout: l, DB: db, Log: zerolog.Nop(),
		PolicyOf: func(string) (ports.BuildPolicy, error) {
			return ports.BuildPolicy{Remote: ports.RemotePolicy{Hook: s.hook}}, nil
		}}.Shared()
	d := &derivation.Derivation{Name: "x", Platform: "arm", Builder: "/bin/sh", Env: map[string]string{"requiredSystemFeatures": "kvm big", "out": ""}}
	hash := nixhash.Sum(nixhash.SHA256, nil)
	path, err := l.Dir.MakeFixed("x", storepath.NAR, hash, nil, false)
	s.must(err)
	out, err := derivation.MakeOutput("out", path, "r:sha256", hash.Base16())
	s.must(err)
	d.Outputs, d.Env["out"] = []derivation.Output{out}, l.Dir.Join(out.Path)
	adder := addition.Adder{Layout: l, DB: db}
	s.drv, err = adder.Derivation(t.Context(), d)
	s.must(err)
	s.r = New(s, s.s)
	t.Cleanup(s.r.Close)
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// ask asks the hook, and waits for what slots are told; what people are told is
// returned, too.
func (s *stage) ask(question uint64) (reply *messages.HookReplied, told []string) {
	s.t.Helper()
	s.r.Handle(&messages.AskHook{Goal: "drv/x", Question: question, Drv: s.drv, Program: "hook"})
	for m := range s.sent {
		switch m := m.(type) {
		case *messages.GoalWarned:
			told = append(told, m.Text)
		case *messages.HookReplied:
			if m.Question != question || m.Goal != "drv/x" {
				s.t.Fatal(m)
			}
			return m, told
		}
	}
	return nil, nil
}

func (s *stage) read(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.work, name))
	s.must(err)
	return string(b)
}

// TestHookIsAsked: settings and question in their form; one that declines is asked
// again, and one that accepts is not.
func TestHookIsAsked(t *testing.T) {
	s := newStage(t, `echo $$ "$@" >> $work/started
head -c 48 > $work/settings
head -c 144 > $work/question; echo not for us >&2; echo "@nix {\"action\":\"msg\",\"level\":4,\"msg\":\"chatter\"}" >&2; echo "# decline" >&2
head -c 144 > /dev/null; echo "# postpone" >&2
head -c 144 > /dev/null; printf '# accept\nssh://far\n' >&2; exec sleep 1000`)
	word := func(n int) string { return string([]byte{byte(n), 0, 0, 0, 0, 0, 0, 0}) }
	text := func(s string) string { return word(len(s)) + s + strings.Repeat("\x00", -len(s)&7) }
	drv := s.s.Layout.Dir.Join(s.drv)
	question := text("try") + word(0) + text("arm") + text(drv) + word(2) + text("big") + text("kvm")
	if len(question) != 144 {
		t.Fatalf("the scripts should read %d bytes", len(question))
	}
	reply, told := s.ask(1)
	if reply.Reply != messages.HookDeclines || !slices.Equal(told, []string{"not for us"}) {
		t.Errorf("%v, told %q", reply, told)
	}
	if got, want := s.read("settings"), word(1)+text("system")+text("x")+word(0); got != want {
		t.Errorf("settings %q, want %q", got, want)
	}
	if got := s.read("question"); got != question {
		t.Errorf("question %q, want %q", got, question)
	}
	if reply, _ := s.ask(2); reply.Reply != messages.HookPostpones {
		t.Error(reply)
	}
	if reply, _ := s.ask(3); reply.Reply != messages.HookAccepts || reply.Machine != "ssh://far" {
		t.Error(reply)
	}
	if first, _, _ := strings.Cut(s.read("started"), "\n"); !strings.HasSuffix(first, " an argument 3") {
		t.Errorf("started as %q", first)
	}
	s.r.Handle(&messages.DropHook{Goal: "drv/x", Question: 3})
}

// TestHooksThatFail: none of them keeps anybody waiting for ever, or is believed.
func TestHooksThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   messages.HookReply
		reason string
	}{
		"dies":           {"echo it is broken >&2; exit 3", messages.HookDeclines, "build hook died unexpectedly: it is broken"},
		"dies silently":  {"exit 0", messages.HookDeclines, "build hook died unexpectedly"},
		"dies in middle": {"printf '# acc' >&2", messages.HookLies, "bad hook reply 'acc'"},
		"no machine":     {"echo '# accept' >&2", messages.HookDeclines, "build hook died unexpectedly"},
		"lies":           {"echo '# maybe' >&2; sleep 1000", messages.HookLies, "bad hook reply 'maybe'"},
		"not there":      {"", messages.HookDeclines, "start build hook"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, c.script)
			if name == "not there" {
				s.hook.Program = []string{s.work + "/nowhere"}
			}
			reply, told := s.ask(1)
			if reply.Reply != c.want || !strings.Contains(reply.Reason, c.reason) {
				t.Errorf("%v; told %q", reply, told)
			}
			if c.want == messages.HookDeclines && !slices.ContainsFunc(told, func(s string) bool { return strings.Contains(s, c.reason) }) {
				t.Errorf("told %q", told)
			}
		})
	}
}

// TestSilentHook: a hook that does not answer is done without, in its time.
func TestSilentHook(t *testing.T) {
	s := newStage(t, "exec sleep 1000")
	k, err := start(s.hook, "", nil)
	s.must(err)
	_, _, err = k.ask(question{drv: "/x"}, time.Millisecond, func(string) {})
	if err == nil || err.Error() != "build hook does not answer" {
		t.Error(err)
	}
	s.must(k.kill())
}

// TestHookForGood: a hook that declines for good is not started again.
func TestHookForGood(t *testing.T) {
	s := newStage(t, `echo >> $work/started; echo "# decline-permanently" >&2`)
	for q := range uint64(3) {
		if reply, _ := s.ask(q); reply.Reply != messages.HookDeclines || reply.Reason != "" {
			t.Error(reply)
		}
	}
	if n := len(s.read("started")); n != 1 {
		t.Errorf("it was started %d times", n)
	}
}

// TestDroppedHook: a hook is ended that thinks for nobody any more.
func TestDroppedHook(t *testing.T) {
	s := newStage(t, `echo >> $work/started; exec sleep 1000`)
	s.r.Handle(&messages.AskHook{Goal: "drv/x", Question: 7, Drv: s.drv, Program: "hook"})
	s.r.Handle(&messages.DropHook{Goal: "drv/x", Question: 7})
	if m, ok := (<-s.sent).(*messages.HookReplied); !ok || m.Reply != messages.HookDeclines || m.Reason != "" {
		t.Error(m)
	}
}

// work is the stage's derivation as a build of a hook.
func (s *stage) engage() ports.Engagement {
	s.t.Helper()
	d, err := s.s.ReadDerivation(s.drv)
	s.must(err)
	e, err := s.r.Engage(s.t.Context(), ports.Work{Build: "drv/x", Place: messages.Place{Hook: "m"}, Path: s.drv, Derivation: d,
		Inputs: []storepath.Path{s.drv}, Outputs: []string{"out"}})
	s.must(err)
	return e
}

// TestHookBuilds: what it is told, what its builder says on descriptor 4 and in
// messages, and what its exit code means.
func TestHookBuilds(t *testing.T) {
	for code, want := range map[int]messages.Status{0: messages.Built, 100: messages.PermanentFailure, 101: messages.TimedOut, 1: messages.MiscFailure} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			s := newStage(t, `head -c 192 > /dev/null; printf '# accept\nssh://far\n' >&2
cat > $work/told
echo from the builder >&4
echo '@nix {"action":"result","id":1,"type":101,"fields":["a line"]}' >&2
echo '@nix {"action":"msg","level":0,"msg":"error: it went wrong"}' >&2
exit `+fmt.Sprint(code))
			if reply, _ := s.ask(1); reply.Reply != messages.HookAccepts {
				t.Fatal(reply)
			}
			e := s.engage()
			var log strings.Builder
			err := e.Build(t.Context(), &log)
			s.must(e.Close())
			if lines := strings.Split(log.String(), "\n"); len(lines) != 3 || !slices.Contains(lines, "from the builder") || !slices.Contains(lines, "a line") {
				t.Errorf("log %q", log.String())
			}
			failed, _ := err.(*ports.FailedError)
			switch {
			case code == 0 && err != nil, code != 0 && (failed == nil || failed.Status != want || failed.Code != code):
				t.Errorf("%v", err)
			case code == 1 && failed.Text != "it went wrong":
				t.Errorf("%q", failed.Text)
			}
			if told := s.read("told"); !strings.Contains(told, s.s.Layout.Dir.Join(s.drv)) || !strings.Contains(told, "out\x00") {
				t.Errorf("told %q", told)
			}
		})
	}
}

// TestOldHook speaks with a hook of Nix 1: in lines, and the derivation is among
// what is sent.
func TestOldHook(t *testing.T) {
	s := newStage(t, `echo "$@" > $work/arguments
read question; echo "$question" > $work/question; echo "# accept" >&2
read inputs; read outputs; echo "$inputs|$outputs" > $work/told; echo building >&4`)
	s.hook.Lines, s.hook.Program, s.hook.System = true, s.hook.Program[:1], "here"
	s.hook.Limits = messages.Limits{Silence: 7 * time.Second, Total: time.Minute}
	if reply, _ := s.ask(1); reply.Reply != messages.HookAccepts || reply.Machine != "" {
		t.Fatal(reply)
	}
	e := s.engage()
	var log strings.Builder
	s.must(e.Build(t.Context(), &log))
	s.must(e.Close())
	d, err := s.s.ReadDerivation(s.drv)
	s.must(err)
	drv, out := s.s.Layout.Dir.Join(s.drv), s.s.Layout.Dir.Join(d.Outputs[0].Path)
	for name, want := range map[string]string{"arguments": "here 7 0 60\n", "question": "0 arm " + drv + " big,kvm\n", "told": drv + " " + drv + "|" + out + "\n"} {
		if got := s.read(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if log.String() != "building\n" {
		t.Errorf("log %q", log.String())
	}
}
