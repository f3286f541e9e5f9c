package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// soaker is one of the clients of a soak.
type soaker struct {
	*soak
	rng  *rand.Rand
	who  string // its name
	dir  string
	held []built // rooted, the oldest first
	n    int
}

// built is what a client has a root of.
type built struct{ link, gen, attr string }

// client does one thing after another until the soak ends.
func (k *soak) soaker(n int) {
	c := &soaker{soak: k, rng: rand.New(rand.NewPCG(k.seed, uint64(n))), who: fmt.Sprint(n), dir: k.at(fmt.Sprint("client-", n))}
	does := []func(){c.buildRooted, c.buildRooted, c.buildRooted, c.buildPlain, c.buildNew, c.buildOurs, c.buildOurs, c.fail, c.hand, c.add, c.check}
	for k.ctx.Err() == nil && !k.t.Failed() {
		does[c.rng.IntN(len(does))]()
		c.n++
	}
}

// try runs a script, which a third of the time is killed on its way. ok is false
// then; whoever is not killed has to end with the code given.
func (c *soaker) try(what string, code int, script string) (out string, ok bool) {
	cmd := c.running.client(script)
	cmd.Dir, cmd.Env = c.dir, append(cmd.Env, "TMPDIR="+c.dir) // where it leaves what it leaves when it is killed
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = withGroup(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		c.t.Error(err)
		return "", false
	}
	killed := make(chan bool, 1)
	if c.rng.IntN(3) == 0 {
		after := time.Duration(c.rng.IntN(600)) * time.Millisecond
		timer := time.AfterFunc(after, func() {
			killed <- true
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // which may have ended
		})
		defer timer.Stop()
	}
	err := cmd.Wait()
	select {
	case <-killed:
		c.count("killed: " + what)
		return "", false
	default:
	}
	c.count(what)
	if got := cmd.ProcessState.ExitCode(); got != code {
		c.t.Errorf("client %s: %s: %v, and not %d\n%s%s", c.who, script, err, code, stdout.String(), stderr.String())
		return "", false
	}
	return strings.TrimSpace(stdout.String()) + "\n" + stderr.String(), true
}

func withGroup(attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	if attr == nil {
		attr = &syscall.SysProcAttr{}
	}
	attr.Setpgid = true
	return attr
}

// choose is an expression's arguments, and what they mean. Most are of now, others
// of a while ago: what was collected is built again.
func (c *soaker) choose() (args, gen, attr string) {
	now := c.gen.Load()
	gen = fmt.Sprint(now - c.rng.Int64N(min(now, 3)+1))
	attr = []string{"a", "b", "c", "low", "own"}[c.rng.IntN(5)]
	return fmt.Sprintf("../soak.nix --argstr gen %s --argstr who %s -A %s", gen, c.who, attr), gen, attr
}

// holds compares what lies at a path that is kept.
func (c *soaker) holds(path, gen, attr string) {
	out, err := exec.Command("cat", path).CombinedOutput()
	if err != nil || string(out) != soakText(gen, c.who, attr) {
		c.t.Errorf("client %s: %s of generation %s at %s holds %q (%v)", c.who, attr, gen, path, out, err)
	}
}

// buildRooted builds and keeps.
func (c *soaker) buildRooted() {
	args, gen, attr := c.choose()
	link := filepath.Join(c.dir, fmt.Sprint("result-", c.n))
	if _, ok := c.try("nix-build", 0, "nix-build "+args+" -o "+link); !ok {
		return
	}
	c.holds(link, gen, attr)
	if c.held = append(c.held, built{link, gen, attr}); len(c.held) > 3 {
		c.holds(c.held[0].link, c.held[0].gen, c.held[0].attr) // it is still so
		c.try("rm", 0, "rm "+c.held[0].link)
		c.held = c.held[1:]
	}
}

// buildPlain builds what may be collected at once.
func (c *soaker) buildPlain() {
	args, _, _ := c.choose()
	c.try("nix-build without a root", 0, "nix-build --no-out-link "+args)
}

func (c *soaker) buildNew() {
	args, _, _ := c.choose()
	c.try("nix build", 0, "nix build --no-link -f "+args[:strings.Index(args, " -A")]+args[strings.Index(args, "-A")+2:])
}

// buildOurs builds by our own command.
func (c *soaker) buildOurs() {
	args, gen, attr := c.choose()
	link := fmt.Sprint("drv-", c.n)
	if _, ok := c.try("nix-instantiate", 0, "nix-instantiate --add-root "+link+" --indirect "+args); !ok {
		return
	}
	if _, ok := c.try("troupe build", 0, "troupe build $(readlink "+link+")"); !ok {
		return
	}
	if out, ok := c.try("nix-store --realise", 0, "nix-store --realise --add-root out-"+link+" --indirect "+link); ok {
		path, _, _ := strings.Cut(out, "\n")
		c.holds(path, gen, attr)
	}
	c.try("rm", 0, "rm -f "+link+" out-"+link)
}

// fail builds what fails, which must fail as it does.
func (c *soaker) fail() {
	args, _, _ := c.choose()
	args = args[:strings.Index(args, "-A")] + "-A bad"
	if out, ok := c.try("a failure", 1, "nix-build --no-out-link "+args); ok && !strings.Contains(out, "failed with exit code 3") {
		c.t.Errorf("client %s: %s", c.who, out)
	}
}

// hand exports what it has and imports it again.
func (c *soaker) hand() {
	if len(c.held) == 0 {
		return
	}
	link := c.held[0].link
	c.try("export and import", 0, "nix-store --export $(nix-store -qR "+link+") > exported && nix-store --import < exported > imported && rm exported imported")
}

func (c *soaker) add() {
	c.try("add", 0, fmt.Sprintf("echo %d > added && nix-store --add added && troupe store add added", c.rng.IntN(5)))
}

// check builds again what it has, if its path does not depend on that.
func (c *soaker) check() {
	for _, b := range c.held {
		if b.attr == "a" || b.attr == "low" {
			c.try("check", 0, fmt.Sprintf("nix-build --check --no-out-link ../soak.nix --argstr gen %s --argstr who %s -A %s", b.gen, c.who, b.attr))
			return
		}
	}
}

// collect collects as fast as it can, with either's command.
func (k *soak) collect() {
	for n := 0; k.ctx.Err() == nil && !k.t.Failed(); n++ {
		command := []string{"nix-store --gc", "troupe gc", "nix-store --gc --max-freed 100000"}[n%3]
		if o := k.say(k.running.client(command)); o.code != 0 {
			k.t.Errorf("%s: %+v", command, o)
		}
		k.count("collections")
	}
}
