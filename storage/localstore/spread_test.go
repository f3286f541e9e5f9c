package localstore

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSpread: what comes and goes below our directories is made in parts of the disk
// of its own, where the file system is an ext4, also after the directories were
// removed; the store's own directory stays as it was.
func TestSpread(t *testing.T) {
	l := Layout{Dir: "/nix/store", Root: t.TempDir()}
	l.StateDir, l.LogDir = l.Root+"/var/nix", l.Root+"/var/log/nix"
	var fs unix.Statfs_t
	if err := unix.Statfs(l.Root, &fs); err != nil || fs.Type != unix.EXT4_SUPER_MAGIC {
		t.Skip("the directory for temporary files is not on an ext4")
	}
	if err := Prepare(l, ""); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{l.StagingDir(): true, l.SandboxesDir(): true, l.BuildsDir(): true, l.LogDir: true, l.RealStoreDir(): false, l.StateDir: false}
	for dir, is := range want {
		if got := isSpread(t, dir); got != is {
			t.Errorf("%s: %v", dir, got)
		}
	}
	if err := l.TidyStaging(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Stage("x-"); err != nil || !isSpread(t, l.StagingDir()) {
		t.Error("made again, it is not spread", err)
	}
	spread(l.Root + "/nothing") // does without
	spread("/proc")
}

func isSpread(t *testing.T, dir string) bool {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	flags, err := unix.IoctlGetUint32(int(d.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		t.Fatal(err)
	}
	return flags&topdir != 0
}
