package ports

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"troupe/messages"
	"troupe/storage/pathlock"
)

// Users locks build users against other Nix processes on the machine, and kills
// what runs under them.
type Users struct {
	out   Outbox
	s     Services
	lanes *lanes

	mu    sync.Mutex // guards what follows
	locks map[int][]*pathlock.File
}

// userOperations bounds how many users are claimed or cleaned at a time.
const userOperations = 8

// NewUsers makes the users port.
func NewUsers(out Outbox, s Services) *Users {
	return &Users{out: out, s: s, lanes: newLanes(userOperations), locks: map[int][]*pathlock.File{}}
}

// Handle takes one message.
func (u *Users) Handle(m messages.Message) {
	switch m := m.(type) {
	case *messages.ClaimUser:
		u.lanes.run(func() { u.out.Send(messages.BuildUsers, u.claim(m.User)) })
	case *messages.CleanUser:
		u.lanes.run(func() { u.out.Send(messages.BuildUsers, u.clean(m)) })
	default:
		panic(fmt.Sprintf("users: unexpected %v", m))
	}
}

// machineLocks is where users are locked among all stores of the machine: a
// process of another store that took the same user would kill our builder.
const machineLocks = "/run/troupe/users"

// claim locks a user, on the machine and where Nix looks for it, and kills what
// an earlier build may have left. One that we hold is clean already.
func (u *Users) claim(user messages.BuildUser) messages.Message {
	if u.holds(user.UID) {
		return &messages.UserClaimed{UID: user.UID}
	}
	locks, err := lockUser(user.UID, machineLocks, filepath.Join(u.s.Layout.StateDir, "userpool"))
	if errors.Is(err, pathlock.ErrBusy) {
		return &messages.UserTaken{UID: user.UID}
	}
	if err == nil {
		if err = u.s.Launcher.KillUser(user.UID); err != nil {
			err = errors.Join(err, unlockAll(locks))
		}
	}
	if err != nil {
		return &messages.UserFailed{UID: user.UID, Reason: err.Error()}
	}
	u.mu.Lock()
	u.locks[user.UID] = locks
	u.mu.Unlock()
	return &messages.UserClaimed{UID: user.UID}
}

// clean kills what a build may have left. An account is then left to other
// processes; a user that has none is kept until the end, so that it need not be
// cleaned again before its next build. To ask the kernel for a user's processes it
// looks at all of the machine. That was done when the builder ended, and is done
// again whenever an account is claimed, by us as by others.
func (u *Users) clean(m *messages.CleanUser) messages.Message {
	user := m.User
	if m.Dirty && !(user.Account && u.s.Launcher.Swept(user.UID)) {
		if err := u.s.Launcher.KillUser(user.UID); err != nil {
			u.s.Log.Error().Err(err).Int("uid", user.UID).Msg("build user cannot be cleaned and is not used again")
			return &messages.UserFailed{UID: user.UID, Reason: err.Error()}
		}
	}
	if user.Account {
		u.check(u.unlock(user.UID))
	}
	return &messages.UserCleaned{UID: user.UID}
}

// Close unlocks every user.
func (u *Users) Close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for uid, locks := range u.locks {
		u.check(unlockAll(locks))
		delete(u.locks, uid)
	}
}

func (u *Users) holds(uid int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.locks[uid] != nil
}

func (u *Users) check(err error) {
	if err != nil {
		u.s.Log.Warn().Err(err).Msg("unlock build user")
	}
}

func (u *Users) unlock(uid int) error {
	u.mu.Lock()
	locks := u.locks[uid]
	delete(u.locks, uid)
	u.mu.Unlock()
	return unlockAll(locks)
}

func lockUser(uid int, dirs ...string) (locks []*pathlock.File, err error) {
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, errors.Join(err, unlockAll(locks))
		}
		lock, err := pathlock.TryFile(filepath.Join(dir, strconv.Itoa(uid)))
		if err != nil {
			return nil, errors.Join(err, unlockAll(locks))
		}
		locks = append(locks, lock)
	}
	return locks, nil
}

func unlockAll(locks []*pathlock.File) (err error) {
	for _, l := range locks {
		err = errors.Join(err, l.Unlock())
	}
	return err
}
