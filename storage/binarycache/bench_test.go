package binarycache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"troupe/storage/nar"
	"troupe/storage/narinfo"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// makeCache fills a directory with small paths, each of a file of 2 kB.
func makeCache(b *testing.B, paths int) (dir string, all []storepath.Path) {
	b.Helper()
	dir = b.TempDir()
	c, err := NewPool(Settings{StoreDir: "/nix/store"}).Open("file://" + dir)
	must(b, err)
	file := b.TempDir() + "/file"
	for i := range paths {
		must(b, os.WriteFile(file, bytes.Repeat(fmt.Appendf(nil, "line of file %d\n", i), 100), 0o644))
		var archive bytes.Buffer
		must(b, nar.Dump(&archive, file))
		p := parsePath(b, fmt.Sprintf("%032d-x", i))
		info := narinfo.Info{Path: p, NarHash: nixhash.Sum(nixhash.SHA256, archive.Bytes()), NarSize: uint64(archive.Len())}
		_, err := c.Upload(context.Background(), info, &archive)
		must(b, err)
		all = append(all, p)
	}
	return dir, all
}

func cpu() (nanoseconds int64) {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkPaths looks paths up and unpacks them, sixteen at a time; the server is in the same process.
func BenchmarkPaths(b *testing.B) {
	dir, all := makeCache(b, 2003)
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	for name, url := range map[string]string{"file": "file://" + dir, "http": server.URL} {
		b.Run(name, func(b *testing.B) {
			var used int64
			for b.Loop() {
				pool := NewPool(Settings{StoreDir: "/nix/store"})
				c, err := pool.Open(url)
				must(b, err)
				to := b.TempDir()
				used -= cpu()
				must(b, fetchAll(c, all, to))
				used += cpu()
				pool.Close()
			}
			paths := float64(b.N * len(all))
			b.ReportMetric(float64(b.Elapsed().Microseconds())/paths, "µs/path")
			b.ReportMetric(float64(used)/1e3/paths, "CPU-µs/path")
		})
	}
}

func fetchAll(c *Cache, all []storepath.Path, to string) error {
	var group errgroup.Group
	var next atomic.Int64
	for range 16 {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) {
					return nil
				}
				info, _, err := c.Info(context.Background(), all[i])
				if err != nil {
					return err
				}
				r, err := c.Fetch(context.Background(), info)
				if err != nil {
					return err
				}
				if err := errors.Join(r.Unpack(to+"/"+all[i].Base()), r.Close()); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}
