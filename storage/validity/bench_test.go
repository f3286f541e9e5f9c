package validity

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"troupe/storage/storepath"
)

func disk(b *testing.B) (*DB, string) {
	dir := b.TempDir()
	db, err := Open(dir, Options{})
	must(b, err)
	return db, dir
}

// A synced commit of one path each, by 1 and by 64 writers.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprint("writers=", writers), func(b *testing.B) {
			db, _ := disk(b)
			defer func() { must(b, db.Close()) }()
			var n atomic.Int64
			b.SetParallelism((writers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
			if writers == 1 {
				for b.Loop() {
					commitOne(b, db, n.Add(1))
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					commitOne(b, db, n.Add(1))
				}
			})
		})
	}
}

func commitOne(b *testing.B, db *DB, n int64) {
	i := info(fmt.Sprint("p", n))
	if err := db.RegisterProvisional(reg(i)); err != nil {
		b.Error(err)
	}
	if err := db.Commit(context.Background(), i.Path); err != nil {
		b.Error(err)
	}
}

// filled is a database of 100,000 paths with 10 references each, closed.
func filled(b *testing.B) (dir string, paths []storepath.Path) {
	db, dir := disk(b)
	const size = 100_000
	for n := range size {
		i := info(fmt.Sprint("p", n))
		for r := n - 1; r >= max(0, n-50); r -= 5 {
			i.References = append(i.References, paths[r])
		}
		paths = append(paths, i.Path)
		must(b, db.RegisterProvisional(reg(i)))
		if n%1000 == 999 {
			must(b, db.Commit(context.Background(), i.Path, paths[n-1], paths[n-2], paths[n-3], paths[n-4]))
		}
	}
	must(b, db.Commit(context.Background(), paths...))
	must(b, db.Close())
	return dir, paths
}

func BenchmarkFilled(b *testing.B) {
	dir, paths := filled(b)
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			db, err := Open(dir, Options{})
			must(b, err)
			must(b, db.Close())
		}
	})
	db, err := Open(dir, Options{})
	must(b, err)
	defer func() { must(b, db.Close()) }()
	each := func(name string, f func(p storepath.Path) error) {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				n = (n + 7919) % len(paths)
				must(b, f(paths[n]))
			}
		})
	}
	each("valid", func(p storepath.Path) error { _, err := db.Valid(p); return err })
	each("get", func(p storepath.Path) error { _, _, err := db.Get(p); return err })
	each("referrers", func(p storepath.Path) error { _, err := db.Referrers(p); return err })
	b.Run("closure-10000", func(b *testing.B) {
		for b.Loop() {
			if got := len(collect(b, db.Closure(paths[9999]))); got < 9000 {
				b.Fatalf("%d paths", got)
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			for _, err := range db.All() {
				must(b, err)
			}
		}
	})
}
