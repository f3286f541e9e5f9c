package journal

import (
	"fmt"
	"strings"

	"troupe/messages"
	"troupe/storage/storepath"
)

// String renders a record for people:
//
//	SECONDS ACTOR <- MESSAGE [STATE] => EFFECT; EFFECT …
func (r Record) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.6f %s <- ", r.At.Seconds(), r.Actor)
	if r.Unknown != "" {
		fmt.Fprintf(&b, "(with %s, which this program does not know) ", r.Unknown)
	}
	if r.Message != nil {
		fmt.Fprintf(&b, "%v ", r.Message)
	}
	fmt.Fprintf(&b, "[%s]", r.State)
	for i, e := range r.Effects {
		sep := "; "
		if i == 0 {
			sep = " => "
		}
		b.WriteString(sep + e.String())
	}
	if r.Panic != "" {
		fmt.Fprintf(&b, " PANIC %q", r.Panic)
	}
	return b.String()
}

// Concerns reports whether a record has to do with a derivation or a path: it is
// a step of its goal or of its builder, or the message names it.
func (r Record) Concerns(p storepath.Path) bool {
	base := p.Base()
	if strings.Contains(string(r.Actor), base) {
		return true
	}
	return r.Message != nil && mentions(r.Message, base)
}

func mentions(m messages.Message, base string) bool { return strings.Contains(m.String(), base) }
