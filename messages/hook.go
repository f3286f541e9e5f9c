package messages

import "troupe/storage/storepath"

// AskHook asks the hooks port to ask a build hook whether it builds a derivation.
// From slots; answered by one [HookReplied] with the same Question, unless
// [DropHook] comes first.
type AskHook struct {
	Goal     Address
	Question uint64
	Drv      storepath.Path
	Program  string
	Willing  bool   `json:",omitempty"` // it would be built here at once
	Settings string `json:",omitempty"` // the client's own; see [Terms]
}

// HookReplied is what the hook said. One that accepted waits for
// [PrepareBuild], or for [DropHook].
type HookReplied struct {
	Goal     Address
	Question uint64
	Reply    HookReply
	Machine  string `json:",omitempty"` // where it builds, if it accepted
	Reason   string `json:",omitempty"` // why there is no reply that could be used
}

// HookReply is an answer to [AskHook].
type HookReply uint8

const (
	HookDeclines  HookReply = iota // it is not for the hook, or there is no hook that answers
	HookAccepts                    // it builds it
	HookPostpones                  // it would, and cannot now
	HookLies                       // it said what has no meaning
)

func (r HookReply) String() string {
	return [...]string{"declines", "accepts", "postpones", "lies"}[r]
}

// DropHook ends what was asked for a goal, and the hook that has accepted. From
// slots; no answer. One that builds already is the build's.
type DropHook struct {
	Goal     Address
	Question uint64
}

func (*AskHook) message()     {}
func (*HookReplied) message() {}
func (*DropHook) message()    {}

func (m *AskHook) String() string     { return line(m) }
func (m *HookReplied) String() string { return line(m) }
func (m *DropHook) String() string    { return line(m) }
