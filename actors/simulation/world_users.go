package simulation

import (
	"fmt"
	"time"

	"troupe/messages"
)

// users are the build users of the machine and what runs under them.
type users struct {
	w    *World
	all  []messages.BuildUser
	held map[int]bool                      // locked by the service
	runs map[int]map[messages.Address]bool // builders
	left map[int]bool                      // something that a builder left behind
}

const userTime = 5 * time.Millisecond

func newUsers(w *World) *users {
	return &users{w: w, all: buildUsers(w.Scenario), held: map[int]bool{}, runs: map[int]map[messages.Address]bool{}, left: map[int]bool{}}
}

func buildUsers(s Scenario) (all []messages.BuildUser) {
	if s.Demand != nil {
		return s.Demand.Settings.Users
	}
	if s.Users == 0 {
		return []messages.BuildUser{{UID: 1000, GID: 100, Shared: true}}
	}
	for i := range s.Users {
		all = append(all, messages.BuildUser{UID: 30001 + i, GID: 30000, Account: s.Seed%2 == 0})
	}
	return all
}

func (u *users) take(m messages.Message) {
	switch m := m.(type) {
	case *messages.ClaimUser:
		u.w.work(messages.Users, userTime, func() { u.w.send(messages.Users, messages.BuildUsers, u.claim(m.User)) })
	case *messages.CleanUser:
		u.w.work(messages.Users, userTime, func() { u.w.send(messages.Users, messages.BuildUsers, u.clean(m)) })
	default:
		panic(fmt.Sprintf("users: unexpected %v", m))
	}
}

// claim locks a user and kills what an earlier service may have left under it.
// One that is held is clean.
func (u *users) claim(user messages.BuildUser) messages.Message {
	switch {
	case u.held[user.UID]:
	case u.w.hit(UserTaken):
		return &messages.UserTaken{UID: user.UID}
	case u.w.hit(UserFails):
		return &messages.UserFailed{UID: user.UID, Reason: "permission denied"}
	default:
		u.killAll(user.UID)
	}
	u.held[user.UID] = true
	return &messages.UserClaimed{UID: user.UID}
}

func (u *users) clean(m *messages.CleanUser) messages.Message {
	if m.Dirty {
		if u.w.hit(UserUnclean) {
			return &messages.UserFailed{UID: m.User.UID, Reason: "a process cannot be killed"}
		}
		u.killAll(m.User.UID)
	}
	if m.User.Account {
		delete(u.held, m.User.UID)
	}
	return &messages.UserCleaned{UID: m.User.UID}
}

// killAll kills everything under a user, with the builders of this service.
func (u *users) killAll(uid int) {
	delete(u.left, uid)
	for _, at := range u.w.running() {
		if u.runs[uid][at] {
			u.w.kill(at)
		}
	}
}

func (u *users) begin(user messages.BuildUser, b messages.Address) {
	if user.Shared {
		return
	}
	if u.runs[user.UID] == nil {
		u.runs[user.UID] = map[messages.Address]bool{}
	}
	u.runs[user.UID][b] = true
}

func (u *users) end(user messages.BuildUser, b messages.Address, leaves bool) {
	if user.Shared {
		return
	}
	delete(u.runs[user.UID], b)
	if leaves {
		u.left[user.UID] = true
	}
}

// busy reports whether anything runs under a user.
func (u *users) busy(uid int) bool { return len(u.runs[uid]) > 0 || u.left[uid] }

// crash ends the builders with the service that started them.
func (u *users) crash() {
	u.held, u.runs = map[int]bool{}, map[int]map[messages.Address]bool{}
}
