package remote

import (
	"context"
	"fmt"
	"io"
	"slices"

	"troupe/actors/ports/remotestore"
	"troupe/messages/workerproto"
	"troupe/storage/addition"
	"troupe/storage/nar"
	"troupe/storage/references"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// upload sends the inputs that are not there.
func (b *machineBuild) upload(ctx context.Context) error {
	missing := without(b.Inputs, b.valid)
	if len(missing) == 0 {
		return nil
	}
	return b.sendMissing(ctx, missing)
}

// send sends what of some paths is not there.
func (b *machineBuild) send(ctx context.Context, paths []storepath.Path) error {
	valid, err := b.c.Valid(ctx, paths, b.Policy.Remote.Substitute)
	if err != nil {
		return err
	}
	return b.sendMissing(ctx, without(paths, valid))
}

func without(paths, others []storepath.Path) (rest []storepath.Path) {
	there := map[storepath.Path]bool{}
	for _, p := range others {
		there[p] = true
	}
	for _, p := range paths {
		if !there[p] {
			rest = append(rest, p)
		}
	}
	return rest
}

// sendMissing sends paths. What another build sends to the machine already is
// awaited and then looked for again.
func (b *machineBuild) sendMissing(ctx context.Context, missing []storepath.Path) error {
	for len(missing) > 0 {
		ours, theirs, sent := b.m.claim(missing)
		err := awaitAll(ctx, theirs) // those that were claimed before: nobody waits for us meanwhile but who came later
		if err == nil {
			err = b.put(ctx, ours)
		}
		sent()
		if err != nil {
			return err
		}
		if missing = without(missing, ours); len(missing) > 0 {
			valid, err := b.c.Valid(ctx, missing, false)
			if err != nil {
				return err
			}
			missing = without(missing, valid)
		}
	}
	return nil
}

// claim says which paths the caller is to send, until it calls sent, and what is
// closed when others have sent the rest.
func (m *machine) claim(paths []storepath.Path) (ours []storepath.Path, theirs []<-chan struct{}, sent func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	done := make(chan struct{})
	for _, p := range paths {
		if c := m.coming[p]; c != nil {
			theirs = append(theirs, c)
			continue
		}
		m.coming[p] = done
		ours = append(ours, p)
	}
	return ours, theirs, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, p := range ours {
			delete(m.coming, p)
		}
		close(done)
	}
}

func awaitAll(ctx context.Context, all []<-chan struct{}) error {
	for _, c := range all {
		select {
		case <-c:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// put sends paths, each after those that it refers to. The machine is not asked to
// look for signatures, which it does where it does not trust us.
func (b *machineBuild) put(ctx context.Context, paths []storepath.Path) error {
	if len(paths) == 0 {
		return nil
	}
	sorted, err := inOrder(paths, b.r.s.DB.Get)
	if err != nil {
		return err
	}
	objects := make([]remotestore.Object, len(sorted))
	for i, info := range sorted {
		real := b.r.s.Layout.RealPath(info.Path)
		objects[i] = remotestore.Object{Info: info, Archive: func(w io.Writer) error { return nar.Dump(nar.Within(ctx, w), real) }}
	}
	return b.c.Add(ctx, remotestore.Terms{DontCheckSigs: true}, objects...)
}

// inOrder has the records of paths, each after those that it refers to.
func inOrder(paths []storepath.Path, get func(storepath.Path) (validity.Info, bool, error)) ([]validity.Info, error) {
	infos, names := map[string]validity.Info{}, make([]string, len(paths))
	for i, p := range paths {
		info, ok, err := get(p)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, &validity.NotValidError{Path: p}
		}
		infos[p.Base()], names[i] = info, p.Base()
	}
	sorted, err := references.Sort(names, func(name string) (to []string) {
		for _, p := range infos[name].References {
			if p.Base() != name {
				to = append(to, p.Base())
			}
		}
		return to
	})
	all := make([]validity.Info, len(sorted))
	for i, name := range sorted {
		all[i] = infos[name]
	}
	return all, err
}

// download fetches the outputs, and notes where those lie that had no path before.
func (b *machineBuild) download(ctx context.Context, result *workerproto.BuildResult) error {
	paths, realised, err := b.outputs(result)
	if err != nil {
		return err
	}
	if err := b.r.s.Roots.Add(string(b.Work.Build), paths...); err != nil {
		return err
	}
	infos, err := inOrder(paths, func(p storepath.Path) (validity.Info, bool, error) { return b.c.Info(ctx, p) })
	if err != nil {
		return err
	}
	adder := &addition.Adder{Layout: b.r.s.Layout, DB: b.r.s.DB, Stages: b.r.s.Stages, Optimiser: b.r.s.OptimiserFor(b.Policy), Held: len(realised) == 0}
	for _, info := range infos {
		if err := b.fetch(ctx, adder, info); err != nil {
			return err
		}
	}
	if len(realised) == 0 {
		return nil
	}
	return b.r.s.DB.RegisterProvisional(validity.Registration{Realisations: realised})
}

// fetch adds one path as it comes. Its machine is trusted as who builds here is.
func (b *machineBuild) fetch(ctx context.Context, adder *addition.Adder, info validity.Info) error {
	if valid, err := b.r.s.DB.Valid(info.Path); valid || err != nil {
		return err
	}
	info.Ultimate = false
	r, w := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := b.c.NAR(ctx, info.Path, w)
		w.CloseWithError(err)
		sent <- err
	}()
	err := adder.AddNar(ctx, info, r, addition.Terms{Trusted: true})
	r.CloseWithError(err)
	if lost := <-sent; remotestore.IsLost(lost) {
		return lost
	}
	return err
}

// outputs are where those lie that are wanted, and of those without a path that
// it is so.
func (b *machineBuild) outputs(result *workerproto.BuildResult) (paths []storepath.Path, realised []validity.Realisation, err error) {
	d := b.Derivation
	if d.KnowsOutputs() {
		return b.Work.Missing(), nil, nil
	}
	hash, err := b.r.s.Hashes.Of(d)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range b.Outputs {
		i := slices.IndexFunc(result.BuiltOutputs, func(r workerproto.Realisation) bool { return r.ID.Output == name })
		if i < 0 {
			return nil, nil, fmt.Errorf("it does not say where output '%s' lies", name)
		}
		r := result.BuiltOutputs[i]
		paths = append(paths, r.OutPath)
		realised = append(realised, validity.Realisation{ID: validity.DrvOutput{Hash: hash, Output: name}, Path: r.OutPath, Drv: b.Path, Signatures: r.Signatures})
	}
	return paths, realised, nil
}
