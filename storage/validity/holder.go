package validity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"troupe/storage/pathlock"
)

// holderFile is locked by the process that has the database, and names it. The
// lock is what counts: the text of a process that was killed stays behind.
const holderFile = "HOLDER"

// hold takes the holder file: at once or, with wait, when it is free.
func hold(ctx context.Context, dir string, wait bool) (*pathlock.File, error) {
	path := filepath.Join(dir, holderFile)
	lock, err := pathlock.TryFile(path)
	if errors.Is(err, pathlock.ErrBusy) {
		if !wait {
			return nil, holder(dir, path)
		}
		lock, err = pathlock.WaitFile(ctx, path)
	}
	if err != nil {
		return nil, err
	}
	return lock, nil
}

// sign writes who we are into the held file.
func sign(lock *pathlock.File) error {
	f := lock.Descriptor()
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n%s\n", os.Getpid(), strings.Join(os.Args, " ")), 0)
	return err
}

// holder reads who has the database. What a dead process wrote is not told.
func holder(dir, path string) error {
	held := &HeldError{Dir: dir}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return held
	}
	if err != nil {
		return errors.Join(held, err)
	}
	first, rest, _ := bytes.Cut(text, []byte{'\n'})
	pid, err := strconv.Atoi(string(first))
	if err != nil || pid <= 0 || errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return held
	}
	held.PID, held.Command = pid, string(bytes.TrimSuffix(rest, []byte{'\n'}))
	return held
}
