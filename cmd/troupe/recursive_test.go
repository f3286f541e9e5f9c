package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// nested are derivations whose builders are clients of the daemon themselves.
// What they do is in the script, which fails where anything is not as it should be.
const nested = `
{ salt, floating ? false, feature ? "recursive-nix", script ? "" }:
let
  box = builtins.path { name = "box"; path = BOX; };
  ca = if floating then { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; } else { };
in derivation ({
  name = "outer-${salt}"; system = builtins.currentSystem; builder = "${box}/bin/busybox"; inherit salt box;
  PATH = "${box}/bin:/usr/bin"; requiredSystemFeatures = [ feature ];
  dummy = builtins.toFile "dummy" "bla";
  unreachable = builtins.getEnv "unreachable"; # without context
  NIX_STORE_DIR = builtins.storeDir;
  NIX_CONFIG = "experimental-features = nix-command ca-derivations";
  inner = ''
    { box, salt, dep }: derivation ({
      name = "inner-${salt}"; system = builtins.currentSystem; builder = "''${box}/bin/busybox"; PATH = "''${box}/bin";
      args = [ "sh" "-e" "-c" "echo inner ''${dep} > $out" ];
    } // (if ${builtins.toJSON floating} then
      { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; } else { }))
  '';
  passAsFile = [ "inner" "script" ];
  script = if script != "" then script else builtins.readFile ./outer.sh;
  args = [ "sh" "-e" "-c" ''
    export HOME=$PWD NIX_STATE_DIR=$PWD/state NIX_LOG_DIR=$PWD/log
    . "$scriptPath"
  '' ];
} // ca)
`

// outer is what a builder does that asks for a build.
const outer = `
mkdir $out
[ "$NIX_REMOTE" = unix://$NIX_BUILD_TOP/.nix-socket ]
nix-store --check-validity $dummy

# What it was not given is not there, whatever it asks for.
if [ -e $unreachable ]; then echo it is in the sandbox; exit 1; fi
if nix-store --check-validity $unreachable; then exit 1; fi
if nix-store --realise $unreachable; then exit 1; fi
if nix-store --dump $unreachable; then exit 1; fi
if nix-instantiate -E "derivation { name = \"thief\"; system = \"$salt\"; builder = \"x\";
    src = builtins.appendContext \"$unreachable\" { \"$unreachable\".path = true; }; }"; then exit 1; fi
nix path-info --all > all
if grep -q unreachable all; then exit 1; fi

# What it adds, it sees.
echo "of $salt" > foobar-$salt
added=$(nix-store --add foobar-$salt)
[ "$(cat $added)" = "of $salt" ]
if (echo more > $added) 2> /dev/null; then echo it can be written to; exit 1; fi
mkdir tree; echo in > tree/a; ln -s a tree/b
[ "$(cat $(nix-store --add tree)/b)" = in ]
nix-store --check-validity $added
ln -s $added $out/added

# What it builds, too, with what that refers to.
nix-build --no-out-link -E "import $innerPath { box = builtins.storePath $box; salt = \"$salt\"; dep = builtins.toFile \"dep-$salt\" \"x\"; }" > built
read inner dep < $(cat built)
[ "$inner" = inner ]
[ "$(cat $dep)" = x ]
ln -s $(cat built) $out/inner
`

func nestedSite(t *testing.T, uid int) *running {
	t.Helper()
	needNix(t)
	// The builders run Debian's Nix.
	conf := "sandbox = true\nexperimental-features = recursive-nix ca-derivations\nsandbox-paths = /usr /bin /lib"
	if _, err := os.Stat("/lib64"); err == nil {
		conf += " /lib64"
	}
	s := newSite(t, uid, conf)
	s.addExpressions()
	s.write("nested.nix", strings.ReplaceAll(nested, "BOX", s.at("box")))
	s.write("outer.sh", outer)
	s.write("client/nix.conf", "experimental-features = nix-command ca-derivations\nsubstituters =\n")
	s.write("unreachable", "a secret")
	r := s.daemon()
	return r
}

const buildNested = "export unreachable=$(nix-store --add unreachable); exec nix-build --no-out-link nested.nix --argstr salt "

