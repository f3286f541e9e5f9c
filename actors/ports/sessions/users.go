package sessions

import (
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Users knows who connects. It remembers the names of users and groups for as long
// as the files with them stay as they are: to read them took a seventh of what a
// connection costs.
type Users struct {
	mu    sync.Mutex // guards what follows
	from  [2]stamp
	known map[ids]Peer // without a process; at most [manyUsers]
}

type ids struct{ uid, gid int }

// manyUsers is how many are remembered at most. Then all are forgotten.
const manyUsers = 256

// userFiles have the names: this program asks nobody else for them.
var userFiles = [2]string{"/etc/passwd", "/etc/group"}

// stamp tells one version of a file from another. That of a file which cannot be
// looked at is that of none.
type stamp struct {
	dev, ino, size uint64
	written        unix.Timespec
	changed        unix.Timespec
}

// PeerOf asks the kernel who is at the other end of a Unix socket.
func (u *Users) PeerOf(conn *net.UnixConn) (Peer, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return Peer{}, fmt.Errorf("ask who connects: %w", err)
	}
	return u.Lookup(int(cred.Uid), int(cred.Gid), int(cred.Pid)), nil
}

// Lookup is [Lookup], where it must be.
func (u *Users) Lookup(uid, gid, pid int) Peer {
	u.mu.Lock()
	defer u.mu.Unlock()
	from, settled := stamps(userFiles, time.Now())
	if u.known == nil || from != u.from || len(u.known) >= manyUsers {
		u.from, u.known = from, map[ids]Peer{}
	}
	p, ok := u.known[ids{uid, gid}]
	if !ok {
		p = Lookup(uid, gid, pid)
	}
	if settled {
		u.known[ids{uid, gid}] = p
	}
	p.PID = pid
	return p
}

// settling is how long a file may still change without its looking different, with
// the coarsest clock of a file system.
const settling = 2 * time.Second

// stamps are those of files, before they are read. They are settled if each further
// change will be seen by them.
func stamps(files [2]string, now time.Time) (all [2]stamp, settled bool) {
	settled = true
	for i, f := range files {
		var st unix.Stat_t
		if err := unix.Stat(f, &st); err != nil {
			continue
		}
		all[i] = stamp{dev: st.Dev, ino: st.Ino, size: uint64(st.Size), written: st.Mtim, changed: st.Ctim}
		age := now.Sub(time.Unix(st.Ctim.Unix()))
		settled = settled && age > settling
	}
	return all, settled
}
