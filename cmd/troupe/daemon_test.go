package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// site is a place with a store that reads as where it is, settings for a daemon
// and others for its clients, and a user whose all of it is.
type site struct {
	t    *testing.T
	work string
	uid  int
	uids [2]int // of builders: from, to; as root
}

// nobodyUID is an ordinary user who has no account.
const nobodyUID = 65534

// newSite makes one whose daemon has further settings.
func newSite(t *testing.T, uid int, conf string) *site {
	t.Helper()
	if uid != os.Geteuid() && os.Geteuid() != 0 {
		t.Skip("to be another user needs root")
	}
	s := &site{t: t, work: tempDir(t), uid: uid}
	for _, dir := range []string{"bin", "daemon", "client", "home", "tmp"} {
		s.must(os.Mkdir(s.at(dir), 0o755))
	}
	conf += "\nsubstituters =\nmax-jobs = 2\n"
	if uid == 0 { // ids that nobody else's builders have
		s.uids[0] = 1_200_000_000 + os.Getpid()%100_000*1000
		s.uids[1] = s.uids[0] + 100
		conf += "auto-allocate-uids = true\nstart-id = " + strconv.Itoa(s.uids[0]) + "\nid-count = 100\n"
	}
	s.write("daemon/nix.conf", conf)
	s.write("client/nix.conf", "experimental-features = nix-command\nsubstituters =\n")
	program, err := realProgram()
	s.must(err)
	s.must(os.WriteFile(s.at("bin/troupe"), program, 0o755)) // where any user finds it
	if uid != os.Geteuid() {
		s.must(filepath.WalkDir(s.work, func(path string, _ os.DirEntry, err error) error {
			return errors.Join(err, os.Chown(path, uid, uid))
		}))
	}
	s.must(os.Chmod(s.work, 0o755))
	return s
}

// realProgram is troupe as people run it: the test program that is called so
// does more when it starts.
var realProgram = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "troupe-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir+"/troupe", ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(dir + "/troupe")
})

func (s *site) at(name string) string { return filepath.Join(s.work, name) }

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// write makes a file that is the site's user's.
func (s *site) write(name, text string) {
	s.t.Helper()
	s.must(os.WriteFile(s.at(name), []byte(text), 0o644))
	if s.uid != os.Geteuid() {
		s.must(os.Chown(s.at(name), s.uid, s.uid))
	}
}

func (s *site) read(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(s.at(name))
	s.must(err)
	return string(text)
}

// env is what programs here have; conf is whose settings.
func (s *site) env(conf string, more ...string) []string {
	env := []string{"PATH=" + s.at("bin") + ":" + os.Getenv("PATH"), "HOME=" + s.at("home"), "TMPDIR=" + s.at("tmp"), "NIX_CONF_DIR=" + s.at(conf),
		"NIX_STORE_DIR=" + s.at("store"), "NIX_STATE_DIR=" + s.at("var"), "NIX_LOG_DIR=" + s.at("log"), "NIX_DAEMON_SOCKET_PATH=" + s.at("socket"),
		"LC_ALL=C", "TERM=dumb", "GODEBUG=" + os.Getenv("GODEBUG"), "work=" + s.work, "USER=tester"}
	return append(env, more...)
}

func (s *site) command(env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Dir = env, s.work
	if s.uid != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(s.uid), Gid: uint32(s.uid)}}
	}
	return cmd
}

// client is a command of a client of the daemon.
func (s *site) client(script string) *exec.Cmd {
	return s.command(s.env("client", "NIX_REMOTE=unix://"+s.at("socket")), "sh", "-c", script)
}

// say runs a command and returns how it ended.
func (s *site) say(cmd *exec.Cmd) outcome {
	s.t.Helper()
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return outcome{out.String(), said.String(), cmd.ProcessState.ExitCode()}
}