// TestRecursive builds, two at a time on two slots, what builds others, in a
// sandbox.
func TestRecursive(t *testing.T) {
	for _, as := range []struct {
		name  string
		uid   int
		which []string
	}{
		{"root", 0, []string{"a --arg floating false", "b --arg floating true"}},
		{"user", nobodyUID, []string{"c"}},
	} {
		t.Run(as.name, func(t *testing.T) {
			r := nestedSite(t, as.uid)
			r.buildNested(as.which...)
			r.stop()
		})
	}
}

// buildNested builds outer ones at the same time.
func (r *running) buildNested(which ...string) {
	r.t.Helper()
	ends := make(chan outcome)
	for _, salt := range which {
		cmd := r.client(buildNested + salt)
		go func() { ends <- r.say(cmd) }()
	}
	for range which {
		if o := <-ends; o.code != 0 {
			r.t.Errorf("%+v", o)
		} else {
			r.lookAtNested(strings.TrimSpace(o.stdout))
		}
	}
}

// lookAtNested looks at what an outer build refers to.
func (s *site) lookAtNested(path string) {
	s.t.Helper()
	salt := path[strings.LastIndex(path, "-")+1:]
	closure := strings.Fields(s.want("nix-store --query --requisites " + path))
	for _, name := range []string{"foobar-" + salt, "inner-" + salt, "dep-" + salt} {
		if !slices.ContainsFunc(closure, func(p string) bool { return strings.HasSuffix(p, "-"+name) }) {
			s.t.Errorf("%s does not refer to %s:\n%s", path, name, strings.Join(closure, "\n"))
		}
	}
	if strings.Contains(strings.Join(closure, " "), "unreachable") {
		s.t.Errorf("it refers to what it does not see:\n%s", strings.Join(closure, "\n"))
	}
	s.want("nix-store --verify-path " + path)
}

// TestRecursiveIsOff: without the experimental feature no builder has a socket.
func TestRecursiveIsOff(t *testing.T) {
	needNix(t)
	s := newSite(t, os.Geteuid(), "sandbox = true\nextra-system-features = recursive-nix")
	s.addExpressions()
	s.write("nested.nix", strings.ReplaceAll(nested, "BOX", s.at("box")))
	r := s.daemon()
	o := r.say(r.client("nix-build --no-out-link nested.nix --argstr salt off --argstr script exit"))
	const want = "experimental Nix feature 'recursive-nix' is disabled; add '--extra-experimental-features recursive-nix' to enable it"
	if o.code == 0 || !strings.Contains(o.stderr, want) {
		t.Errorf("%+v", o)
	}
	r.stop()
}

// TestRecursiveEnds: what a builder waits for ends with it, and what it has added
// stays until then, collector or not.
func TestRecursiveEnds(t *testing.T) {
	r := nestedSite(t, os.Geteuid())
	r.write("waits.sh", `
echo kept > kept-of-it
added=$(nix-store --add kept-of-it)
echo added it
while [ ! -e $NIX_BUILD_TOP/go ]; do nix-store --check-validity $added; sleep 0.05; [ -e $added ] && read x < $added && [ "$x" = kept ]; [ -z "$salt" ] || break; done
nix-build --no-out-link -E "derivation { name = \"slow\"; system = builtins.currentSystem; builder = \"$box/bin/busybox\";
    args = [ \"sleep\" \"98765\" ]; src = builtins.storePath $box; }"
`)
	cmd := r.client(buildNested + "waits --argstr script \"$(cat waits.sh)\"")
	said := &lines{}
	cmd.Stderr = said
	r.must(cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	said.await(t, "added it")
	r.want("nix-store --gc > gone; ! grep kept-of-it gone")
	soon(t, "", func() string {
		for _, pid := range r.processes() {
			if args, _ := os.ReadFile("/proc/" + pid + "/cmdline"); strings.HasSuffix(string(args), "\x00sleep\x0098765\x00") {
				return ""
			}
		}
		return "the inner build does not run"
	})
	r.must(cmd.Process.Signal(os.Interrupt))
	var exit *exec.ExitError
	if err := cmd.Wait(); err == nil {
		t.Errorf("it ended well: %v", exit)
	}
	soon(t, "builders are left: ", func() string { return strings.Join(r.processes(), ", ") })
	soon(t, "", func() string {
		if !strings.Contains(r.want("nix-store --gc --print-dead"), "kept-of-it") {
			return "what was added is kept for nobody"
		}
		return ""
	})
	r.stop()
}
