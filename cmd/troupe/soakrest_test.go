package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// rest is what a daemon has while nobody is there.
type rest struct {
	pss, threads int
	files        []string       // what its descriptors lead to
	goroutines   map[string]int // by who has begun them; known only of one that has ended
}

var anyNumber = regexp.MustCompile(`[0-9]+`)

func (r *running) rest() (found rest) {
	r.t.Helper()
	found.pss = r.pss()
	proc := fmt.Sprintf("/proc/%d/", r.cmd.Process.Pid)
	found.threads = len(namesIn(proc + "task"))
	for _, fd := range namesIn(proc + "fd") {
		to, err := os.Readlink(proc + "fd/" + fd)
		if err != nil {
			continue // it is closed
		}
		// The database opens what it likes, and a user's lock is held from its first
		// build on.
		switch {
		case strings.HasPrefix(to, r.at("var/")), strings.HasPrefix(to, "/run/troupe/users/"):
		case strings.HasPrefix(to, r.at("log/")): // the last log of nothing, which the next may be
			found.files = append(found.files, "a log")
		default:
			found.files = append(found.files, anyNumber.ReplaceAllString(to, "N"))
		}
	}
	slices.Sort(found.files)
	return found
}

// freshRest is what a daemon has that has served one client.
func (s *site) freshRest() rest {
	s.t.Helper()
	d := s.daemon()
	s.want("nix-build --no-out-link soak.nix --argstr gen none --argstr who none -A own")
	s.want("nix-store --gc")
	s.lookForRest()
	before := d.rest()
	before.goroutines = d.goroutines()
	return before
}

// goroutines ends a daemon, which says what they are.
func (r *running) goroutines() map[string]int {
	r.t.Helper()
	r.must(r.cmd.Process.Signal(unix.SIGQUIT))
	r.ends()
	found := map[string]int{}
	for g := range strings.SplitSeq(r.said(), "\n\n") {
		if !strings.HasPrefix(g, "goroutine ") {
			continue
		}
		from := "the program"
		if _, by, ok := strings.Cut(g, "created by "); ok {
			from, _, _ = strings.Cut(by, " ")
		}
		found[from]++
	}
	return found
}

// lookAtStore takes all roots away, and looks whether the store is whole, and
// empty after a collection.
func (k *soak) lookAtStore() {
	k.t.Helper()
	k.want("nix-store --verify --check-contents")
	k.want("rm -f client-*/result-* client-*/drv-* client-*/out-*; nix-store --gc")
	soon(k.t, "", func() string {
		if left := k.want("nix-store --gc > /dev/null; nix path-info --all"); left != "" {
			return "of dead clients there are left:\n" + left
		}
		return ""
	})
}

// lookAtRest compares what the daemon has with what it had when it was fresh.
func (k *soak) lookAtRest(before rest) {
	k.t.Helper()
	k.lookForRest()
	soon(k.t, "", func() string {
		if now := k.rest(); !slices.Equal(now.files, before.files) {
			return fmt.Sprintf("descriptors: %q, and before %q", now.files, before.files)
		}
		return ""
	})
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", k.cmd.Process.Pid))
	if err != nil || strings.Contains(string(mounts), k.work) {
		k.t.Errorf("the daemon has mounts (%v):\n%s", err, mounts)
	}
	if left := k.ofBuildUsers(); len(left) > 0 {
		k.t.Errorf("processes of build users are left: %q", left)
	}
	if left := namesIn(k.at("store/.troupe-staging")); len(left) > 1 { // the roots of sandboxes are looked at
		k.t.Errorf("staged: %q", left)
	}
	now := k.rest()
	k.t.Logf("%d KiB, and fresh %d; %d threads, and fresh %d", now.pss, before.pss, now.threads, before.threads)
	if now.pss > before.pss+mayGrow {
		k.t.Errorf("it has %d KiB, and had %d", now.pss, before.pss)
	}
	for from, n := range k.goroutines() {
		if n > before.goroutines[from]+goroutinesMore {
			k.t.Errorf("%d goroutines of %s, and before %d", n, from, before.goroutines[from])
		}
	}
	k.t.Logf("goroutines when it was fresh: %d", total(maps.Values(before.goroutines)))
}

// lookAtDecisions lets the machines decide again what eight clients had them decide, of
// which the flight recorder has the end at least. The daemon has ended.
func (k *soak) lookAtDecisions() {
	k.t.Helper()
	o := k.say(k.command(k.env("daemon"), k.at("bin/troupe"), "replay"))
	if o.code != 0 || !strings.Contains(o.stdout, " 0 actors differ") || strings.HasPrefix(o.stdout, "0 steps") {
		k.t.Errorf("replay: %+v", o)
	}
	k.t.Log(o.stdout, o.stderr)
}

// mayGrow is for what caches and the database hold, in KiB, and goroutinesMore for what
// the database does by itself.
const (
	mayGrow        = 48 << 10
	goroutinesMore = 3
)

func total(numbers func(func(int) bool)) (sum int) {
	for n := range numbers {
		sum += n
	}
	return sum
}

// ofBuildUsers are the processes of the users that builders run as.
func (s *site) ofBuildUsers() (found []string) {
	for _, pid := range namesIn("/proc") {
		var st unix.Stat_t
		if _, err := strconv.Atoi(pid); err != nil || unix.Stat("/proc/"+pid, &st) != nil {
			continue
		}
		if uid := int(st.Uid); uid >= s.uids[0] && uid < s.uids[1] {
			found = append(found, pid)
		}
	}
	return found
}
