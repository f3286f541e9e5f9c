package sandbox

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
)

// boxBuilder fills in what a root holds. It makes each directory once.
type boxBuilder struct {
	r    Request
	s    *Spec
	made map[string]bool // in the root
}

func (b *boxBuilder) build() error {
	b.identityFiles()
	b.devices()
	b.bind(b.r.HostTmp, "/tmp")
	b.store()
	b.bind(b.r.HostBuild, b.r.Policy.BuildDir)
	b.certificates()
	if err := b.hostPaths(); err != nil {
		return err
	}
	b.dir("/proc")
	b.mount(Mount{Kind: Proc, Target: "/proc"})
	return nil
}

func (b *boxBuilder) mount(m Mount) { b.s.Mounts = append(b.s.Mounts, m) }

// bind shows a directory of this build.
func (b *boxBuilder) bind(host, inside string) {
	b.dir(inside)
	b.mount(Mount{Kind: Bind, Source: host, Target: inside})
}

// dir makes a directory, and its parents where they are not there.
func (b *boxBuilder) dir(p string) {
	for _, d := range append(parents(p), p) {
		if !b.made[d] {
			b.made[d] = true
			b.s.Root.Dirs = append(b.s.Root.Dirs, Dir{Path: d, Mode: 0o755})
		}
	}
}

func (b *boxBuilder) file(p, content string) {
	b.dir(path.Dir(p))
	b.made[p] = true
	b.s.Root.Files = append(b.s.Root.Files, File{p, content})
}

func (b *boxBuilder) link(p, target string) {
	b.dir(path.Dir(p))
	b.made[p] = true
	b.s.Root.Links = append(b.s.Root.Links, Link{p, target})
}

func (b *boxBuilder) identityFiles() {
	id := b.s.Identity
	home := b.r.Policy.BuildDir
	b.file("/etc/passwd", fmt.Sprintf("root:x:0:0:Nix build user:%s:/noshell\nnixbld:x:%d:%d:Nix build user:%s:/noshell\nnobody:x:65534:65534:Nobody:/:/noshell\n",
		home, id.UID, id.GID, home))
	b.file("/etc/group", fmt.Sprintf("root:x:0:\nnixbld:!:%d:\nnogroup:x:65534:\n", id.GID))
	const hosts = "127.0.0.1 localhost\n::1 localhost\n" // only this machine
	if b.s.Spaces.Net {
		b.file("/etc/hosts", hosts)
		return
	}
	b.file("/etc/hosts", cmp.Or(b.r.Text("/etc/hosts"), hosts))
	b.file("/etc/nsswitch.conf", "hosts: files dns\nservices: files\n")
	b.file("/etc/resolv.conf", b.r.Text("/etc/resolv.conf"))
	b.file("/etc/services", b.r.Text("/etc/services"))
}

// certificates are shown, as Nix does, where Debian has them.
func (b *boxBuilder) certificates() {
	const inside = "/etc/ssl/certs/ca-certificates.crt"
	if b.s.Spaces.Net || b.r.Policy.Certificates == "" {
		return
	}
	for _, p := range b.r.Policy.Paths {
		if within(inside, path.Clean(p.Inside)) {
			return // the settings have others
		}
	}
	if file := b.r.Follow(b.r.Policy.Certificates); file != "" {
		b.file(inside, "")
		b.mount(Mount{Kind: Bind, Source: file, Target: inside, ReadOnly: true})
	}
}

// devices are those that builders are shown, kvm where the machine has it.
var devices = []string{"full", "null", "random", "tty", "urandom", "zero", "kvm"}

// Harmless reports whether a path is that of a device through which a builder
// reaches nobody.
func Harmless(path string) bool {
	name, ok := strings.CutPrefix(path, "/dev/")
	return ok && slices.Contains(devices, name)
}

// devices are the harmless ones; a terminal is the builder's own.
func (b *boxBuilder) devices() {
	names := slices.Clone(devices)
	if !b.r.Policy.KVM || !slices.Contains(b.r.Policy.Features, "kvm") {
		names = slices.DeleteFunc(names, func(n string) bool { return n == "kvm" })
	}
	for _, n := range names {
		b.file("/dev/"+n, "")
		b.mount(Mount{Kind: Bind, Source: "/dev/" + n, Target: "/dev/" + n})
	}
	b.link("/dev/fd", "/proc/self/fd")
	b.link("/dev/stdin", "/proc/self/fd/0")
	b.link("/dev/stdout", "/proc/self/fd/1")
	b.link("/dev/stderr", "/proc/self/fd/2")
	b.link("/dev/ptmx", "/dev/pts/ptmx")
	b.dir("/dev/shm")
	b.mount(Mount{Kind: Tmpfs, Target: "/dev/shm", Options: "size=" + b.r.Policy.ShmSize})
	b.dir("/dev/pts")
	b.mount(Mount{Kind: Devpts, Target: "/dev/pts", Options: "newinstance,mode=0620,ptmxmode=0666"})
}

