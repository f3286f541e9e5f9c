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
	lanes lanes

	mu    sync.Mutex // guards what follows
	locks map[int]*pathlock.File
	used  map[int]bool // users that this process has cleaned, and cleans after each use
}

// userOperations bounds how many users are claimed or cleaned at a time.
const userOperations = 8

// NewUsers makes the users port.
func NewUsers(out Outbox, s Services) *Users {
	return &Users{out: out, s: s, lanes: make(lanes, userOperations), locks: map[int]*pathlock.File{}, used: map[int]bool{}}
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

// claim takes the lock file that Nix uses for the user, and kills what an
// earlier build may have left.
func (u *Users) claim(user messages.BuildUser) messages.Message {
	dir := filepath.Join(u.s.Layout.StateDir, "userpool")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return &messages.UserFailed{UID: user.UID, Reason: err.Error()}
	}
	lock, err := pathlock.TryFile(filepath.Join(dir, strconv.Itoa(user.UID)))
	if errors.Is(err, pathlock.ErrBusy) {
		return &messages.UserTaken{UID: user.UID}
	}
	if err == nil && !u.knownClean(user.UID) {
		if err = u.s.Launcher.KillUser(user.UID); err != nil {
			err = errors.Join(err, lock.Unlock())
		}
	}
	if err != nil {
		return &messages.UserFailed{UID: user.UID, Reason: err.Error()}
	}
	u.mu.Lock()
	u.locks[user.UID] = lock
	u.used[user.UID] = true
	u.mu.Unlock()
	return &messages.UserClaimed{UID: user.UID}
}

func (u *Users) clean(m *messages.CleanUser) messages.Message {
	user := m.User
	if !m.Dirty {
		u.check(u.unlock(user.UID))
		return &messages.UserCleaned{UID: user.UID}
	}
	if err := u.s.Launcher.KillUser(user.UID); err != nil {
		u.s.Log.Error().Err(err).Int("uid", user.UID).Msg("build user cannot be cleaned and is not used again")
		return &messages.UserFailed{UID: user.UID, Reason: err.Error()}
	}
	u.check(u.unlock(user.UID))
	return &messages.UserCleaned{UID: user.UID}
}

// knownClean says that nothing runs under a user: we have cleaned it before, and
// cleaned up after every build of ours. Another process that had its lock since
// then does the same.
func (u *Users) knownClean(uid int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.used[uid]
}

func (u *Users) check(err error) {
	if err != nil {
		u.s.Log.Warn().Err(err).Msg("unlock build user")
	}
}

func (u *Users) unlock(uid int) error {
	u.mu.Lock()
	lock := u.locks[uid]
	delete(u.locks, uid)
	u.mu.Unlock()
	if lock == nil {
		return nil
	}
	return lock.Unlock()
}