// want runs a client's script, which must end well, and returns what it prints.
func (s *site) want(script string) string {
	s.t.Helper()
	o := s.say(s.client(script))
	if o.code != 0 {
		s.t.Fatalf("%s: exit code %d\n%s%s", script, o.code, o.stdout, o.stderr)
	}
	return strings.TrimSpace(o.stdout)
}

// expressions of Nix that tests build; those of a site have its busybox.
const expressions = `
let
  box = builtins.path { name = "box"; path = BOX; };
  d = name: script: derivation {
    inherit name; system = builtins.currentSystem; builder = "${box}/bin/busybox"; PATH = "${box}/bin";
    args = [ "sh" "-e" "-c" script ];
  };
in rec {
  leaf = d "leaf" "echo building leaf; echo leaf > $out";
  top = d "top" "echo building top; cat ${leaf} > $out; echo ${leaf} >> $out";
  tree = d "tree-1.0" "mkdir -p $out/bin $out/share; cp ${box}/bin/busybox $out/bin/tool; echo ${top} > $out/share/doc; cp $out/share/doc $out/share/copy";
  bad = d "bad" "echo the reason; exit 3";
  worse = d "worse" "echo another; exit 4";
  above = d "above" "cat ${bad} ${worse} > $out";
  silent = d "silent" "true";
  endless = d "endless" "echo begun; sleep 98765 & sleep 98765";
  gated = d "gated" "echo begun; sleep 0.7; echo ends; echo > $out";
  beside = d "beside" "sleep 0.5; echo > $out";
  many = map (n: d "many-${toString n}" "sleep 0.05; echo ${toString n} > $out") (builtins.genList (n: n) 20);
  slow = map (n: d "slow-${toString n}" "sleep 1; echo ${toString n} > $out") (builtins.genList (n: n) 6);
}
`

// addExpressions writes them to graph.nix.
func (s *site) addExpressions() {
	s.t.Helper()
	if _, err := exec.LookPath("busybox"); err != nil {
		lacking(s.t, "a static busybox")
	}
	s.must(busyboxTree(s.at("box")))
	for _, name := range []string{"cp", "true", "date"} {
		s.must(os.Symlink("busybox", s.at("box/bin/"+name)))
	}
	s.write("graph.nix", strings.ReplaceAll(expressions, "BOX", s.at("box")))
}

// running is a daemon.
type running struct {
	*site
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{} // closed when it has ended

	notices chan string // that it gives the service manager
}

// daemon starts ours, and returns when clients may come.
func (s *site) daemon(args ...string) *running {
	s.t.Helper()
	r := s.start(s.env("daemon"), append([]string{"troupe", "daemon", "--socket", s.at("socket")}, args...)...)
	r.hears("READY=1")
	return r
}

// start starts a daemon whose service manager we are.
func (s *site) start(env []string, args ...string) *running {
	s.t.Helper()
	r := &running{site: s, done: make(chan struct{}), notices: make(chan string, 1000)}
	name := s.at("notify-" + strconv.Itoa(int(time.Now().UnixNano()%1e9)))
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	s.must(err)
	s.must(os.Chmod(name, 0o666))
	go r.listen(notify)
	r.log, err = os.Create(name + ".log")
	s.must(err)
	program := args[0]
	if program == "troupe" {
		program = s.at("bin/troupe")
	}
	r.cmd = s.command(append(env, "NOTIFY_SOCKET="+name), program, args[1:]...)
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	s.must(r.cmd.Start())
	go func() {
		r.cmd.Wait() // the exit code says it
		close(r.done)
	}()
	s.t.Cleanup(func() {
		r.cmd.Process.Kill() // which may have ended
		<-r.done
		notify.Close()
		r.log.Close()
		if s.t.Failed() {
			s.t.Logf("the daemon said:\n%s", r.said())
		}
	})
	return r
}

func (r *running) listen(notify *net.UnixConn) {
	b := make([]byte, 1<<16)
	for {
		n, err := notify.Read(b)
		if err != nil {
			return
		}
		for line := range strings.Lines(string(b[:n])) {
			select {
			case r.notices <- strings.TrimSpace(line):
			default: // nobody is interested in so many
			}
		}
	}
}

