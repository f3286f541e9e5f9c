package remote

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	"troupe/messages/workerproto"
)

// question is what a hook is asked.
type question struct {
	willing          bool
	platform, drv    string // drv is a name in the store
	requiredFeatures []string
}

// answerTime is how long a hook may take to answer. Before it accepts it connects
// to the machine.
const answerTime = time.Minute

// diedError is a hook that ended instead of answering, or did not answer.
type diedError struct{ text string }

func (e *diedError) Error() string { return e.text }

// liesError is an answer without a meaning.
type liesError struct{ reply string }

func (e *liesError) Error() string { return fmt.Sprintf("bad hook reply '%s'", e.reply) }

// forGood is the answer of a hook that will never accept.
const forGood = "decline-permanently"

// ask asks the hook; what else it says is for hear, and within is how long it has. The error
// is a [*diedError] or a [*liesError], and then the hook is of no use any more.
func (k *hook) ask(q question, within time.Duration, hear func(string)) (reply, machine string, err error) {
	if err := k.said.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", "", err
	}
	if err := k.put(q); err != nil && !errors.Is(err, syscall.EPIPE) { // which is told by what it says
		return "", "", err
	}
	last := "" // not told yet: it may be why there is no answer
	for {
		line, err := k.line()
		if err != nil {
			return "", "", k.died(err, last)
		}
		if last != "" {
			hear(last)
		}
		reply, isReply := strings.CutPrefix(line, "# ")
		if !isReply {
			last = shown(line)
			continue
		}
		switch reply {
		case "accept":
			machine, err = k.machine()
			if err != nil {
				return "", "", k.died(err, "")
			}
			return reply, machine, k.said.SetReadDeadline(time.Time{})
		case "decline", "postpone", forGood:
			return reply, "", nil
		}
		return "", "", &liesError{reply}
	}
}

func (k *hook) died(err error, last string) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &diedError{"build hook does not answer"}
	}
	return &diedError{strings.TrimSuffix("build hook died unexpectedly: "+last, ": ")}
}

// machine is the line after an acceptance: where it will be built. Hooks of Nix 1
// said nothing of it.
func (k *hook) machine() (string, error) {
	if k.Lines {
		return "", nil
	}
	return k.line()
}

// maxLine bounds what a hook says in a line, in bytes.
const maxLine = 1 << 20

// line reads a line of what the hook says.
func (k *hook) line() (string, error) {
	var b strings.Builder
	for {
		part, err := k.lines.ReadSlice('\n')
		b.Write(part)
		switch {
		case err == nil:
			return strings.TrimSuffix(b.String(), "\n"), nil
		case b.Len() > maxLine:
			return "", fmt.Errorf("a line of more than %d bytes", maxLine)
		case errors.Is(err, io.EOF) && b.Len() > 0:
			return b.String(), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
	}
}

// put writes a question, in the form of the hook.
func (k *hook) put(q question) error {
	willing := map[bool]string{false: "0", true: "1"}[q.willing]
	if k.Lines {
		_, err := fmt.Fprintf(k.in, "%s %s %s %s\n", willing, q.platform, q.drv, strings.Join(q.requiredFeatures, ","))
		return err
	}
	w := workerproto.NewWriter(k.in)
	w.String("try")
	w.Bool(q.willing)
	w.String(q.platform)
	w.String(q.drv)
	putAll(w, q.requiredFeatures)
	return w.Flush()
}

func putAll(w *workerproto.Writer, list []string) {
	w.Int(uint64(len(list)))
	for _, s := range list {
		w.String(s)
	}
}

// message is what a hook of Nix 2 says in JSON, after "@nix ".
type message struct {
	Action string
	Level  uint64
	Type   uint64
	Msg    string
	Fields []any
}

func parse(line string) (m message, ok bool) {
	object, isMessage := strings.CutPrefix(line, "@nix ")
	return m, isMessage && json.Unmarshal([]byte(object), &m) == nil
}

// shown is what of a line people should know: what is no message, and warnings.
func shown(line string) string {
	m, ok := parse(line)
	switch {
	case !ok:
		return bare(line)
	case m.Action == "msg" && m.Level <= uint64(workerproto.LevelWarn):
		return bare(m.Msg)
	}
	return ""
}

var prefix = regexp.MustCompile(`^(\x1b\[[0-9;]*m)?(error|warning):(\x1b\[[0-9;]*m)? `)

var colours = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// bare is a message without what says that it is one.
func bare(msg string) string { return prefix.ReplaceAllString(msg, "") }

// logLine is a line of the builder's that a hook tells as a message.
func (m message) logLine() (string, bool) {
	if m.Action != "result" || len(m.Fields) == 0 {
		return "", false
	}
	text, isText := m.Fields[0].(string)
	switch workerproto.ResultType(m.Type) {
	case workerproto.ResBuildLogLine:
		return text, isText
	case workerproto.ResSetPhase:
		object, err := json.Marshal(map[string]string{"action": "setPhase", "phase": text})
		return "@nix " + string(object), isText && err == nil
	}
	return "", false
}
