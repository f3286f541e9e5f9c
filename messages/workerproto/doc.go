// Package workerproto is the protocol between Nix's clients and its daemon: how
// versions are agreed on, and how each operation, reply and log frame is
// written. It is a pure codec over an [io.Reader] and an [io.Writer]: it opens
// nothing, starts no goroutine, and does not know what an operation does.
//
// A conversation, for a server:
//
//	d, err := server.Accept(r, w)      hello, versions, features, trust
//	WriteFrame(w, &Last{}, d)          or an Error, to refuse the client
//	for {
//		op, err := r.ReadOp()          io.EOF: the client is done
//		q, err := DecodeRequest(r, op, d)
//		…                              q.Stream(d) says what follows; see [Stream]
//		WriteFrame(w, …, d)            as often as there is something to say
//		WriteFrame(w, &Last{}, d)      or an Error, and no reply
//		WriteReply(w, p, d)
//		w.Flush()
//	}
//
// Everything that comes over the wire is taken for hostile: nothing is
// allocated before the bytes for it are there, each message has a bound, and
// what is wrong is a [*DecodeError] that names operation and field.
//
// The facts are those of Nix 2.8.0 and 2.34.8, as seen on their sockets.
package workerproto
