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
haveDerivation                 PathsQueried          done                worker: GoalFinished (valid, or known to fail)
haveDerivation                 PathsQueried          outputsSubstituted  worker: AwaitGoals (inputs that may not be valid)
haveDerivation                 PathsQueried          inspecting          builds: InspectPaths (to repair what is there)
inspecting                     PathsInspected        done                worker: GoalFinished (all is right, or cannot be looked at)
inspecting                     PathsInspected        outputsSubstituted  worker: AwaitGoals (to build what is not)
outputsSubstituted             WaiteeDone            outputsSubstituted
outputsSubstituted             WaiteeDone            inputsRealised      slots: AcquireSlot (the last one)
outputsSubstituted             WaiteeDone            resolving           database: ResolveDerivation (the last one, of one that is resolved)
resolving                      DerivationResolved    resolved            worker: AwaitGoals (the resolved derivation)
resolving                      DerivationUnreadable  done                worker: GoalFinished
resolved                       WaiteeDone            recording           database: RecordRealisations
resolved                       WaiteeDone            registering         store: RegisterPaths (it is impure)
resolved                       WaiteeDone            done                worker: GoalFinished (it failed)
recording                      RealisationsRecorded  registering         store: RegisterPaths
recording                      RealisationsRecorded  done                worker: GoalFinished (they could not be noted)
outputsSubstituted             WaiteeDone            done                worker: DropWaitees, GoalFinished (it failed)
inputsRealised                 SlotFree              tryToBuild          path-locks: LockPaths
inputsRealised                 SlotRefused           done                worker: GoalFinished
tryToBuild                     LocksBusy             lockedElsewhere     slots: ReleaseSlot
tryToBuild                     LocksHeld             recheck             database: QueryPaths (outputs)
tryToBuild                     LocksFailed           done                slots: ReleaseSlot, worker: GoalFinished
lockedElsewhere                LocksBusy             lockedElsewhere     (of another process now, and before of a goal of ours)
lockedElsewhere                LocksHeld             slotAgain           slots: AcquireSlot
lockedElsewhere                LocksFailed           done                worker: GoalFinished
slotAgain                      SlotFree              recheck             database: QueryPaths (outputs)
haveDerivation                 PathsQueried          registering         store: RegisterPaths (it is valid, and not on disk yet)
recheck                        PathsQueried          done                everything is given back (somebody built it)
recheck                        PathsQueried          registering         store: RegisterPaths (it is valid, and not on disk yet)
recheck                        PathsQueried          wantUser            build-users: AcquireBuildUser
wantUser                       BuildUserGranted      preparing           builds: PrepareBuild
wantUser                       BuildUserRefused      done                everything is given back
preparing                      BuildPrepared         building            spawn child: StartChild
preparing                      BuildNotPrepared      discarding          builds: DiscardBuild
building                       ChildOutput           building            progress: GoalLine
building                       BuilderExited         buildDone           stop child, builds: FinishBuild (it succeeded)
building                       BuilderExited         discarding          stop child, builds: DiscardBuild (it did not)
building                       ActorFailed           discarding          builds: DiscardBuild (the child panicked)
buildDone                      BuildFinished         registering         store: RegisterPaths
buildDone                      BuildRejected         discarding          builds: DiscardBuild
registering                    PathsRegistered       discarding          builds: DiscardBuild
discarding                     BuildDiscarded        done                everything is given back, worker: GoalFinished
init…wantUser                  CancelGoal            done                everything is given back
preparing                      CancelGoal            preparing           (its end is awaited, and then discarded)
building                       CancelGoal            building            child: KillChild
buildDone                      CancelGoal            buildDone           builds: EndHooks (what is nearly done is finished)
registering…done               CancelGoal            same                (the same)
init…done                      WidenGoal             same                (a build makes all outputs anyhow)
done                           DerivationRead        done                (late answers)
done                           DerivationUnreadable  done
done                           PathsQueried          done
done                           PathsInspected        done
done                           WaiteeDone            done
done                           SlotFree              done
done                           LocksHeld             done
done                           LocksBusy             done
done                           LocksFailed           done
done                           BuildUserGranted      done
done                           BuildUserRefused      done
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
state        message          next         effects
-----------  ---------------  -----------  --------------------------------------------
new          Realise          init         database: QueryPaths
init         PathsQueried     done         worker: GoalFinished
init         PathsQueried     registering  store: RegisterPaths (it is not on disk yet)
registering  PathsRegistered  done         worker: GoalFinished
init         CancelGoal       done         worker: GoalFinished
registering  CancelGoal       done         worker: GoalFinished
init…done    WidenGoal        same
done         CancelGoal       done
done         PathsQueried     done         (a late answer)
done         PathsRegistered  done
`

// Table implements [host.Tabled].
func (g *Substitution) Table() host.Table {
	return host.Table{Machine: "substitution-goal", States: []string{"init", "registering", "done", "new"}, Text: substitutionTable}
}

// StateFor implements [host.Tabled].
func (g *Substitution) StateFor(messages.Message) string { return g.state.String() }
