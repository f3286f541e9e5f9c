package validity

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestAFullDiskIsToldBeforeItIsMet(t *testing.T) {
	fs := vfs.NewMem()
	db := openMemory(t, fs)
	must(t, db.RegisterProvisional(reg(info("a"))))
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: spaceReserve - 1})
	const says = `write database: disk is full: 32767 KiB are left in "`
	if err := db.Commit(context.Background(), named("a")); !errors.Is(err, ErrDiskFull) || !strings.HasPrefix(err.Error(), says) ||
		!strings.HasSuffix(err.Error(), ", and there must be 32768") {
		t.Fatalf("error is %v", err)
	}
	wantStage(t, db, "provisional", "a")
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 2 * spaceReserve})
	commit(t, db, "a")
	fs.TestingSetDiskUsage(vfs.DiskUsage{})
	must(t, db.Unregister(named("a"))) // which is how a disk gets space
}

// Pebble would end the process if it could not write its files while it opens.
func TestAFullDiskIsNotOpened(t *testing.T) {
	fs := vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: openReserve - 1})
	if _, err := Open("/state/db", Options{FS: fs}); !errors.Is(err, ErrDiskFull) {
		t.Fatalf("error is %v", err)
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: openReserve})
	openMemory(t, fs)
}

// After the log could not be written the database answers, and takes nothing.
func TestAFailedLog(t *testing.T) {
	fs := &failingFS{FS: vfs.NewMem()}
	db, err := Open("/state/db", Options{FS: fs})
	must(t, err)
	must(t, db.RegisterProvisional(reg(info("a")), reg(info("b"))))
	commit(t, db, "a")
	fs.fail.Store(true)
	if err := db.Commit(context.Background(), named("b")); !errors.Is(err, errBadDisk) {
		t.Fatalf("error is %v", err)
	}
	fs.fail.Store(false)
	for what, err := range map[string]error{
		"commit":     db.Commit(context.Background(), named("b")),
		"unregister": db.Unregister(named("a")),
		"change":     db.SetUltimate(named("a"), true),
	} {
		if !errors.Is(err, ErrBroken) {
			t.Errorf("%s: error is %v", what, err)
		}
	}
	wantStage(t, db, "provisional", "b")
	wantStage(t, db, "durable", "a")
	if err := db.Close(); err == nil {
		t.Error("close of a broken database is well")
	}
}

var errBadDisk = errors.New("bad disk")

// failingFS fails writes of the log on demand.
type failingFS struct {
	vfs.FS
	fail atomic.Bool
}

func (f *failingFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	if strings.HasSuffix(name, ".log") {
		return failingFile{file, f}, err
	}
	return file, err
}

type failingFile struct {
	vfs.File
	fs *failingFS
}

func (f failingFile) Write(b []byte) (int, error) {
	if f.fs.fail.Load() {
		return 0, errBadDisk
	}
	return f.File.Write(b)
}
