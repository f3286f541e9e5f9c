package linux

import (
	"path"
	"strconv"
	"strings"

	"troupe/sandbox"
	"troupe/sandbox/linux/early"
)

// program is what a stage does for a spec, step by step.
func program(s sandbox.Spec, at Places) []early.Step {
	p := &steps{}
	if s.IsBuiltin() {
		p.add("close-from", strconv.Itoa(early.ExtraFD+1))
	} else {
		p.add("close-from", strconv.Itoa(early.ExtraFD))
	}
	if s.Spaces.Mount {
		p.add("private")
		p.add("hide-cgroup")
	}
	if s.Spaces.Net {
		p.add("loopback")
	}
	if s.Spaces.UTS {
		p.add("hostname", s.Host, s.Domain)
	}
	if s.Boxed {
		p.root(s, at)
	}
	p.add("umask", strconv.Itoa(0o022))
	p.add("no-core")
	if s.Personality != 0 {
		p.add("personality", strconv.Itoa(s.Personality))
	}
	if s.OwnSockets && scopesSockets() {
		p.add("own-sockets") // while it may without giving up new privileges
	}
	p.identity(s.Identity)
	p.add("chdir", s.Dir)    // as the builder: the directory is its own
	p.add("die-with-parent") // after the change of user, which takes it back
	if !s.AllowSetuid {
		p.add("no-new-privileges")
	}
	if s.FilterSyscalls {
		p.add("seccomp")
	}
	if s.Spaces.User {
		p.add("drop-capabilities")
	}
	if s.IsBuiltin() {
		p.add("exec-self", early.BuiltinName, s.Builder)
		return p.list
	}
	p.add("exec", append(append([]string{s.Builder, strconv.Itoa(len(s.Args))}, s.Args...), s.Env...)...)
	return p.list
}

type steps struct{ list []early.Step }

func (p *steps) add(op string, args ...string) {
	p.list = append(p.list, early.Step{Op: op, Args: args})
}

// Places are where what a spec wants made has been made.
type Places struct {
	Root  string // of [sandbox.Spec.Root]
	Store string // of [sandbox.Spec.Store]
}

func (p *steps) root(s sandbox.Spec, at Places) {
	p.add("bind", at.Root, at.Root)
	store := readOnlyBelow(s.Mounts)
	for _, m := range s.Mounts {
		target := path.Join(at.Root, m.Target)
		switch m.Kind {
		case sandbox.Bind:
			p.add("bind", m.Source, target)
			if m.ReadOnly && !isBelow(m.Target, store) {
				p.add("read-only", target)
			}
		case sandbox.Scratch:
			p.add("bind", at.Store, target)
		case sandbox.Devpts:
			p.add("devpts", target, m.Options)
		default:
			p.add("mount", string(m.Kind), target, m.Options)
		}
	}
	if store != "" { // two calls in the place of one for each input
		p.add("read-only", path.Join(at.Root, store))
		p.add("writable-top", path.Join(at.Root, store))
	}
	p.add("read-only-top", at.Root)
	p.add("pivot", at.Root)
}

// readOnlyBelow is where the scratch store is mounted, if all that is mounted in it
// is read-only; else it is "".
func readOnlyBelow(mounts []sandbox.Mount) (store string) {
	for _, m := range mounts {
		if m.Kind == sandbox.Scratch {
			store = m.Target
		}
	}
	for _, m := range mounts {
		if isBelow(m.Target, store) && !m.ReadOnly {
			return ""
		}
	}
	return store
}

func isBelow(target, dir string) bool { return dir != "" && strings.HasPrefix(target, dir+"/") }

func (p *steps) identity(id sandbox.Identity) {
	if !id.Change {
		return
	}
	groups := []string{strconv.Itoa(id.GID), ""} // the second word: there are no others
	for _, g := range id.Groups {
		groups = append(groups, strconv.Itoa(g))
	}
	p.add("group", groups...)
	p.add("user", strconv.Itoa(id.UID))
}
