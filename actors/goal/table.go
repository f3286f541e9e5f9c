package goal

import (
	"troupe/actors/host"
	"troupe/messages"
)

// derivationTable is for [Derivation]. States are in their order, so that "a…b"
// is a and all up to b.
const derivationTable = `
state                          message               next                effects
-----------------------------  --------------------  ------------------  ----------------------------------------
new                            Realise               init                database: ReadDerivation
init                           DerivationRead        haveDerivation      database: QueryPaths (outputs, sources)
init                           DerivationRead        done                worker: GoalFinished (no such output)
init                           DerivationUnreadable  done                worker: GoalFinished
init                           DerivationMissing     getDerivation       worker: AwaitGoals (the derivation)
init                           DerivationMissing     done                worker: GoalFinished (it may not be fetched)
getDerivation                  WaiteeDone            loadDerivation      database: ReadDerivation
getDerivation                  WaiteeDone            done                worker: GoalFinished (it cannot be had)
loadDerivation                 DerivationRead        haveDerivation      database: QueryPaths (outputs, sources)
loadDerivation                 DerivationRead        done                worker: GoalFinished (no such output)
loadDerivation                 DerivationUnreadable  done                worker: GoalFinished
loadDerivation                 DerivationMissing     done                worker: GoalFinished
haveDerivation                 PathsQueried          done                worker: GoalFinished (valid, or known to fail)
haveDerivation                 PathsQueried          trySubstitutes      worker: AwaitGoals (outputs that are not valid)
haveDerivation                 PathsQueried          seekRealisations    caches: LookUpRealisations (outputs without a path)
haveDerivation                 PathsQueried          outputsSubstituted  worker: AwaitGoals (inputs that may not be valid)
haveDerivation                 PathsQueried          inspecting          builds: InspectPaths (to repair what is there)
inspecting                     PathsInspected        done                worker: GoalFinished (all is right, or cannot be looked at)
inspecting                     PathsInspected        registering         store: RegisterPaths (all is right, and some not on disk yet)
inspecting                     PathsInspected        repairClosure       worker: AwaitGoals (what the outputs refer to)
inspecting                     PathsInspected        trySubstitutes      worker: AwaitGoals (outputs that are wrong, or are not valid)
inspecting                     PathsInspected        seekRealisations    caches: LookUpRealisations (outputs without a path)
inspecting                     PathsInspected        outputsSubstituted  worker: AwaitGoals (to build what is not right)
repairClosure                  WaiteeDone            repairClosure
repairClosure                  WaiteeDone            done                worker: GoalFinished (all is right by now, or something could not be repaired)
repairClosure                  WaiteeDone            registering         store: RegisterPaths (all is right by now, and some not on disk yet)
repairClosure                  WaiteeDone            trySubstitutes      worker: AwaitGoals (outputs that are wrong, or are not valid)
repairClosure                  WaiteeDone            seekRealisations    caches: LookUpRealisations (outputs without a path)
repairClosure                  WaiteeDone            outputsSubstituted  worker: AwaitGoals (to build what is not right)
seekRealisations               RealisationsFound     trySubstitutes      worker: AwaitGoals (what lies there)
seekRealisations               RealisationsFound     seekRealisations    caches: LookUpRealisations (more is wanted by now)
seekRealisations               RealisationsFound     outputsSubstituted  worker: AwaitGoals (nobody knows; inputs that may not be valid)
seekRealisations               RealisationsFound     inputsRealised      slots: AcquireSlot (there are no inputs to wait for)
seekRealisations               RealisationsFound     done                worker: GoalFinished (no fallback)
trySubstitutes                 WaiteeDone            trySubstitutes
trySubstitutes                 WaiteeDone            recording           database: RecordRealisations (of what was found)
trySubstitutes                 WaiteeDone            seekRealisations    caches: LookUpRealisations (nothing was fetched, and more is wanted by now)
trySubstitutes                 WaiteeDone            done                worker: GoalFinished (all are valid, or no fallback)
trySubstitutes                 WaiteeDone            registering         store: RegisterPaths (all are valid, and some not on disk yet)
trySubstitutes                 WaiteeDone            outputsSubstituted  worker: AwaitGoals (inputs that may not be valid)
trySubstitutes                 WaiteeDone            inputsRealised      slots: AcquireSlot (there are no inputs to wait for)
outputsSubstituted             WaiteeDone            outputsSubstituted  worker: AwaitGoals (where it is a derivation that is wanted further)
outputsSubstituted             WaiteeDone            inputsRealised      slots: AcquireSlot (the last one)
outputsSubstituted             WaiteeDone            resolving           database: ResolveDerivation (the last one, of one that is resolved)
resolving                      DerivationResolved    resolved            worker: AwaitGoals (the resolved derivation)
resolving                      DerivationUnreadable  done                worker: GoalFinished
resolved                       WaiteeDone            recording           database: RecordRealisations
resolved                       WaiteeDone            registering         store: RegisterPaths (it is impure)
resolved                       WaiteeDone            done                worker: GoalFinished (it failed)
recording                      RealisationsRecorded  registering         store: RegisterPaths
recording                      RealisationsRecorded  seekRealisations    caches: LookUpRealisations (more is wanted by now)
recording                      RealisationsRecorded  outputsSubstituted  worker: AwaitGoals (not all is there)
recording                      RealisationsRecorded  inputsRealised      slots: AcquireSlot (and there are no inputs to wait for)
recording                      RealisationsRecorded  done                worker: GoalFinished (they could not be noted)
outputsSubstituted             WaiteeDone            done                worker: DropWaitees, GoalFinished (it failed)
inputsRealised                 SlotFree              tryToBuild          path-locks: LockPaths
inputsRealised                 SlotAwaited           inputsRealised      (it may be built elsewhere)
inputsRealised                 SlotRefused           done                worker: GoalFinished
tryToBuild                     LocksBusy             lockedElsewhere     slots: ReleaseSlot
tryToBuild                     LocksHeld             recheck             database: QueryPaths (outputs)
tryToBuild                     LocksFailed           done                slots: ReleaseSlot, worker: GoalFinished
lockedElsewhere                LocksBusy             lockedElsewhere     (of another process now, and before of a goal of ours)
lockedElsewhere                LocksHeld             slotAgain           slots: AcquireSlot
lockedElsewhere                LocksFailed           done                worker: GoalFinished
slotAgain                      SlotFree              recheck             database: QueryPaths (outputs)
slotAgain                      SlotAwaited           slotAgain
slotAgain                      SlotRefused           done                everything is given back
haveDerivation                 PathsQueried          registering         store: RegisterPaths (it is valid, and not on disk yet)
recheck                        PathsQueried          done                everything is given back (somebody built it)
recheck                        PathsQueried          registering         store: RegisterPaths (it is valid, and not on disk yet)
recheck                        PathsQueried          wantUser            build-users: AcquireBuildUser
recheck                        PathsQueried          preparing           builds: PrepareBuild (on another machine)
wantUser                       BuildUserGranted      preparing           builds: PrepareBuild
wantUser                       BuildUserRefused      done                everything is given back
preparing                      BuildPrepared         building            spawn child: StartChild
preparing                      BuildNotPrepared      discarding          builds: DiscardBuild
preparing                      BuildNotPrepared      retrying            slots: ReleaseSlot, builds: DiscardBuild (the machine is lost)
retrying                       BuildDiscarded        slotAgain           slots: AcquireSlot
retrying                       BuildDiscarded        done                everything is given back (cancelled, or too many were lost)
building                       ChildOutput           building            progress: GoalLine
building                       BuilderExited         buildDone           stop child, builds: FinishBuild (it succeeded)
building                       BuilderExited         discarding          stop child, builds: DiscardBuild (it did not)
building                       BuilderExited         retrying            stop child, slots: ReleaseSlot, builds: DiscardBuild (the machine is lost)
building                       ActorFailed           discarding          builds: DiscardBuild (the child panicked)
buildDone                      BuildFinished         registering         store: RegisterPaths
buildDone                      BuildRejected         discarding          builds: DiscardBuild
registering                    PathsRegistered       discarding          builds: DiscardBuild
discarding                     BuildDiscarded        done                everything is given back, worker: GoalFinished
buildDone                      ActorFailed           buildDone           (the child panicked after its last word)
discarding                     ActorFailed           discarding          (the same)
init…wantUser                  CancelGoal            done                everything is given back
preparing,retrying             CancelGoal            same                (its end is awaited, and then discarded)
building                       CancelGoal            building            child: KillChild
buildDone                      CancelGoal            buildDone           builds: EndHooks (what is nearly done is finished)
registering…done               CancelGoal            same                (the same)
init…done                      WidenGoal             same                (a build makes all outputs anyhow)
done                           DerivationRead        done                (late answers)
done                           DerivationUnreadable  done
done                           DerivationMissing     done
done                           PathsQueried          done
done                           PathsInspected        done
done                           RealisationsFound     done
done                           WaiteeDone            done
done                           SlotFree              done
done                           LocksHeld             done
done                           LocksBusy             done
done                           LocksFailed           done
done                           BuildUserGranted      done
done                           BuildUserRefused      done
done                           SlotAwaited           done
done                           SlotRefused           done
done                           DerivationResolved    done
done                           RealisationsRecorded  done
`

