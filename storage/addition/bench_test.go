package addition_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"troupe/storage/addition"
	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// benchmarkAdd adds one object after another, each under another name.
func benchmarkAdd(b *testing.B, m storepath.Method, contents func(n int) io.Reader) {
	root := b.TempDir()
	l := localstore.Layout{Dir: "/nix/store", Root: root, StateDir: root + "/state", LogDir: root + "/log"}
	if err := localstore.Prepare(l, ""); err != nil {
		b.Fatal(err)
	}
	db, err := validity.Open("/db", validity.Options{FS: vfs.NewMem()})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	a := &addition.Adder{Layout: l, DB: db}
	for n := 0; b.Loop(); n++ {
		o := addition.Object{Name: fmt.Sprint("x", n), Method: m, Algorithm: nixhash.SHA256}
		if _, err := a.Add(context.Background(), o, contents(n)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAddText is what a client that instantiates asks for.
func BenchmarkAddText(b *testing.B) {
	benchmarkAdd(b, storepath.Text, func(n int) io.Reader { return strings.NewReader(strings.Repeat("text ", 200)) })
}

// BenchmarkAddArchive receives one large file.
func BenchmarkAddArchive(b *testing.B) {
	const size = 64 << 20
	b.SetBytes(size)
	benchmarkAdd(b, storepath.NAR, func(int) io.Reader { return zeros(size) })
}
