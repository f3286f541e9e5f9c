package sessions_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"troupe/messages/workerproto"
)

// gate is a file for which builders wait; opening it lets them go on.
func (w *world) gate(name string) (script string, open func()) {
	file := filepath.Join(w.dir, name)
	return "while ! [ -e " + file + " ]; do sleep 0.02; done; ", func() {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			w.t.Error(err)
		}
	}
}

// begin makes a request, whose end the channel has.
func (c *client) begin(q workerproto.Request) <-chan error {
	c.t.Helper()
	c.heard = make(chan workerproto.Frame, 1000)
	if err := c.send(q, nil); err != nil {
		c.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		err := c.listen()
		if err == nil {
			_, err = workerproto.ReadReply(c.r, q, c.Dialect)
		}
		done <- err
	}()
	return done
}

// hears waits for a line of a builder.
func (c *client) hears(line string) {
	c.t.Helper()
	for f := range c.heard {
		if slices.Contains(lines([]workerproto.Frame{f}), line) {
			return
		}
	}
}

// pid is the process that a builder wrote into a file.
func (w *world) pid(file string) string {
	w.t.Helper()
	var text []byte
	eventually(w.t, "the builder runs", func() bool {
		text, _ = os.ReadFile(filepath.Join(w.dir, file)) // it is not there yet
		return len(text) > 0
	})
	return strings.TrimSpace(string(text))
}

func alive(pid string) bool {
	_, err := os.Stat("/proc/" + pid)
	return err == nil
}

// TestSecondClient joins a build that runs: it hears the log from its beginning,
// and both are told when it is done.
func TestSecondClient(t *testing.T) {
	w := newWorld(t)
	wait, open := w.gate("gate")
	r := w.derivation("shared", "echo begins; echo second; "+wait+"echo ends; echo > $out")
	one, two := w.connect(rootUser, newest), w.connect(anybody, newest)
	one.add(r)
	first := one.begin(build(r))
	one.hears("second")
	second := two.begin(build(r))
	two.hears("begins")
	two.hears("second")
	open()
	for _, done := range []<-chan error{first, second} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for _, c := range []*client{one, two} {
		if got := lines(c.frames); !slices.Equal(got, []string{"begins", "second", "ends"}) {
			t.Errorf("heard %q", got)
		}
		c.wellFormed()
	}
}

// wellFormed looks that activities begin once, end once, and nothing is said of
// those that are over or never were.
func (c *client) wellFormed() {
	c.t.Helper()
	open := map[uint64]workerproto.ActivityType{}
	var types []workerproto.ActivityType
	for _, f := range c.frames {
		switch f := f.(type) {
		case *workerproto.StartActivity:
			if _, twice := open[f.ID]; twice || f.ID == 0 {
				c.t.Errorf("begins twice: %+v", f)
			}
			open[f.ID] = f.Type
			types = append(types, f.Type)
		case *workerproto.StopActivity:
			if _, known := open[f.ID]; !known {
				c.t.Errorf("ends: %+v", f)
			}
			delete(open, f.ID)
		case *workerproto.Result:
			if _, known := open[f.Activity]; !known {
				c.t.Errorf("of nothing: %+v", f)
			}
		}
	}
	if len(open) > 0 {
		c.t.Errorf("do not end: %v", open)
	}
	for _, want := range []workerproto.ActivityType{workerproto.ActRealise, workerproto.ActCopyPaths, workerproto.ActBuilds, workerproto.ActBuild} {
		if !slices.Contains(types, want) {
			c.t.Errorf("no activity %v in %v", want, types)
		}
	}
}

// TestWhatABuilderSays: lines, also without an end or with carriage returns, and
// messages of its own as JSON.
func TestWhatABuilderSays(t *testing.T) {
	w := newWorld(t)
	r := w.derivation("talks", `printf '10%%\r100%%\n\nlast\n'
echo '@nix {"action":"setPhase","phase":"buildPhase"}'
echo '@nix {"action":"start","id":7,"type":101,"level":3,"text":"download","fields":["http://x"]}'
echo '@nix {"action":"result","id":7,"type":105,"fields":[1,2,0,0]}'
echo '@nix {"action":"stop","id":7}'
echo '@nix {"action":"start","id":8,"type":105,"level":3,"text":"pretends to be a build"}'
echo '@nix {"action":"stop","id":999}'
echo '@nix {"action":"msg","level":1,"msg":"a warning"}'
echo '@nix {"action":"unheard-of"}'
echo '@nix no json'
head -c 200000 /dev/zero | tr '\0' x; echo
printf 'no end'
echo > $out`)
	c := w.connect(rootUser, newest)
	c.add(r)
	tell[*workerproto.One](c, build(r), nil)
	c.wellFormed()
	var short []string
	long := 0
	for _, l := range lines(c.frames) {
		if strings.HasPrefix(l, "xxx") {
			long += len(l)
			continue
		}
		short = append(short, l)
	}
	if want := []string{"100%", "", "last", `@nix {"action":"unheard-of"}`, "@nix no json", "no end"}; !slices.Equal(short, want) || long != 200000 {
		t.Errorf("heard %q and %d bytes in a long line", short, long)
	}
	var phases, downloads, builds, said []string
	for _, f := range c.frames {
		switch f := f.(type) {
		case *workerproto.Result:
			if f.Type == workerproto.ResSetPhase {
				phases = append(phases, f.Fields[0].Text)
			}
		case *workerproto.StartActivity:
			if f.Type == workerproto.ActFileTransfer {
				downloads = append(downloads, f.Text+" "+f.Fields[0].Text)
			} else if f.Type == workerproto.ActBuild {
				builds = append(builds, f.Text)
			}
		case *workerproto.Next:
			said = append(said, f.Text)
		}
	}
	if !slices.Equal(phases, []string{"buildPhase"}) || !slices.Equal(downloads, []string{"download http://x"}) || len(builds) != 1 {
		t.Errorf("phases %q, downloads %q, builds %q", phases, downloads, builds)
	}
	if len(said) != 2 || said[0] != "a warning\n" || !strings.Contains(said[1], "Unable to handle a JSON message") {
		t.Errorf("said %q", said)
	}
}

