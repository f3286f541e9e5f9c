package child

import (
	"troupe/actors/host"
	"troupe/messages"
)

const table = `
state     message         next      effects
--------  --------------  --------  --------------------------------------------
new       StartChild      starting  process: Launch
starting  ProcessStarted  running   clock: StartTimer, one a limit
starting  ProcessFailed   done      goal: BuilderExited (not started)
starting  KillChild       killing   process: KillProcess
running   ChildOutput     running   goal: ChildOutput
running   ChildOutput     killing   the same, process: KillProcess (log too long)
running   TimerFired      running   clock: StartTimer for what is left of the silence
running   TimerFired      killing   process: KillProcess (silent or running too long)
running   EOF             closed    process: KillProcess (nobody hears it any more)
running   KillChild       killing   process: KillProcess
closed    TimerFired      killing   process: KillProcess (total), or nothing (silence)
closed    KillChild       killing   process: KillProcess
closed    ProcessExited   done      goal: BuilderExited, clock: CancelTimer
killing   ProcessStarted  killing   process: KillProcess (it had not begun before)
killing   ProcessFailed   done      goal: BuilderExited
killing   ProcessExited   done      goal: BuilderExited, clock: CancelTimer
killing   ChildOutput     killing
killing   EOF             killing
killing   TimerFired      killing
killing   KillChild       killing
done      TimerFired      done
done      KillChild       done
`

// Table implements [host.Tabled].
func (c *Child) Table() host.Table {
	return host.Table{Machine: "child", States: stateNames[:], Text: table}
}

// StateFor implements [host.Tabled].
func (c *Child) StateFor(messages.Message) string { return c.state.String() }
