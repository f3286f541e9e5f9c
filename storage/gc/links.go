package gc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// linksName is the directory of the files that were hard-linked by optimising.
const linksName = ".links"

// unusedLinks deletes the files that were hard-linked and of which no path has
// one any more.
func (s *sweep) unusedLinks(ctx context.Context) error {
	fd, err := unix.Openat(s.store, linksName, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	shown := s.c.Layout.RealStoreDir() + "/" + linksName
	if err != nil {
		return &os.PathError{Op: "open", Path: shown, Err: err}
	}
	dir := os.NewFile(uintptr(fd), shown)
	defer dir.Close()
	var saved int64
	for {
		names, err := dir.Readdirnames(1000)
		for _, name := range names {
			of, err := s.unusedLink(fd, name)
			if err != nil {
				return &os.PathError{Op: "delete", Path: shown + "/" + name, Err: err}
			}
			saved += of
		}
		if len(names) == 0 {
			s.o.say("note: hard linking is currently saving %s", ShowBytes(uint64(max(saved, 0))))
			return nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
}

// unusedLink says how many bytes a link saves that stays.
func (s *sweep) unusedLink(dir int, name string) (saved int64, err error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return 0, err
	}
	if st.Nlink != 1 {
		return int64(st.Nlink-2) * st.Blocks * 512, nil
	}
	err = unix.Unlinkat(dir, name, 0)
	if err == nil {
		s.result.Freed += uint64(st.Blocks) * 512
	}
	return 0, err
}

// ShowBytes writes a number of bytes as Nix does.
func ShowBytes(n uint64) string {
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(byteUnits)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %s", value, byteUnits[unit])
}

var byteUnits = []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