// TestClientGoes: a client that goes away takes with it what nobody else wants,
// and nothing more.
func TestClientGoes(t *testing.T) {
	w := newWorld(t)
	wait, open := w.gate("gate")
	shared := w.derivation("shared", "echo $$ > "+w.dir+"/shared; "+wait+"echo > $out")
	alone := w.derivation("alone", "echo $$ > "+w.dir+"/alone; echo heard; sleep 1000 & wait")
	one, two := w.connect(rootUser, newest), w.connect(anybody, newest)
	one.add(shared, alone)
	one.begin(build(shared, alone))
	second := two.begin(build(shared))
	pids := []string{w.pid("shared"), w.pid("alone")}
	one.conn.Close()
	<-one.served
	eventually(t, "what nobody wants is killed", func() bool { return !alive(pids[1]) })
	if !alive(pids[0]) {
		t.Error("what somebody wants was killed")
	}
	open()
	if err := <-second; err != nil {
		t.Error(err)
	}
	tell[*workerproto.One](two, &workerproto.SyncWithGC{}, nil)
}

// TestClientGoesWithWordsLeft: that it has sent more than was read does not hide
// that it is gone.
func TestClientGoesWithWordsLeft(t *testing.T) {
	w := newWorld(t)
	r := w.derivation("alone", "echo $$ > "+w.dir+"/pid; sleep 1000 & wait")
	c := w.connect(rootUser, newest)
	c.add(r)
	for _, q := range []workerproto.Request{build(r), &workerproto.SyncWithGC{}, &workerproto.SyncWithGC{}} {
		if err := c.send(q, nil); err != nil {
			t.Fatal(err)
		}
	}
	pid := w.pid("pid")
	c.conn.Close()
	eventually(t, "the build is cancelled", func() bool { return !alive(pid) })
	<-c.served
}

// TestFailuresOfInputs: what failed below what was asked for is told, once, and
// with keep-going all that can be built is.
func TestFailuresOfInputs(t *testing.T) {
	w := newWorld(t)
	bad := w.derivation("bad", "echo the reason; echo; echo why; exit 4")
	top := w.derivation("top", "echo > $out", bad)
	fine := w.derivation("fine", "sleep 0.1; echo > $out")
	c := w.connect(rootUser, newest)
	c.add(bad, top, fine)
	tell[*workerproto.Nothing](c, &workerproto.SetOptions{KeepGoing: true, Verbosity: workerproto.LevelInfo}, nil)
	_, err := c.ask(build(top, fine), nil)
	if err == nil || !strings.Contains(err.Error(), "'"+c.Dir.Join(top.drv)+"'") {
		t.Errorf("the error is %v", err)
	}
	var told []string
	for _, f := range c.frames {
		if n, ok := f.(*workerproto.Next); ok && strings.Contains(n.Text, "builder failed with exit code 4") {
			told = append(told, n.Text)
		}
	}
	// As Nix writes it: lines below the first are indented, and have no blanks at their ends.
	want := "\x1b[31;1merror:\x1b[0m Cannot build '" + c.Dir.Join(bad.drv) + "'.\n       Reason: builder failed with exit code 4.\n" +
		"       Output paths:\n         " + c.Dir.Join(bad.out) + "\n       Last 3 log lines:\n       > the reason\n       >\n       > why\n"
	if len(told) != 1 || !strings.HasPrefix(told[0], want) {
		t.Errorf("told %q, want once %q", told, want)
	}
	if !tell[*workerproto.Bool](c, &workerproto.IsValidPath{Path: fine.out}, nil).Value {
		t.Error("what could be built was not")
	}
}

// TestWhatIsDone: a build that checks is called so, as Nix calls it.
func TestWhatIsDone(t *testing.T) {
	w := newWorld(t)
	r := w.derivation("same", "echo same > $out")
	c := w.connect(rootUser, newest)
	c.add(r)
	var got []string
	for _, mode := range []workerproto.BuildMode{workerproto.BuildNormal, workerproto.BuildCheck} {
		c.frames = nil
		tell[*workerproto.One](c, &workerproto.BuildPaths{Paths: build(r).Paths, Mode: mode}, nil)
		for _, f := range c.frames {
			if a, ok := f.(*workerproto.StartActivity); ok && a.Type == workerproto.ActBuild {
				got = append(got, a.Text)
			}
		}
	}
	drv := "'" + c.Dir.Join(r.drv) + "'"
	if want := []string{"building " + drv, "checking outputs of " + drv}; !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// TestQuiet: who wants to hear nothing hears nothing but what went wrong.
func TestQuiet(t *testing.T) {
	w := newWorld(t)
	c := w.connect(rootUser, newest)
	tell[*workerproto.Nothing](c, &workerproto.SetOptions{Verbosity: workerproto.LevelError}, nil)
	tell[*workerproto.Bool](c, &workerproto.VerifyStore{CheckContents: true}, nil)
	for _, f := range c.frames {
		if n, ok := f.(*workerproto.Next); ok {
			t.Errorf("said %q", n.Text)
		}
	}
}
