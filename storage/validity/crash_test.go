package validity

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const seeds = 40

// A crash at any moment, with any part of what was not synced on disk, keeps
// all that a commit acknowledged, nothing that no commit was asked for, and a
// closed set.
func TestCrash(t *testing.T) {
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { crash(t, seed) })
	}
}

// history is what one seed's writers have done so far.
type history struct {
	sync.Mutex
	rng       *rand.Rand
	names     []string
	asked     map[string]bool // a commit that may write it was asked for
	acked     map[string]bool // such a commit has returned
	forgotten map[string]bool
}

func crash(t *testing.T, seed uint64) {
	fs := vfs.NewCrashableMem()
	db := openMemory(t, fs)
	h := &history{rng: rand.New(rand.NewPCG(seed, 0)), asked: map[string]bool{}, acked: map[string]bool{}, forgotten: map[string]bool{}}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for range 3 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					h.step(t, db)
				}
			}
		})
	}
	for {
		h.Lock()
		if len(h.names) > 40+int(seed)*5 {
			break
		}
		h.Unlock()
	}
	// Under h's lock nothing new is asked for or acknowledged.
	acked := mapKeys(h.acked, h.forgotten)
	asked := mapKeys(h.asked, nil)
	crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed*13) % 101, RNG: rand.New(rand.NewPCG(seed, 1))})
	h.Unlock()
	close(stop)
	writers.Wait()
	after := openMemory(t, crashed)
	wantStage(t, after, "durable", acked...)
	for i, err := range after.All() {
		must(t, err)
		if !slices.Contains(asked, i.Path.Name()) {
			t.Errorf("%s was never committed and is valid", i.Path.Name())
		}
	}
	must(t, errors.Join(checkClosed(after), checkNeeds(after)))
}

func mapKeys(set, without map[string]bool) (out []string) {
	for k := range set {
		if !without[k] {
			out = append(out, k)
		}
	}
	return out
}

// step registers a path that refers to some earlier ones, and perhaps commits
// or forgets one.
func (h *history) step(t *testing.T, db *DB) {
	h.Lock()
	name := fmt.Sprint("p", len(h.names))
	var refs []string
	for range min(len(h.names), h.rng.IntN(4)) {
		if r := h.names[h.rng.IntN(len(h.names))]; !h.forgotten[r] && !slices.Contains(refs, r) {
			refs = append(refs, r)
		}
	}
	must(t, db.RegisterProvisional(reg(info(name, refs...))))
	h.names = append(h.names, name)
	pick := h.names[h.rng.IntN(len(h.names))]
	what := h.rng.IntN(10)
	if h.forgotten[pick] {
		what = 9
	}
	switch {
	case what == 0: // Unregister is under h's lock: nobody may refer to what goes
		h.forgotten[pick] = true
		if db.Unregister(named(pick)) != nil {
			h.forgotten[pick] = false
		}
	case what < 4:
		var written []string
		for _, p := range db.Pending(named(pick)) {
			written = append(written, p.Name())
			h.asked[p.Name()] = true
		}
		h.Unlock()
		err := db.Commit(context.Background(), named(pick))
		h.Lock()
		if err == nil {
			for _, w := range written {
				h.acked[w] = true
			}
		} else if !h.forgotten[pick] {
			t.Errorf("commit of %s: %v", pick, err)
		}
	}
	h.Unlock()
}
