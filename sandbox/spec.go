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

	// Boxed says that it has a root of its own: Root, which is the same for all
	// builds that see the same of the host and is read-only, with the mounts of
	// this build in it. Among those is the store, whose mount points are to be
	// made in a directory of this build.
	Boxed  bool
	Root   Tree
	Store  Tree
	Tmp    Tree    // in the build's own /tmp: mount points, for a store that lies there
	Mounts []Mount // in order; targets are below the root

	// OwnSockets says that abstract sockets of others, which a network namespace
	// would hide, cannot be connected to. Kernels before 6.12 cannot do that.
	OwnSockets     bool
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

// Tree is what is to be made in an empty directory.
type Tree struct {
	Dirs  []Dir // parents first
	Files []File
	Links []Link
}

// Dir is a directory.
type Dir struct {
	Path string
	Mode uint32
}

// File is a small file.
type File struct{ Path, Content string }

// Link is a symbolic link.
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
	Bind    MountKind = "bind"
	Scratch MountKind = "scratch" // the directory with the store's mount points
	Proc    MountKind = "proc"
	Tmpfs   MountKind = "tmpfs"
	Devpts  MountKind = "devpts"
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
	if !s.Boxed {
		return b.String()
	}
	line("own-sockets %v", s.OwnSockets)
	line("root")
	b.WriteString(s.Root.String())
	line("store")
	b.WriteString(s.Store.String())
	if len(s.Tmp.Dirs) > 0 {
		line("tmp")
		b.WriteString(s.Tmp.String())
	}
	line("mounts")
	for _, m := range s.Mounts {
		line("  %s %s -> %s %q read-only=%v", m.Kind, m.Source, m.Target, m.Options, m.ReadOnly)
	}
	return b.String()
}

// String renders the tree as text; trees that are made the same read the same.
func (t Tree) String() string {
	var b strings.Builder
	for _, d := range t.Dirs {
		fmt.Fprintf(&b, "  mkdir %s %o\n", d.Path, d.Mode)
	}
	for _, f := range t.Files {
		fmt.Fprintf(&b, "  write %s %q\n", f.Path, f.Content)
	}
	for _, l := range t.Links {
		fmt.Fprintf(&b, "  link %s -> %s\n", l.Path, l.Target)
	}
	return b.String()
}
