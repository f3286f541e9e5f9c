package linux

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"

	"troupe/sandbox"
	"troupe/sandbox/linux/early"
)

// User is an account that builders can run as.
type User struct {
	Name     string
	UID, GID int
}

// GroupUsers lists the members of the group of build users. The errors are
// worded as Nix words them.
func GroupUsers(group string) ([]User, error) {
	g, err := user.LookupGroup(group)
	if err != nil {
		return nil, fmt.Errorf("the group '%s' specified in 'build-users-group' does not exist", group)
	}
	names, err := members("/etc/group", group)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the build users group '%s' has no members", group)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return nil, err
	}
	users := make([]User, len(names))
	for i, name := range names {
		if users[i], err = account(name, group, gid); err != nil {
			return nil, err
		}
	}
	return users, nil
}

func account(name, group string, gid int) (User, error) {
	a, err := user.Lookup(name)
	if err != nil {
		return User{}, fmt.Errorf("the user '%s' in the group '%s' does not exist", name, group)
	}
	uid, err := strconv.Atoi(a.Uid)
	if err != nil {
		return User{}, err
	}
	if uid == os.Getuid() || uid == os.Geteuid() {
		return User{}, fmt.Errorf("the Nix user should not be a member of '%s'", group)
	}
	return User{Name: name, UID: uid, GID: gid}, nil
}

// members reads who is in a group.
func members(file, group string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) == 4 && fields[0] == group && fields[3] != "" {
			return strings.Split(fields[3], ","), nil
		}
	}
	return nil, lines.Err()
}

// HasUserNamespaces reports whether this machine gives user namespaces, by
// making one.
func (l *Launcher) HasUserNamespaces() (bool, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return false, err
	}
	defer null.Close()
	spec := sandbox.Spec{Spaces: sandbox.Namespaces{User: true}, Identity: sandbox.Identity{
		UID: 1000, GID: 100, OutsideUID: os.Geteuid(), OutsideGID: os.Getegid()}}
	p, err := l.launch([]early.Step{{Op: "end"}}, spec, nil, null, nil)
	var setup *setupError
	if errors.As(err, &setup) && refusesNamespaces(setup.errno) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p.Wait()
	return true, nil
}

// Builtin says which of our own builders this process was executed to be, if
// it was. Its input is on descriptor [early.ExtraFD].
func Builtin() (name string, input io.ReadCloser, ok bool) {
	if os.Args[0] != early.BuiltinName || len(os.Args) != 2 {
		return "", nil, false
	}
	return os.Args[1], os.NewFile(early.ExtraFD, "input"), true
}
