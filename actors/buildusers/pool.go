// Package buildusers lends the users that builders run as.
package buildusers

import (
	"fmt"
	"slices"

	"troupe/actors/host"
	"troupe/messages"
)

// Pool lends each user to one goal at a time, and again only after the users
// port has killed all that ran under it.
//
// A goal for whom no user is free waits in line; one that finds every user in
// use elsewhere or broken is refused. The line is bounded by the build slots.
//
// A goal whose builder may want others to be built gets no user that would be the
// last: else all users could be held by builders that wait for builders.
//
// With a single shared user (a service without privileges) every goal is
// granted that user at once.
type Pool struct {
	shared *messages.BuildUser
	why    string // why there are no users, if there are none
	users  []*user
	line   []asking
}

// asking is a goal in line.
type asking struct {
	goal  messages.Address
	nests bool
}

type user struct {
	messages.BuildUser
	state  state
	asking // claiming, lent: whose it is; the goal is "" if that withdrew
}

type state uint8

const (
	free     state = iota
	claiming       // being locked and cleaned for a goal
	lent           // a goal's builder may run under it
	cleaning       // given back; processes may be left
	taken          // another process on this machine uses it
	broken         // it could not be cleaned
)

// New makes a pool of users, in the order in which they are tried. Where there
// are none, why says so to whoever asks for one.
func New(users []messages.BuildUser, why string) *Pool {
	p := &Pool{why: why}
	for _, u := range users {
		if u.Shared {
			return &Pool{shared: &u}
		}
		p.users = append(p.users, &user{BuildUser: u})
	}
	return p
}

func (p *Pool) String() string {
	count := map[state]int{}
	for _, u := range p.users {
		count[u.state]++
	}
	return fmt.Sprintf("users=%d lent=%d cleaning=%d waiting=%d", len(p.users), count[lent]+count[claiming], count[cleaning], len(p.line))
}

// Step implements [host.Machine].
func (p *Pool) Step(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.AcquireBuildUser:
		return p.onAcquire(m)
	case *messages.ReleaseBuildUser:
		return p.onRelease(m)
	case *messages.UserClaimed:
		return p.onClaimed(p.find(m.UID, claiming))
	case *messages.UserTaken:
		u := p.find(m.UID, claiming)
		who := u.asking
		p.become(u, taken, asking{})
		return p.retry(who)
	case *messages.UserCleaned:
		p.become(p.find(m.UID, cleaning), free, asking{})
		return p.serve()
	case *messages.UserFailed:
		return p.onFailed(m)
	}
	panic(fmt.Sprintf("%v: unexpected %v", p, m))
}

func (p *Pool) onAcquire(m *messages.AcquireBuildUser) []host.Effect {
	if p.shared != nil {
		return []host.Effect{host.Send{To: m.Goal, Msg: &messages.BuildUserGranted{User: *p.shared}}}
	}
	p.retakeIfIdle()
	p.line = append(p.line, asking{m.Goal, m.Nests})
	return p.serve()
}

// retakeIfIdle gives users that were in use elsewhere another try when a new
// goal asks.
func (p *Pool) retakeIfIdle() {
	for _, u := range p.users {
		if u.state == taken {
			p.become(u, free, asking{})
		}
	}
}

func (p *Pool) onRelease(m *messages.ReleaseBuildUser) []host.Effect {
	if i := slices.IndexFunc(p.line, func(a asking) bool { return a.goal == m.Goal }); i >= 0 {
		p.line = slices.Delete(p.line, i, i+1)
		return nil
	}
	i := slices.IndexFunc(p.users, func(u *user) bool { return u.goal == m.Goal })
	if i < 0 {
		return nil
	}
	u := p.users[i]
	if u.state == claiming { // the port's answer comes first
		u.goal = ""
		return nil
	}
	return p.clean(u, m.Dirty)
}

func (p *Pool) clean(u *user, dirty bool) []host.Effect {
	p.become(u, cleaning, asking{})
	return []host.Effect{host.Send{To: messages.Users, Msg: &messages.CleanUser{User: u.BuildUser, Dirty: dirty}}}
}

func (p *Pool) onClaimed(u *user) []host.Effect {
	if u.goal == "" { // nothing has run under it
		return p.clean(u, false)
	}
	p.become(u, lent, u.asking)
	return []host.Effect{host.Send{To: u.goal, Msg: &messages.BuildUserGranted{User: u.BuildUser}}}
}

func (p *Pool) onFailed(m *messages.UserFailed) []host.Effect {
	i := slices.IndexFunc(p.users, func(u *user) bool { return u.UID == m.UID })
	u := p.users[i]
	if u.state == cleaning {
		p.become(u, broken, asking{})
		return p.serve()
	}
	goal := u.goal
	p.become(u, free, asking{})
	if goal == "" {
		return p.serve()
	}
	refuse := host.Send{To: goal, Msg: &messages.BuildUserRefused{Reason: m.Reason}}
	return append([]host.Effect{refuse}, p.serve()...)
}

// retry puts a goal back at the head of the line.
func (p *Pool) retry(who asking) []host.Effect {
	if who.goal != "" {
		p.line = slices.Insert(p.line, 0, who)
	}
	return p.serve()
}

// serve gives free users to those in line, and refuses the line when no user
// will ever come back to this pool.
func (p *Pool) serve() (out []host.Effect) {
	for {
		next := slices.IndexFunc(p.line, func(a asking) bool { return !a.nests || p.nesting() < p.usable()-1 })
		i := slices.IndexFunc(p.users, func(u *user) bool { return u.state == free })
		if i < 0 || next < 0 {
			break
		}
		p.become(p.users[i], claiming, p.line[next])
		p.line = slices.Delete(p.line, next, next+1)
		out = append(out, host.Send{To: messages.Users, Msg: &messages.ClaimUser{User: p.users[i].BuildUser}})
	}
	return append(out, p.refuse()...)
}

// refuse tells those in line who will get no user, whatever this pool does.
func (p *Pool) refuse() (out []host.Effect) {
	usable := p.usable()
	p.line = slices.DeleteFunc(p.line, func(a asking) bool {
		hopeless := usable == 0 || a.nests && usable == 1
		if hopeless {
			out = append(out, host.Send{To: a.goal, Msg: &messages.BuildUserRefused{Reason: p.reason(usable)}})
		}
		return hopeless
	})
	return out
}

// usable counts the users that are free or will be.
func (p *Pool) usable() (n int) {
	for _, u := range p.users {
		if u.state != taken && u.state != broken {
			n++
		}
	}
	return n
}

// nesting counts those that are lent to builders that may want others.
func (p *Pool) nesting() (n int) {
	for _, u := range p.users {
		if u.nests {
			n++
		}
	}
	return n
}

func (p *Pool) reason(usable int) string {
	switch {
	case len(p.users) == 0:
		return p.why
	case usable > 0:
		return "a build that may ask for others needs a second build user for those, and there is only one"
	}
	return "all build users are currently in use; consider creating additional users and adding them to the build users group"
}

func (p *Pool) find(uid int, want state) *user {
	for _, u := range p.users {
		if u.UID == uid && u.state == want {
			return u
		}
	}
	panic(fmt.Sprintf("%v: user %d is not in the state expected", p, uid))
}

// become is the only assignment to a user's state.
func (p *Pool) become(u *user, next state, who asking) { u.state, u.asking = next, who }
