package sandbox

import (
	"fmt"
	"path"
	"slices"
)

// boxBuilder fills in what a root holds. It makes each directory once.
type boxBuilder struct {
	r    Request
	s    *Spec
	made map[string]bool
}

func (b *boxBuilder) build() error {
	b.dir("/tmp", 0o1777)
	b.identityFiles()
	b.devices()
	b.store()
	b.own(b.r.Policy.BuildDir)
	b.s.Mounts = append(b.s.Mounts, Mount{Kind: Bind, Source: b.r.HostBuild, Target: b.r.Policy.BuildDir})
	if err := b.hostPaths(); err != nil {
		return err
	}
	b.dir("/proc", 0o555)
	b.s.Mounts = append(b.s.Mounts, Mount{Kind: Proc, Target: "/proc"})
	return nil
}

// dir makes a directory, and its parents where they are not there.
func (b *boxBuilder) dir(p string, mode uint32) {
	for _, d := range parents(p) {
		if !b.made[d] {
			b.made[d] = true
			b.s.Dirs = append(b.s.Dirs, Dir{Path: d, Mode: 0o755})
		}
	}
	if !b.made[p] {
		b.made[p] = true
		b.s.Dirs = append(b.s.Dirs, Dir{Path: p, Mode: mode})
	}
}

// own makes a directory that belongs to the build user.
func (b *boxBuilder) own(p string) {
	if b.made[p] {
		return
	}
	b.dir(p, 0o700)
	b.s.Dirs[len(b.s.Dirs)-1].Owned = true
}

// file writes a file.
func (b *boxBuilder) file(p, content string) {
	b.dir(path.Dir(p), 0o755)
	b.made[p] = true
	b.s.Files = append(b.s.Files, File{p, content})
}

// show lets the builder see a path of the host. A link is made again, as a
// mount would follow it.
func (b *boxBuilder) show(found Found, m Mount) {
	switch found.Kind {
	case Symlink:
		b.dir(path.Dir(m.Target), 0o755)
		b.made[m.Target] = true
		b.s.Links = append(b.s.Links, Link{m.Target, found.Target})
		return
	case Directory:
		b.dir(m.Target, 0o755)
	default:
		if !b.made[m.Target] {
			b.file(m.Target, "")
		}
	}
	b.s.Mounts = append(b.s.Mounts, m)
}

func (b *boxBuilder) identityFiles() {
	id := b.s.Identity
	b.file("/etc/passwd", fmt.Sprintf("root:x:0:0:Nix build user:%s:/noshell\nnixbld:x:%d:%d:Nix build user:%s:/noshell\nnobody:x:65534:65534:Nobody:/:/noshell\n",
		b.r.Policy.BuildDir, id.UID, id.GID, b.r.Policy.BuildDir))
	b.file("/etc/group", fmt.Sprintf("root:x:0:\nnixbld:!:%d:\nnogroup:x:65534:\n", id.GID))
	if b.s.Spaces.Net {
		b.file("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
		return
	}
	b.file("/etc/nsswitch.conf", "hosts: files dns\nservices: files\n")
	b.file("/etc/resolv.conf", b.r.Policy.Resolver)
	b.file("/etc/services", b.r.Policy.Services)
	b.file("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
}

// devices are the harmless ones; a terminal is the builder's own.
func (b *boxBuilder) devices() {
	names := []string{"full", "null", "random", "tty", "urandom", "zero"}
	if b.r.Policy.KVM && slices.Contains(b.r.Policy.Features, "kvm") {
		names = append(names, "kvm")
	}
	b.dir("/dev/shm", 0o1777)
	b.dir("/dev/pts", 0o755)
	for _, n := range names {
		b.show(Found{Kind: Other}, Mount{Kind: Bind, Source: "/dev/" + n, Target: "/dev/" + n})
	}
	b.s.Links = append(b.s.Links,
		Link{"/dev/fd", "/proc/self/fd"}, Link{"/dev/stdin", "/proc/self/fd/0"},
		Link{"/dev/stdout", "/proc/self/fd/1"}, Link{"/dev/stderr", "/proc/self/fd/2"},
		Link{"/dev/ptmx", "/dev/pts/ptmx"})
	b.s.Mounts = append(b.s.Mounts,
		Mount{Kind: Tmpfs, Target: "/dev/shm", Options: "size=" + b.r.Policy.ShmSize},
		Mount{Kind: Devpts, Target: "/dev/pts", Options: "newinstance,mode=0620"})
}

// store shows the closure of the inputs, read-only, in a directory where the
// builder makes its outputs.
func (b *boxBuilder) store() {
	dir := string(b.r.StoreDir)
	b.dir(dir, 0o1775)
	b.s.Dirs[len(b.s.Dirs)-1].Owned = true
	for _, p := range b.r.Inputs {
		target, real := b.r.StoreDir.Join(p), b.r.Real(p)
		b.show(b.r.Look(real), Mount{Kind: Bind, Source: real, Target: target, ReadOnly: true})
	}
}

// hostPaths shows what the settings and the derivation let through.
func (b *boxBuilder) hostPaths() error {
	for _, p := range b.r.Options.ImpureHostDeps {
		if !b.allowed(p) {
			return fmt.Errorf("derivation '%s' requested impure path '%s', but it was not in allowed-impure-host-deps", b.r.StoreDir.Join(b.r.Path), p)
		}
	}
	for _, p := range b.r.Policy.Paths {
		found := b.r.Look(p.Outside)
		if found.Kind == Missing && p.Optional {
			continue
		}
		if found.Kind == Missing {
			return fmt.Errorf("path '%s' of 'sandbox-paths' does not exist", p.Outside)
		}
		if b.made[p.Inside] && path.Dir(p.Inside) == "/dev" {
			continue // it is there already
		}
		b.show(found, Mount{Kind: Bind, Source: p.Outside, Target: p.Inside})
	}
	return nil
}

func (b *boxBuilder) allowed(p string) bool {
	return slices.ContainsFunc(b.r.Policy.Paths, func(h HostPath) bool { return h.Inside == p })
}