// Table implements [host.Tabled].
func (g *Derivation) Table() host.Table {
	return host.Table{Machine: "derivation-goal", States: stateNames[:], Text: derivationTable}
}

// StateFor implements [host.Tabled].
func (g *Derivation) StateFor(messages.Message) string { return g.state.String() }

// substitutionTable is for [Substitution].
const substitutionTable = `
state              message          next               effects
-----------------  ---------------  -----------------  ----------------------------------------------------------
new                Realise          init               database: QueryPaths (the path)
init               PathsQueried     done               worker: GoalFinished (it is valid, or may not be fetched)
init               PathsQueried     finished           store: RegisterPaths (it is valid, and not on disk yet)
init               PathsQueried     tryNext            caches: LookUpPath
tryNext            PathFound        gotInfo            database: QueryPaths (references)
tryNext            PathFound        referencesValid    slots: AcquireSlot (there are no references)
tryNext            PathNotFound     tryNext            caches: LookUpPath (of the next one)
tryNext            PathNotFound     done               worker: GoalFinished (there is no other)
tryNext            LookUpFailed     tryNext            caches: LookUpPath (of the next one)
tryNext            LookUpFailed     done               worker: GoalFinished (there is no other)
gotInfo            PathsQueried     referencesValid    slots: AcquireSlot
gotInfo            PathsQueried     referencesAwaited  worker: AwaitGoals (those that are not valid)
referencesAwaited  WaiteeDone       referencesAwaited
referencesAwaited  WaiteeDone       referencesValid    slots: AcquireSlot (the last one)
referencesAwaited  WaiteeDone       done               worker: DropWaitees, GoalFinished (one failed)
referencesValid    SlotFree         tryToRun           path-locks: LockPaths
tryToRun           LocksBusy        lockedElsewhere    slots: ReleaseSlot
tryToRun           LocksHeld        recheck            database: QueryPaths (the path)
tryToRun           LocksFailed      done               everything is given back
lockedElsewhere    LocksBusy        lockedElsewhere    (of another process now, and before of a goal of ours)
lockedElsewhere    LocksHeld        slotAgain          slots: AcquireSlot
lockedElsewhere    LocksFailed      done               everything is given back
slotAgain          SlotFree         recheck            database: QueryPaths (the path)
recheck            PathsQueried     done               everything is given back (somebody made it)
recheck            PathsQueried     finished           store: RegisterPaths (somebody made it, and it is not on disk yet)
recheck            PathsQueried     fetching           caches: FetchPath
fetching           PathFetched      finished           store: RegisterPaths
fetching           FetchFailed      tryNext            slot and lock are given back, caches: LookUpPath (of the next one)
fetching           FetchFailed      done               everything is given back (there is no other)
fetching           CancelGoal       killing            caches: KillFetch
killing            PathFetched      killing            (it was too late)
killing            FetchFailed      killing
killing            FetchKilled      done               everything is given back
finished           PathsRegistered  done               everything is given back, worker: GoalFinished
init…recheck       CancelGoal       done               everything is given back
finished,done      CancelGoal       same               (what is nearly done is finished)
init…fetching      WidenGoal        same
finished,done      WidenGoal        same
done               PathsQueried     done               (late answers)
done               PathFound        done
done               PathNotFound     done
done               LookUpFailed     done
done               WaiteeDone       done
done               SlotFree         done
done               LocksHeld        done
done               LocksBusy        done
done               LocksFailed      done
`

// Table implements [host.Tabled].
func (g *Substitution) Table() host.Table {
	return host.Table{Machine: "substitution-goal", States: substNames[:], Text: substitutionTable}
}

// StateFor implements [host.Tabled].
func (g *Substitution) StateFor(messages.Message) string { return g.state.String() }
