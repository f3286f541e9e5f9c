package sessions

import (
	"troupe/messages"
	"troupe/messages/workerproto"
)

// A client hears of post-build hooks as of an activity each.

func (w *watcher) hookStarts(m *messages.HookStarted) {
	w.queueUp(func() {
		drv := w.out.d.Dir.Join(m.Drv)
		w.hooks[m.Goal] = w.out.start(workerproto.StartActivity{Level: workerproto.LevelTalkative, Type: workerproto.ActPostBuildHook,
			Text: "running post-build-hook '" + m.Hook + "'", Fields: []workerproto.Field{workerproto.Text(drv)}})
	})
}

func (w *watcher) hookSays(m *messages.HookLine) {
	w.queueUp(func() { w.out.result(w.hooks[m.Goal], workerproto.ResPostBuildLogLine, workerproto.Text(m.Line)) })
}

func (w *watcher) hookEnds(goal messages.Address) {
	w.queueUp(func() {
		w.out.stop(w.hooks[goal])
		delete(w.hooks, goal)
	})
}
