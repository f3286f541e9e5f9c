// Package sandbox says what one builder may see and do. [Make] is a pure
// function from the derivation and the settings; sandbox/linux makes it so.
package sandbox

import (
	"fmt"
	"strings"
)

// Spec is all that it takes to run one builder.
type Spec struct {
	Builder string   // as the builder's root has it; with [BuiltinPrefix] it is one of our own
	Args    []string // the first is the program's name
	Env     []string // NAME=VALUE, sorted
	Dir     string   // where it starts, as its root has it

	Identity Identity
	Spaces   Namespaces
	Host     string // host name, where it has its own
	Domain   string

	// Root is the directory that becomes the root; "" leaves the host's.
	Root   string
	Dirs   []Dir   // to be made in the root, parents first
	Files  []File  // to be written in the root
	Links  []Link  // to be made in the root
	Mounts []Mount // in order

	FilterSyscalls bool
	AllowSetuid    bool // programs may gain privileges
	Personality    int  // bits to add to the kernel's default
}

// BuiltinPrefix begins the builder of a derivation that this program builds
// itself.
const BuiltinPrefix = "builtin:"

// IsBuiltin reports whether the builder is one of our own.
func (s Spec) IsBuiltin() bool { return strings.HasPrefix(s.Builder, BuiltinPrefix) }

// Identity is who the builder is: inside its user namespace, and outside.
type Identity struct {
	UID, GID               int // as the builder sees them
	OutsideUID, OutsideGID int
	Groups                 []int // supplementary, as the builder sees them
	// Change says that the builder's user is another than the service's.
	Change bool
}

// Namespaces are those that the builder has to itself.
type Namespaces struct{ PID, Mount, Net, IPC, UTS, User bool }

// Dir is a directory in the root. Owned ones belong to the build user.
type Dir struct {
	Path  string
	Mode  uint32
	Owned bool
}

// File is a small file in the root.
type File struct{ Path, Content string }

// Link is a symbolic link in the root.
type Link struct{ Path, Target string }

// Mount is one mount in the root.
type Mount struct {
	Kind     MountKind
	Source   string // of a bind
	Target   string
	Options  string
	ReadOnly bool
}

// MountKind says what is mounted.
type MountKind string

const (
	Bind   MountKind = "bind"
	Proc   MountKind = "proc"
	Tmpfs  MountKind = "tmpfs"
	Devpts MountKind = "devpts"
)

// String renders the spec as text, one thing a line.
func (s Spec) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("builder %s %q", s.Builder, s.Args)
	for _, e := range s.Env {
		line("env %s", e)
	}
	line("dir %s", s.Dir)
	line("identity %d:%d outside %d:%d groups %v change %v", s.Identity.UID, s.Identity.GID,
		s.Identity.OutsideUID, s.Identity.OutsideGID, s.Identity.Groups, s.Identity.Change)
	line("namespaces %+v", s.Spaces)
	if s.Spaces.UTS {
		line("host %s %s", s.Host, s.Domain)
	}
	line("filter-syscalls %v allow-setuid %v personality %#x", s.FilterSyscalls, s.AllowSetuid, s.Personality)
	if s.Root == "" {
		return b.String()
	}
	line("root %s", s.Root)
	for _, d := range s.Dirs {
		line("mkdir %s %o owned=%v", d.Path, d.Mode, d.Owned)
	}
	for _, f := range s.Files {
		line("write %s %q", f.Path, f.Content)
	}
	for _, l := range s.Links {
		line("link %s -> %s", l.Path, l.Target)
	}
	for _, m := range s.Mounts {
		line("%s %s -> %s %q read-only=%v", m.Kind, m.Source, m.Target, m.Options, m.ReadOnly)
	}
	return b.String()
}
