package workerproto

import "fmt"

// Request is an operation and its arguments, without the stream that may follow.
// The types are pointers to this package's structs that are named as Nix names
// its operations. Which fields are on the wire depends on the [Dialect].
type Request interface {
	Op() Op
	// Stream says what the client sends after the arguments.
	Stream(Dialect) Stream
	walk(*form)
	// reply is an empty value of the reply's type.
	reply() Reply
}

// Reply is what a server sends after [Last].
type Reply interface{ walk(*form) }

// Stream is how bulk bytes follow a message. They are no part of it, so that
// they can be copied on without being held.
type Stream uint8

const (
	StreamNone   Stream = iota
	StreamFramed        // in frames: [NewFramed]; drain it whatever happens
	StreamNAR           // an archive as it is, which knows its end: read it from the [Reader]
	StreamPull          // the server asks for each piece: [NewPull]
)

func (s Stream) String() string { return [...]string{"none", "framed", "archive", "pull"}[s] }

// noStream is what most requests have.
type noStream struct{}

func (noStream) Stream(Dialect) Stream { return StreamNone }

// DecodeRequest reads the arguments of an operation, whose opcode has been
// read. The error is an [*UnknownOpError] or a [*DecodeError]. Any operation is
// taken in any version: Nix 2.8.0 sends QueryRealisation in every one, though it
// came with 1.27.
func DecodeRequest(r *Reader, op Op, d Dialect) (Request, error) {
	known, ok := operations[op]
	if !ok {
		return nil, &UnknownOpError{op}
	}
	q := known.make()
	if err := read(r, d, op, q.walk); err != nil {
		return nil, err
	}
	return q, nil
}

// WriteRequest writes an operation with its arguments; a stream is to follow as
// [Request.Stream] says. The error says what cannot be said in the dialect; one
// of the stream sticks to the writer.
func WriteRequest(w *Writer, q Request, d Dialect) error {
	w.Int(uint64(q.Op()))
	return write(w, d, q.Op(), q.walk)
}

// ReadReply reads the reply to a request.
func ReadReply(r *Reader, q Request, d Dialect) (Reply, error) {
	r.Begin()
	p := q.reply()
	if err := read(r, d, replyTo(q.Op()), p.walk); err != nil {
		return nil, err
	}
	return p, nil
}

// WriteReply writes the reply to a request.
func WriteReply(w *Writer, p Reply, d Dialect) error {
	return write(w, d, p, p.walk)
}

// read walks over a message that comes.
func read(r *Reader, d Dialect, message any, walk func(*form)) error {
	f := &form{Dialect: d, in: r}
	if walk(f); f.err != nil {
		f.err.Message = nameOf(message)
		return f.err
	}
	return nil
}

// write walks over a message that goes.
func write(w *Writer, d Dialect, message any, walk func(*form)) error {
	f := &form{Dialect: d, out: w}
	if walk(f); f.bad != nil {
		return fmt.Errorf("write %s: %w", nameOf(message), f.bad)
	}
	return nil
}

// replyTo is the reply to an operation.
type replyTo Op

// nameOf is what a message is called in an error, and made only there: a name, what
// it is about, or the message itself.
func nameOf(message any) string {
	switch m := message.(type) {
	case string:
		return m
	case Op:
		return m.String()
	case replyTo:
		return "reply to " + Op(m).String()
	case Frame:
		return fmt.Sprintf("frame %T", m)
	}
	return fmt.Sprintf("%T", message)
}
