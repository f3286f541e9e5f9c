package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A sandbox that a build had is another's after it. That one sees what it would
// see in one of its own.
func TestNothingOfABuildIsInTheNext(t *testing.T) {
	needBuilds(t)
	work := tempDir(t)
	s := newTestStore(t, work, filepath.Join(work, "root"), "--option", "sandbox", "true", "--option", "max-jobs", "1")
	s.addBusybox(work)
	look := "cd /; { find /tmp /build /nix/store -maxdepth 1 | sort; stat -c '%n %a %u %g %s' /tmp /build /nix/store; cat /etc/passwd /build/.[!.]* 2>/dev/null; stat -c '%n has %Y' /tmp /build /nix/store; } > $out; "
	attack := "mkfifo /tmp/pipe; ln $0 /tmp/self; busybox setsid sleep 1000 < /dev/null & " +
		"busybox unshare -r -m sh -c 'for p in /nix/store/*; do [ $p = $out ] && continue; umount -l $p; mount -o remount,rw $p; rmdir $p; mv $p /tmp; done; " +
		"mount --bind /nix/store /tmp && rm -f /tmp/*-busybox; echo planted > /etc/passwd; mount -t tmpfs none /build; mkdir /build/left' ; " +
		"d=/build/left/deep; for i in $(seq 200); do d=$d/d; done; mkdir -p $d; touch -d '1980-01-01 00:00' /nix/store/* $d; "
	leave := "{ " + attack + "} > /dev/null 2>&1; echo x > /tmp/left; mkdir -p /build/left/.x; echo y > /build/.hidden; ln -s / /tmp/link; mkdir /nix/store/left; echo z > /nix/store/left/z; " +
		"chmod 000 /build/left /nix/store/left; chmod 777 /build /nix/store 2>/dev/null; " +
		"true"
	age := "touch -d '1980-01-01 00:00' /build /nix/store /tmp 2>/dev/null; true" // which what is left would undo when it is removed
	var last *recipe
	for _, name := range []string{"a", "b", "c", "d"} {
		r := &recipe{name: name, script: look + leave}
		if name == "b" || name == "d" { // the box that b had is taken for c or d
			r.script = look + age
		}
		if last != nil {
			r.inputs = []*recipe{last}
		}
		last = s.write(work, r)
	}
	s.want(0, "build", last.file)
	for _, name := range []string{"a", "b", "c", "d"} {
		got := read(t, s, name, last)
		for _, trace := range []string{"left", "hidden", "/tmp/", "planted"} {
			if strings.Contains(got, trace) {
				t.Errorf("'%s' has seen\n%s", name, got)
			}
		}
		if strings.Contains(got, " has 3155") { // seconds in 1980
			t.Errorf("the times of directories that '%s' has seen are another's:\n%s", name, got)
		}
		if !strings.Contains(got, "\n/build 700 ") || !strings.Contains(got, "\n/nix/store 1775 ") {
			t.Errorf("'%s' has seen\n%s", name, got)
		}
	}
}

func read(t *testing.T, s *testStore, name string, r *recipe) string {
	t.Helper()
	for ; r.name != name; r = r.inputs[0] {
	}
	b, err := os.ReadFile(s.layout().RealPath(r.paths["out"]))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
