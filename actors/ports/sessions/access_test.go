package sessions_test

import (
	"net"
	"os"
	"os/user"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/actors/ports/sessions"
)

func TestAccess(t *testing.T) {
	ann := sessions.Peer{UID: 1000, User: "ann", Group: "users", Groups: []string{"users", "wheel"}}
	root := sessions.Peer{UID: 0, User: "root", Group: "root", Groups: []string{"root"}}
	builder := sessions.Peer{UID: 30001, User: "nixbld1", Group: "nixbld", Groups: []string{"nixbld"}}
	guest := sessions.Peer{UID: 1001, User: "1001", Group: "1001", Groups: []string{"1001"}}
	for _, c := range []struct {
		name             string
		a                sessions.Access
		p                sessions.Peer
		allowed, trusted bool
	}{
		{"everybody", sessions.Access{Allowed: []string{"*"}}, ann, true, false},
		{"nobody", sessions.Access{}, ann, false, false},
		{"by name", sessions.Access{Allowed: []string{"bob", "ann"}}, ann, true, false},
		{"not by name", sessions.Access{Allowed: []string{"bob"}}, ann, false, false},
		{"a part of the name", sessions.Access{Allowed: []string{"an", "anne"}, Trusted: []string{""}}, ann, false, false},
		{"by group", sessions.Access{Allowed: []string{"@wheel"}}, ann, true, false},
		{"by primary group", sessions.Access{Allowed: []string{"@users"}}, ann, true, false},
		{"a group that is called as a user", sessions.Access{Allowed: []string{"wheel", "@ann"}}, ann, false, false},
		{"the trusted are allowed", sessions.Access{Trusted: []string{"@wheel"}}, ann, true, true},
		{"root is nobody special", sessions.Access{Trusted: []string{"ann"}}, root, false, false},
		{"root by name", sessions.Access{Trusted: []string{"root"}}, root, true, true},
		{"by number", sessions.Access{Allowed: []string{"1001"}}, guest, true, false},
		{"a builder", sessions.Access{Allowed: []string{"*"}, BuildGroup: "nixbld"}, builder, false, false},
		{"a builder where all are trusted", sessions.Access{Allowed: []string{"*"}, Trusted: []string{"*"}, BuildGroup: "nixbld"}, builder, false, false},
		{"root's group is that of builders", sessions.Access{Trusted: []string{"root"}, BuildGroup: "root"}, root, true, true},
	} {
		if allowed, trusted := c.a.Allows(c.p), c.a.Trusts(c.p); allowed != c.allowed || trusted != c.trusted {
			t.Errorf("%s: allowed %v, trusted %v", c.name, allowed, trusted)
		}
	}
}

// TestPeer: the kernel knows who we are, and so do the databases of users.
func TestPeer(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	conn := connOf(t, fds[0])
	defer conn.Close()
	var users sessions.Users
	p, err := users.PeerOf(conn.(*net.UnixConn))
	if err != nil || p.UID != os.Getuid() || p.GID != os.Getgid() || p.PID != os.Getpid() {
		t.Errorf("%+v, %v", p, err)
	}
	if u, err := user.Current(); err == nil && p.User != u.Username {
		t.Errorf("called %s, is %s", p.User, u.Username)
	}
	const nobodys = 1 << 30
	if p := sessions.Lookup(nobodys, nobodys, 1); p.User != strconv.Itoa(nobodys) || p.Group != p.User || len(p.Groups) != 1 {
		t.Errorf("without names: %+v", p)
	}
}
