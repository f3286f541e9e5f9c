package messages

import "reflect"

// all lists every message once, so that a journal can be read back.
var all = []Message{
	&RealiseTargets{}, &CancelRequest{}, &ForgetClient{}, &TargetsRealised{}, &AwaitRest{}, &AtRest{},
	&Realise{}, &WidenGoal{}, &AwaitGoals{}, &DropWaitees{}, &WaiteeDone{}, &GoalFinished{}, &CancelGoal{}, &ActorFailed{}, &CleanUpGoal{},
	&RankGoal{}, &ForgetGoal{}, &AcquireSlot{}, &SlotFree{}, &SlotAwaited{}, &SlotRefused{}, &ReleaseSlot{},
	&MachineAnswered{}, &AskHook{}, &HookReplied{}, &DropHook{},
	&AcquireBuildUser{}, &BuildUserGranted{}, &BuildUserRefused{}, &ReleaseBuildUser{},
	&ClaimUser{}, &UserClaimed{}, &UserTaken{}, &UserFailed{}, &CleanUser{}, &UserCleaned{},
	&LockPaths{}, &LocksHeld{}, &LocksBusy{}, &LocksFailed{}, &UnlockPaths{},
	&TryLock{}, &AwaitLock{}, &FilesLocked{}, &FilesBusy{}, &FilesFailed{}, &Unlock{}, &FilesUnlocked{},
	&ReadDerivation{}, &DerivationRead{}, &DerivationMissing{}, &DerivationUnreadable{},
	&ResolveDerivation{}, &DerivationResolved{}, &RecordRealisations{}, &RealisationsRecorded{}, &QueryPaths{}, &PathsQueried{}, &KeepPaths{}, &ReleasePaths{}, &EpochsOver{},
	&RegisterPaths{}, &PathsRegistered{}, &MakeDurable{}, &PathsDurable{}, &PathsNotDurable{},
	&CommitPaths{}, &PathsCommitted{}, &RecordFailure{},
	&InspectPaths{}, &PathsInspected{}, &PrepareBuild{}, &BuildPrepared{}, &BuildNotPrepared{}, &FinishBuild{}, &BuildFinished{}, &BuildRejected{},
	&EndHooks{}, &DiscardBuild{}, &BuildDiscarded{},
	&LookUpPath{}, &PathFound{}, &PathNotFound{}, &LookUpFailed{}, &LookUpRealisations{}, &RealisationsFound{}, &FetchPath{}, &PathFetched{}, &FetchFailed{}, &KillFetch{}, &FetchKilled{},
	&StartChild{}, &KillChild{}, &ChildOutput{}, &EOF{}, &BuilderExited{},
	&Launch{}, &ProcessStarted{}, &ProcessFailed{}, &ProcessExited{}, &KillProcess{},
	&StartTimer{}, &CancelTimer{}, &TimerFired{},
	&GoalChanged{}, &GoalWanted{}, &GoalWarned{}, &HookStarted{}, &HookLine{}, &HookEnded{}, &SyncProgress{}, &GoalLine{},
	&GoalFetches{}, &PathProgress{}, &GoalEnded{},
	&ClientConnected{}, &SessionOpened{}, &SessionRefused{}, &RealiseForClient{}, &ClientAnswered{}, &ClientGone{}, &SessionEnded{},
	&CloseConnection{}, &Drain{}, &Drained{}, &FinishUp{}, &CutOff{},
}

var byName = func() map[string]reflect.Type {
	types := make(map[string]reflect.Type, len(all))
	for _, m := range all {
		types[Name(m)] = reflect.TypeOf(m).Elem()
	}
	return types
}()

// New makes an empty message of the given [Name], or nil where there is none
// of that name.
func New(name string) Message {
	t, ok := byName[name]
	if !ok {
		return nil
	}
	return reflect.New(t).Interface().(Message)
}

// Names lists the names of all messages, in the order of their conversations.
func Names() []string {
	names := make([]string, len(all))
	for i, m := range all {
		names[i] = Name(m)
	}
	return names
}