// store shows the closure of the inputs, read-only, in a directory where the
// builder makes its outputs. A link is made again, as a mount would follow it.
func (b *boxBuilder) store() {
	dir := string(b.r.StoreDir)
	if within(dir, "/tmp") {
		for _, d := range append(parents(dir), dir)[1:] {
			b.s.Tmp.Dirs = append(b.s.Tmp.Dirs, Dir{d[len("/tmp"):], 0o755})
		}
	} else {
		b.dir(dir)
	}
	b.mount(Mount{Kind: Scratch, Target: dir})
	for _, p := range b.r.Inputs {
		real := b.r.Real(p)
		place := "/" + p.Base()
		switch found := b.r.Look(real); found.Kind {
		case Symlink:
			b.s.Store.Links = append(b.s.Store.Links, Link{place, found.Target})
			continue
		case Directory:
			b.s.Store.Dirs = append(b.s.Store.Dirs, Dir{place, 0o755})
		default:
			b.s.Store.Files = append(b.s.Store.Files, File{place, ""})
		}
		b.mount(Mount{Kind: Bind, Source: real, Target: dir + place, ReadOnly: true})
	}
}

// hostPaths shows what the settings let through; the derivation may only ask
// for what is among that.
func (b *boxBuilder) hostPaths() error {
	for _, p := range b.r.Options.ImpureHostDeps {
		if !slices.ContainsFunc(b.r.Policy.Paths, func(h HostPath) bool { return h.Inside == p }) {
			return fmt.Errorf("derivation '%s' requested impure path '%s', but it is not among 'sandbox-paths'", b.r.StoreDir.Join(b.r.Path), p)
		}
	}
	paths := b.r.Policy.Paths
	if b.s.IsBuiltin() {
		paths = slices.Concat(paths, b.r.Policy.Own)
	}
	for _, p := range paths {
		found := b.r.Look(p.Outside)
		switch {
		case found.Kind == Missing && p.Optional:
		case found.Kind == Missing:
			return fmt.Errorf("path '%s' of 'sandbox-paths' does not exist", p.Outside)
		default:
			if err := b.hostPath(p, found); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *boxBuilder) hostPath(p HostPath, found Found) error {
	inside := path.Clean(p.Inside)
	if within(inside, string(b.r.StoreDir)) {
		return b.storePath(p, found)
	}
	if within(inside, b.r.Policy.BuildDir) || within(inside, "/tmp") {
		return fmt.Errorf("path '%s' of 'sandbox-paths' is in a directory of the build's own", p.Inside)
	}
	switch found.Kind {
	case Symlink:
		b.link(inside, found.Target)
		return nil
	case Directory:
		b.dir(inside)
	default:
		if b.made[inside] {
			break
		}
		b.file(inside, "")
	}
	b.mount(Mount{Kind: Bind, Source: p.Outside, Target: inside})
	return nil
}

// storePath shows a path of the host as a store object: its mount point is in
// the build's own directory.
func (b *boxBuilder) storePath(p HostPath, found Found) error {
	object, rest, err := b.r.StoreDir.ParseInside(p.Inside)
	if err != nil || rest != "" {
		return fmt.Errorf("path '%s' of 'sandbox-paths' is in the store and no object of it", p.Inside)
	}
	if slices.Contains(b.r.Inputs, object) {
		return nil
	}
	place := "/" + object.Base()
	switch found.Kind {
	case Symlink:
		b.s.Store.Links = append(b.s.Store.Links, Link{place, found.Target})
		return nil
	case Directory:
		b.s.Store.Dirs = append(b.s.Store.Dirs, Dir{place, 0o755})
	default:
		b.s.Store.Files = append(b.s.Store.Files, File{place, ""})
	}
	b.mount(Mount{Kind: Bind, Source: p.Outside, Target: p.Inside, ReadOnly: true})
	return nil
}

func within(p, dir string) bool { return p == dir || len(p) > len(dir) && p[:len(dir)+1] == dir+"/" }