func (r *running) said() string {
	text, err := os.ReadFile(r.log.Name())
	r.must(err)
	return string(text)
}

// longEnough is how long a test waits for what should come soon.
const longEnough = time.Minute

// hears waits for a notice that begins so.
func (r *running) hears(prefix string) string {
	r.t.Helper()
	late := time.After(longEnough)
	for {
		select {
		case n := <-r.notices:
			if strings.HasPrefix(n, prefix) {
				return n
			}
		case <-r.done:
			r.t.Fatalf("it ended before %s: %d\n%s", prefix, r.cmd.ProcessState.ExitCode(), r.said())
		case <-late:
			r.t.Fatalf("no %s\n%s", prefix, r.said())
		}
	}
}

// ends waits for its end and returns the exit code.
func (r *running) ends() int {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(longEnough):
		r.t.Fatalf("it does not end\n%s", r.said())
	}
	return r.cmd.ProcessState.ExitCode()
}

// stop asks it to end, which it must do well, and looks for what is left.
func (r *running) stop() {
	r.t.Helper()
	r.must(r.cmd.Process.Signal(unix.SIGTERM))
	if code := r.ends(); code != 0 {
		r.t.Errorf("exit code %d\n%s", code, r.said())
	}
	r.lookForRest()
}

// spareBoxes is how many boxes of builds a daemon keeps for later ones at most.
const spareBoxes = 16

// lookForRest reports what is left of builds, beside what a daemon that runs keeps
// for later ones.
func (s *site) lookForRest() {
	s.t.Helper()
	soon(s.t, "processes are left: ", func() string { return strings.Join(s.processes(), ", ") })
	soon(s.t, "", func() (left string) {
		spare := 0
		if len(s.running()) > 0 {
			spare = spareBoxes
		}
		for dir, may := range map[string]int{"var/builds": spare, "store/.troupe-staging/roots": spare, "tmp": 0} {
			names := slices.DeleteFunc(namesIn(s.at(dir)), func(name string) bool {
				return strings.HasPrefix(name, "root-") && spare > 0 // which builds of one daemon share
			})
			if len(names) > may {
				left += fmt.Sprintf("%s has %q\n", dir, names)
			}
		}
		return left
	})
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), s.work) {
		s.t.Errorf("mounts are left (%v):\n%s", err, mounts)
	}
}

// running are the daemons of this site.
func (s *site) running() (found []string) {
	for _, pid := range namesIn("/proc") {
		if exe, err := os.Readlink("/proc/" + pid + "/exe"); err == nil && exe == s.at("bin/troupe") {
			found = append(found, pid)
		}
	}
	return found
}

// soon waits until there is nothing to complain about.
func soon(t *testing.T, what string, complaint func() string) {
	t.Helper()
	text := ""
	for began := time.Now(); time.Since(began) < longEnough; time.Sleep(10 * time.Millisecond) {
		if text = complaint(); text == "" {
			return
		}
	}
	t.Errorf("%s%s", what, text)
}

// processes are builders of this site.
func (s *site) processes() (found []string) {
	for _, pid := range namesIn("/proc") {
		env, err := os.ReadFile("/proc/" + pid + "/environ")
		if err != nil || !bytes.Contains(env, []byte("NIX_STORE="+s.at("store"))) {
			continue
		}
		found = append(found, pid)
	}
	return found
}

// builders waits until some builders run.
func (s *site) builders() {
	s.t.Helper()
	soon(s.t, "", func() string {
		if len(s.processes()) == 0 {
			return "no builder runs"
		}
		return ""
	})
}

// lines collects what a program writes, and can be waited for.
type lines struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) await(t *testing.T, text string) {
	t.Helper()
	soon(t, "", func() string {
		if said := l.String(); !strings.Contains(said, text) {
			return "nobody says '" + text + "': " + said
		}
		return ""
	})
}
