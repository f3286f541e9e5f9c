package localstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// storeMode lets the build group make files and nobody remove another's.
const storeMode = 0o1775

// checkStoreDir sees to the owner and the mode of the store's directory. As
// root, where the group of build users exists, the store belongs to root and
// that group and is sticky, so that a builder without a sandbox can make its
// outputs and touch nobody else's. Root's own directory is given to the group;
// one that belongs to another user is not taken away: the error says how.
func checkStoreDir(dir, buildGroup string, made bool) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if os.Geteuid() != 0 {
		return checkOwnStore(dir, &st)
	}
	gid, ok, err := lookupGroup(buildGroup)
	if err != nil || !ok {
		return err
	}
	if st.Uid == 0 && int(st.Gid) == gid && st.Mode&0o7777 == storeMode {
		return nil
	}
	if st.Uid != 0 && !made {
		err = fmt.Errorf("it belongs to user %d", st.Uid)
	} else if err = os.Chown(dir, 0, gid); err == nil {
		err = unix.Chmod(dir, storeMode)
	}
	if err != nil {
		return fmt.Errorf("use store '%s': it must belong to root and group '%s' with mode 1775 (run 'chown root:%s %s && chmod 1775 %s'): %w",
			dir, buildGroup, buildGroup, dir, dir, readOnly(err))
	}
	return nil
}

// lookupGroup says false where there is no such group, and so are no build
// users; whoever needs one says so.
func lookupGroup(name string) (gid int, ok bool, err error) {
	if name == "" {
		return 0, false, nil
	}
	g, err := user.LookupGroup(name)
	var unknown user.UnknownGroupError
	if errors.As(err, &unknown) || errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err == nil {
		gid, err = strconv.Atoi(g.Gid)
	}
	if err != nil {
		return 0, false, fmt.Errorf("look up group '%s': %w", name, err)
	}
	return gid, true, nil
}

// checkOwnStore is for an ordinary user, who can change nothing of another's
// store and must not use one that everybody can change.
func checkOwnStore(dir string, st *unix.Stat_t) error {
	switch {
	case st.Mode&unix.S_ISVTX == 0 && st.Mode&0o002 != 0:
		return fmt.Errorf("use store '%s': everybody can write to it (run 'chmod o-w %s')", dir, dir)
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("use store '%s': it belongs to user %d (run 'troupe --store DIR …' for a store of your own)", dir, st.Uid)
	case st.Mode&0o700 != 0o700:
		return fmt.Errorf("use store '%s': its owner cannot write to it (run 'chmod u+rwx %s')", dir, dir)
	}
	return nil
}
