package ports

import (
	"bytes"
	"encoding/json"
)

// Saying is what a builder says of what it does, as a line of its log: "@nix" and
// an object in JSON, in the form of Nix's internal-json.
type Saying struct {
	Action string // "setPhase", "msg", "start", "stop" or "result"
	ID     uint64 // of an activity, by the builder's count
	Type   uint64
	Level  uint64
	Text   string
	Msg    string
	Phase  string
	Fields []any // numbers and strings
}

var sayingBegins = []byte("@nix ")

// ReadSaying reads a line. It reports whether it is a saying; any other line is
// output as all else. The error says what is wrong with one that begins as a
// saying does.
func ReadSaying(line []byte) (s Saying, is bool, err error) {
	object, begins := bytes.CutPrefix(line, sayingBegins)
	if !begins {
		return s, false, nil
	}
	if err := json.Unmarshal(object, &s); err != nil {
		return Saying{}, false, err
	}
	switch s.Action {
	case "setPhase", "msg", "start", "stop", "result":
		return s, true, nil
	}
	return s, false, nil
}
