package linux

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
	"troupe/sandbox/linux/early"
)

// killPatience bounds how long a killed process may take to end.
const killPatience = 10 * time.Second

// KillUser kills every process of a user and returns when none runs any more:
// a process that is killed can write for a moment yet.
func (l *Launcher) KillUser(uid int) error {
	if uid == 0 || uid == os.Getuid() || uid == os.Geteuid() {
		return fmt.Errorf("kill processes of user %d: that is the service's own user", uid)
	}
	deadline := time.Now().Add(killPatience)
	for runs(uid) {
		if err := l.killAll(uid); err != nil {
			return fmt.Errorf("kill processes of user %d: %w", uid, err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("kill processes of user %d: some do not end", uid)
		}
		time.Sleep(time.Millisecond)
	}
	l.noteSwept(uid, true)
	return nil
}

// Swept reports whether [Launcher.KillUser] has found nothing of a user any more
// since a builder of that user was started.
func (l *Launcher) Swept(uid int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.swept[uid]
}

func (l *Launcher) noteSwept(uid int, swept bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if swept {
		l.swept[uid] = true
	} else {
		delete(l.swept, uid)
	}
}

// killAll kills them in one pass of the kernel, as a process of that user.
func (l *Launcher) killAll(uid int) error {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	steps := []early.Step{{Op: "group", Args: []string{strconv.Itoa(uid), ""}}, {Op: "user", Args: []string{strconv.Itoa(uid)}}, {Op: "kill-all"}}
	p, err := l.launch(steps, sandbox.Spec{}, nil, null, nil)
	if err != nil {
		return err
	}
	// Another one that cleans the same user may have killed it.
	if e := p.Wait(); e.Code != 0 && e.Signal != int(unix.SIGKILL) {
		return fmt.Errorf("exit code %d, signal %d", e.Code, e.Signal)
	}
	return nil
}

// runs reports whether a user has a process. The kernel's answer is cheap and
// counts those that have ended and whose parent has not asked, too.
func runs(uid int) bool {
	if _, err := unix.Getpriority(unix.PRIO_USER, uid); errors.Is(err, unix.ESRCH) {
		return false
	}
	files, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		return true
	}
	for _, f := range files {
		status, err := os.ReadFile(f)
		if err == nil && userOf(status) == uid && !ended(status) {
			return true
		}
	}
	return false
}

// userOf is the real user id in a /proc/PID/status, or -1.
func userOf(status []byte) int {
	_, after, _ := bytes.Cut(status, []byte("\nUid:\t"))
	id, _, _ := bytes.Cut(after, []byte("\t"))
	n, err := strconv.Atoi(string(id))
	if err != nil {
		return -1
	}
	return n
}

// ended reports whether it is a process only by name.
func ended(status []byte) bool {
	_, after, _ := bytes.Cut(status, []byte("\nState:\t"))
	return bytes.HasPrefix(after, []byte("Z")) || bytes.HasPrefix(after, []byte("X"))
}
