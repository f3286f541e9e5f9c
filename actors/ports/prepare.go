package ports

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"troupe/messages"
	"troupe/sandbox"
	"troupe/sandbox/environment"
	"troupe/sandbox/linux"
	"troupe/storage/buildlog"
	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// make prepares a build. What it made before it fails is removed when the build
// is discarded.
func (p *Builds) make(b *build, m *messages.PrepareBuild) (err error) {
	if err := p.read(b, m); err != nil {
		return err
	}
	boxed, err := sandbox.Wanted(b.policy.Sandbox, b.options, p.s.Layout.Dir.Join(b.path))
	if err != nil {
		return inputError{err}
	}
	if err := p.clearOutputs(b, boxed); err != nil {
		return err
	}
	if err := p.makeDirs(b, boxed); err != nil {
		return err
	}
	if err := p.specify(b, boxed); err != nil {
		return err
	}
	if b.policy.KeepLog {
		b.log, err = buildlog.Create(p.s.Layout.LogDir, b.path)
	}
	return err
}

// read reads what is to be built, and what it needs.
func (p *Builds) read(b *build, m *messages.PrepareBuild) (err error) {
	if b.policy, err = p.s.PolicyOf(m.Settings); err != nil {
		return err
	}
	if b.drv, err = p.s.ReadDerivation(b.path); err != nil {
		return err
	}
	dir := p.s.Layout.Dir
	if b.options, err = b.drv.Options(dir); err != nil {
		return inputError{err}
	}
	b.inputs = inputs{of: dir.Join(b.path), direct: m.Inputs, db: p.s.DB}
	return b.inputs.check()
}

// clearOutputs removes what lies at the outputs' places and is not valid: the
// goal holds their locks.
func (p *Builds) clearOutputs(b *build, boxed bool) error {
	if err := p.findValid(b); err != nil {
		return err
	}
	b.reused, b.redirected = map[string]bool{}, map[string]storepath.Path{}
	for _, o := range b.drv.Outputs {
		at, valid := b.valid[o.Name]
		b.reused[o.Name] = valid && b.mode != messages.Check && !slices.Contains(b.replace, at)
		if valid && !boxed || o.Path.IsZero() {
			if err := p.redirect(b, o.Name); err != nil {
				return err
			}
		}
		if place := b.place(o); !valid || place != o.Path {
			if _, err := localstore.Remove(p.s.Layout.RealPath(place)); err != nil {
				return err
			}
		}
	}
	return nil
}

// findValid notes which outputs are valid, and where.
func (p *Builds) findValid(b *build) error {
	b.valid = map[string]storepath.Path{}
	known, err := p.s.KnownOutputs(b.drv)
	if err != nil {
		return err
	}
	for _, o := range known {
		valid, err := p.s.DB.Valid(o.Path)
		if err != nil {
			return err
		}
		if valid {
			b.valid[o.Name] = o.Path
		}
	}
	return nil
}

// redirect gives an output another place, which no collector takes for a leftover.
func (p *Builds) redirect(b *build, output string) (err error) {
	if b.redirected[output], err = p.otherPlace(b, output); err != nil {
		return err
	}
	return p.s.Roots.Add(string(b.id), b.redirected[output])
}

// otherPlace is where an output is made that has no place of its own. It is Nix's
// choice, and nobody else's.
func (p *Builds) otherPlace(b *build, output string) (storepath.Path, error) {
	var zero [32]byte
	none, err := nixhash.FromBytes(nixhash.SHA256, zero[:])
	if err != nil {
		return storepath.Path{}, err
	}
	return p.s.Layout.Dir.Make("rewrite:"+b.path.Base()+":name:"+output, none, derivation.OutputPathName(b.drv.Name, output))
}

// place is the store path that the builder knows an output by.
func (b *build) place(o derivation.Output) storepath.Path {
	if other, ok := b.redirected[o.Name]; ok {
		return other
	}
	return o.Path
}

// makeDirs makes the build directory, in one that only the service can enter,
// and what else of a sandbox can be written to.
func (p *Builds) makeDirs(b *build, boxed bool) (err error) {
	if boxed {
		if ready, err := p.takeBox(b); ready || err != nil {
			return err
		}
	}
	if b.dir, err = os.MkdirTemp(b.policy.BuildDir, "nix-build-"+b.path.Name()+"-"); err != nil {
		return err
	}
	if boxed {
		return p.makeBoxDirs(b)
	}
	// The builder itself has to reach its directory.
	if err := p.open(b); err != nil {
		return err
	}
	return os.Mkdir(b.hostBuild(), 0o700)
}

// open lets a builder without a sandbox come to its build directory. Whoever knows
// its name can come as far as to that, which is the builder's own; the names are
// chosen at random, and cannot be listed.
func (p *Builds) open(b *build) error {
	if b.policy.BuildDir == p.s.Layout.BuildsDir() {
		if err := makeMode(b.policy.BuildDir, 0o711); err != nil {
			return err
		}
	}
	return os.Chmod(b.dir, 0o711)
}

