package sessions

import (
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// Access says who may connect, and who may do all that the service can.
type Access struct {
	Allowed, Trusted []string // names of users, "@group", or "*" for everybody
	// BuildGroup is the group of build users: a builder may not connect.
	BuildGroup string
}

// Peer is who is at the other end of a connection.
type Peer struct {
	UID, GID, PID int
	User          string   // its name, or its number where it has none
	Group         string   // its primary group
	Groups        []string // all that it is in
}

// Allows reports whether the peer may connect. Whoever is trusted may, but no
// builder, whatever it matches.
func (a Access) Allows(p Peer) bool {
	return (p.matches(a.Allowed) || p.matches(a.Trusted)) && !a.isBuilder(p)
}

func (a Access) isBuilder(p Peer) bool {
	return a.BuildGroup != "" && p.UID != 0 && p.Group == a.BuildGroup
}

// Trusts reports whether the peer may set anything and add anything.
func (a Access) Trusts(p Peer) bool { return p.matches(a.Trusted) && !a.isBuilder(p) }

func (p Peer) matches(list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool {
		group, isGroup := strings.CutPrefix(s, "@")
		return s == "*" || s == p.User || isGroup && slices.Contains(p.Groups, group)
	})
}

// Lookup finds the names of a user. Those that cannot be found are numbers.
func Lookup(uid, gid, pid int) Peer {
	p := Peer{UID: uid, GID: gid, PID: pid, User: strconv.Itoa(uid), Group: groupName(strconv.Itoa(gid))}
	p.Groups = []string{p.Group}
	u, err := user.LookupId(p.User)
	if err != nil {
		return p
	}
	p.User = u.Username
	ids, err := u.GroupIds()
	if err != nil {
		return p
	}
	for _, id := range ids {
		if g := groupName(id); !slices.Contains(p.Groups, g) {
			p.Groups = append(p.Groups, g)
		}
	}
	return p
}

func groupName(id string) string {
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}
