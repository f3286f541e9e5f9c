package worker

import (
	"troupe/actors/host"
	"troupe/messages"
)

const table = `
it is     message          next      effects
--------  ---------------  --------  -----------------------------------------------------------------
new       RealiseTargets   open      a goal a target: Spawn and Realise, or WidenGoal if it is there
gone      RealiseTargets   gone      (its client was forgotten: nobody is answered)
open      CancelRequest    settled   its wants are withdrawn; store: MakeDurable
settled   CancelRequest    settled
unknown   CancelRequest    unknown   (it was answered already)
rest,busy  ForgetClient    busy      as CancelRequest for all that the client asked
settled   PathsDurable     unknown   TargetsRealised; database: KeepPaths, EpochsOver
settled   PathsNotDurable  unknown   TargetsRealised, its valid targets failed
running   AwaitGoals       running   as RealiseTargets, wanted by a goal
leaving   AwaitGoals       leaving   (it was cancelled meanwhile)
running   DropWaitees      running   the goal's wants are withdrawn
leaving   DropWaitees      leaving   the same
running   GoalFinished     unknown   WaiteeDone to those who waited, ForgetGoal, Stop; MakeDurable for a
leaving   GoalFinished     unknown   the same; who came meanwhile is served by the next incarnation
running   ActorFailed      leaving   Spawn of a clean-up, CleanUpGoal
leaving   ActorFailed      leaving   the same
unknown   ActorFailed      unknown   (it had finished)
busy      TimerFired       busy      slots: RankGoal for each goal before which the path has become longer
rest      TimerFired       rest      (the goals are gone)
rest      AwaitRest        rest      AtRest
busy      AwaitRest        busy      (AtRest, when the last goal is gone and the last request answered)
`

// Table implements [host.Tabled]. The state is that of the goal or the request in
// question, or of the worker itself.
func (w *Worker) Table() host.Table {
	return host.Table{Machine: "worker", Text: table,
		States: []string{"new", "open", "settled", "unknown", "running", "leaving", "rest", "busy", "gone"}}
}

// StateFor implements [host.Tabled].
func (w *Worker) StateFor(m messages.Message) string {
	switch m := m.(type) {
	case *messages.RealiseTargets:
		if w.gone[m.Client] {
			return "gone"
		}
		return "new"
	case *messages.CancelRequest:
		return w.requestState(m.Request)
	case *messages.PathsDurable:
		return w.requestState(m.Ticket)
	case *messages.PathsNotDurable:
		return w.requestState(m.Ticket)
	case *messages.AwaitGoals:
		return w.goalState(m.From)
	case *messages.DropWaitees:
		return w.goalState(m.From)
	case *messages.GoalFinished:
		return w.goalState(m.From)
	case *messages.ActorFailed:
		return w.goalState(m.Actor)
	}
	if len(w.goals) == 0 && len(w.requests) == 0 {
		return "rest"
	}
	return "busy"
}

func (w *Worker) requestState(id uint64) string {
	switch r := w.requests[id]; {
	case r == nil:
		return "unknown"
	case r.settled:
		return "settled"
	}
	return "open"
}

func (w *Worker) goalState(at messages.Address) string {
	switch e := w.actors[at]; {
	case e == nil:
		return "unknown"
	case e.state == leaving:
		return "leaving"
	}
	return "running"
}