// makeMode changes a directory's mode where it is another.
func makeMode(dir string, mode uint32) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if st.Mode&0o7777 == mode {
		return nil
	}
	return os.Chmod(dir, os.FileMode(mode))
}

// hostBuild is the build directory as the host sees it.
func (b *build) hostBuild() string { return filepath.Join(b.dir, "build") }

// scratch is where the builder leaves an output, as the host sees it.
func (b *build) scratch(l localstore.Layout, o derivation.Output) string {
	if b.places.Store == "" {
		return l.RealPath(b.place(o))
	}
	return filepath.Join(b.places.Store, b.place(o).Base())
}

// specify makes the builder's view, writes its files and makes its root.
func (p *Builds) specify(b *build, boxed bool) error {
	if err := p.openNest(b); err != nil {
		return err
	}
	view, err := p.view(b, boxed)
	if err != nil {
		return inputError{err}
	}
	var visible []storepath.Path // which makes no difference without a sandbox
	if boxed {
		if visible, err = b.inputs.closure(); err != nil {
			return err
		}
	}
	b.spec, err = sandbox.Make(sandbox.Request{
		Policy: b.policy.Sandbox, StoreDir: p.s.Layout.Dir, Derivation: b.drv, Path: b.path, Options: b.options,
		Builder: view.Builder, Args: view.Args, Env: view.Env, HostBuild: b.hostBuild(), HostTmp: b.hostTmp(),
		Inputs: visible, Real: p.s.Layout.RealPath, Look: linux.Look, Follow: linux.Follow, Text: linux.Text,
		OutsideUID: b.user.UID, OutsideGID: b.user.GID, Groups: b.user.Groups, Shared: b.user.Shared,
	})
	if err != nil {
		return err
	}
	if b.spec.IsBuiltin() {
		b.spec.Env = nil // it gets all it needs by its own descriptor
	}
	if err := writeFiles(b.hostBuild(), view.Files, b.spec.Identity); err != nil {
		return err
	}
	if err := b.nest.listen(b.spec.Identity); err != nil {
		return err
	}
	if boxed {
		return p.makeBox(b)
	}
	return nil
}

func (p *Builds) view(b *build, boxed bool) (environment.View, error) {
	seen := b.hostBuild()
	if boxed {
		seen = b.policy.Sandbox.BuildDir
	}
	outputs := map[string]environment.Output{}
	for _, o := range b.drv.Outputs {
		outputs[o.Name] = environment.Output{Scratch: b.place(o), Final: o.Path}
	}
	cores := b.policy.Cores
	if cores == 0 {
		cores = uint(runtime.NumCPU())
	}
	remote := ""
	if b.nest != nil {
		remote = "unix://" + seen + "/" + nestSocket
	}
	return environment.Make(environment.Request{
		Dir: p.s.Layout.Dir, Derivation: b.drv, Options: b.options, Outputs: outputs, BuildDir: seen, Cores: cores,
		HostEnv: b.policy.HostEnv, Remote: remote, Inputs: b.inputs.has, Store: storeFacts{p.s.DB, p.s},
	})
}

// storeFacts answers what exportReferencesGraph asks.
type storeFacts struct {
	db *validity.DB
	s  Services
}

func (f storeFacts) PathInfo(q storepath.Path) (environment.PathInfo, error) {
	info, ok, err := f.db.Get(q)
	if err == nil && !ok {
		err = fmt.Errorf("path '%s' is not valid", f.s.Layout.Dir.Join(q))
	}
	return environment.PathInfo{NarHash: info.NarHash, NarSize: info.NarSize, References: info.References, CA: info.CA}, err
}

func (f storeFacts) DerivationOutputs(q storepath.Path) ([]storepath.Path, error) {
	drv, err := f.s.ReadDerivation(q)
	if err != nil {
		return nil, err
	}
	known, err := f.s.KnownOutputs(drv)
	if err != nil {
		return nil, err
	}
	paths := make([]storepath.Path, len(known))
	for i, o := range known {
		if paths[i] = o.Path; o.Path.IsZero() {
			return nil, fmt.Errorf("output '%s' of '%s' was not built, so its path is not known", o.Name, f.s.Layout.Dir.Join(q))
		}
	}
	return paths, nil
}

// writeFiles writes what the builder finds in its directory and gives all of it
// to the builder. It goes by descriptors, though nobody else can be there yet.
func writeFiles(dir string, files []environment.File, id sandbox.Identity) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	for _, f := range files {
		if err := writeFile(fd, f, id); err != nil {
			return &os.PathError{Op: "write", Path: filepath.Join(dir, f.Name), Err: err}
		}
	}
	if !id.Change {
		return nil
	}
	return os.NewSyscallError("fchown", unix.Fchown(fd, id.OutsideUID, id.OutsideGID))
}

func writeFile(dirfd int, f environment.File, id sandbox.Identity) error {
	fd, err := unix.Openat(dirfd, f.Name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(f.Mode.Perm()))
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), f.Name)
	_, err = file.WriteString(f.Content)
	if err == nil && id.Change {
		err = unix.Fchown(fd, id.OutsideUID, id.OutsideGID)
	}
	return errors.Join(err, file.Close())
}
