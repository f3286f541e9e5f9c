package rows

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"

	"troupe/cmd/troupe-bench/graph"
	"troupe/cmd/troupe-bench/report"
	"troupe/cmd/troupe-bench/side"
	"troupe/storage/binarycache"
	"troupe/storage/narinfo"
	"troupe/storage/storepath"
)

// fetch gets all from a binary cache of files.
type fetch struct {
	*Env
	items []graph.Item
}

func newFetch(e *Env) Task { return &fetch{Env: e} }

// nowhere stands for the builder of derivations that are not built.
var nowhere = func() storepath.Path {
	p, err := storepath.ParseBase(strings.Repeat("0", 32) + "-box")
	if err != nil {
		panic(err)
	}
	return p
}()

// cacheURL is where the cache is for stores at work/nix/store.
func cacheURL(work string) string { return "file://" + work + "/cache" }

// serveCache serves the cache to this machine, until it is told to end.
func serveCache(work string) (url string, end func(), err error) {
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: http.FileServer(http.Dir(work + "/cache"))}
	over := make(chan struct{})
	go func() {
		defer close(over)
		s.Serve(at) // until it is closed
	}()
	return "http://" + at.Addr().String(), func() {
		s.Close()
		<-over
	}, nil
}

// Prepare implements [Task]: the cache is written once for all, and the store is
// empty.
func (t *fetch) Prepare(ctx context.Context, s *side.Side, _ int) (err error) {
	if t.items == nil {
		m := graph.Maker{Dir: s.Dir, Box: nowhere, Salt: t.Salt}
		if t.items, err = m.Make(graph.Layered(t.n(20), 100, 5)); err != nil {
			return err
		}
		if err = t.write(ctx, s); err != nil {
			return err
		}
	}
	return s.Collect(ctx)
}

// write puts the outputs into the cache, if they are not there, as the derivations
// would make them.
func (t *fetch) write(ctx context.Context, s *side.Side) error {
	pool := binarycache.NewPool(binarycache.Settings{StoreDir: s.Dir, SpoolDir: t.Work})
	defer pool.Close()
	cache, err := pool.Open(cacheURL(t.Work))
	if err != nil {
		return err
	}
	if err := cache.Create(ctx); err != nil {
		return err
	}
	for _, i := range t.items {
		info := narinfo.Info{Path: i.Out, NarHash: i.NarHash, NarSize: uint64(len(i.Archive)), References: i.Refs, Deriver: i.Path}
		if _, err := cache.Upload(ctx, info, bytes.NewReader(i.Archive)); err != nil {
			return err
		}
	}
	return nil
}

// Measure implements [Task].
func (t *fetch) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	top := t.items[len(t.items)-1]
	ran, err := s.Run(ctx, "nix-store", "--realise", s.Dir.Join(top.Out))
	sample.Items, sample.Wall = len(t.items), ran.Took.Seconds()
	return err
}

// Check implements [Task].
func (t *fetch) Check(ctx context.Context, s *side.Side) error { return s.Check(ctx, t.items) }
