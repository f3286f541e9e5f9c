package messages

import "troupe/storage/storepath"

// LockPaths asks for the locks of all of a goal's outputs at once. From goal to
// path-locks; answered by [LocksHeld], by [LocksBusy] and later [LocksHeld], or
// by [LocksFailed], unless [UnlockPaths] comes first.
type LockPaths struct {
	Goal  Address
	Paths []storepath.Path
}

// LocksHeld says that the goal holds its locks, until [UnlockPaths].
type LocksHeld struct{}

// LocksBusy says that somebody else holds Path, and that the wait goes on.
type LocksBusy struct{ Path storepath.Path }

// LocksFailed says that the lock files could not be made.
type LocksFailed struct{ Reason string }

// UnlockPaths gives a goal's locks back, or withdraws the request for them.
type UnlockPaths struct{ Goal Address }

// TryLock asks the locks port to take lock files; answered by [FilesLocked],
// [FilesBusy] or [FilesFailed].
type TryLock struct {
	Owner Address
	Paths []storepath.Path
}

// AwaitLock is TryLock that waits for other processes; [Unlock] ends the wait.
type AwaitLock struct {
	Owner Address
	Paths []storepath.Path
}

// FilesLocked says that the owner's lock files are held.
type FilesLocked struct{ Owner Address }

// FilesBusy says that another process holds Path's lock file.
type FilesBusy struct {
	Owner Address
	Path  storepath.Path
}

// FilesFailed says that a lock file could not be opened or locked.
type FilesFailed struct {
	Owner  Address
	Reason string
}

// Unlock gives the owner's lock files back and removes them, or ends its wait;
// answered by
// [FilesUnlocked].
type Unlock struct{ Owner Address }

// FilesUnlocked says that nothing of the owner is held or awaited any more.
type FilesUnlocked struct{ Owner Address }

func (*LockPaths) message()     {}
func (*LocksHeld) message()     {}
func (*LocksBusy) message()     {}
func (*LocksFailed) message()   {}
func (*UnlockPaths) message()   {}
func (*TryLock) message()       {}
func (*AwaitLock) message()     {}
func (*FilesLocked) message()   {}
func (*FilesBusy) message()     {}
func (*FilesFailed) message()   {}
func (*Unlock) message()        {}
func (*FilesUnlocked) message() {}

func (m *LockPaths) String() string     { return line(m) }
func (m *LocksHeld) String() string     { return line(m) }
func (m *LocksBusy) String() string     { return line(m) }
func (m *LocksFailed) String() string   { return line(m) }
func (m *UnlockPaths) String() string   { return line(m) }
func (m *TryLock) String() string       { return line(m) }
func (m *AwaitLock) String() string     { return line(m) }
func (m *FilesLocked) String() string   { return line(m) }
func (m *FilesBusy) String() string     { return line(m) }
func (m *FilesFailed) String() string   { return line(m) }
func (m *Unlock) String() string        { return line(m) }
func (m *FilesUnlocked) String() string { return line(m) }
