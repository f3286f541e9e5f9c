package simulation

import (
	"fmt"

	"troupe/actors/host"
	"troupe/messages"
)

// usersChecker: no user is lent twice, none in whose name something runs, and
// none is kept by a goal that is gone; whom a builder waits for finds one.
type usersChecker struct{ idle }

func (*usersChecker) name() string { return "users" }

func (*usersChecker) step(w *World, s host.Step) error {
	if s.Actor != messages.BuildUsers {
		return nil
	}
	for _, e := range s.Effects {
		send, ok := e.(host.Send)
		if !ok {
			continue
		}
		g, ok := send.Msg.(*messages.BuildUserGranted)
		if !ok || g.User.Shared {
			continue
		}
		for goal, uid := range w.view.lent {
			if uid == g.User.UID {
				return fmt.Errorf("user %d is lent to %s and to %s", uid, goal, send.To)
			}
		}
		if w.users.busy(g.User.UID) {
			return fmt.Errorf("user %d is lent while something runs under it", g.User.UID)
		}
		w.view.lent[send.To] = g.User.UID
		if n := w.nesting(); n > 0 && n == len(w.users.all) {
			return fmt.Errorf("all %d users are lent to builders that may ask for builds", n)
		}
	}
	return nil
}

// nesting counts the users of those who may wait for somebody with another one.
func (w *World) nesting() (n int) {
	for at := range w.view.lent {
		if g := w.view.goals[at]; g != nil {
			if d, _ := w.graph.drv(g.target.Path); d.Nests {
				n++
			}
		}
	}
	return n
}

func (*usersChecker) quiet(w *World) error {
	for at, uid := range w.view.lent {
		if w.view.goals[at] == nil {
			return fmt.Errorf("%s is gone and has user %d", at, uid)
		}
	}
	return nil
}
