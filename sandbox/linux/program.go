package linux

import (
	"path"
	"strconv"

	"troupe/sandbox"
	"troupe/sandbox/linux/early"
)

// program is what a stage does for a spec, step by step.
func program(s sandbox.Spec, at Places, filter []byte) []early.Step {
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
		p.add("seccomp", string(filter))
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
	for _, m := range s.Mounts {
		target := path.Join(at.Root, m.Target)
		switch m.Kind {
		case sandbox.Bind:
			p.add("bind", m.Source, target)
			if m.ReadOnly {
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
	p.add("read-only-top", at.Root)
	p.add("pivot", at.Root)
}

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
