// Package remote is a client of the daemon that holds a store: Nix's or ours. It
// asks and is answered, adds what is to be built, and turns what the daemon says
// of its builds into what goals say of themselves, so that the same display
// shows it.
package remote

import (
	"context"

	"troupe/actors/ports/remotestore"
	"troupe/messages/workerproto"
	"troupe/storage/storepath"
)

// Client is a connection to a daemon, for one goroutine at a time.
type Client struct{ *remotestore.Conn }

// oldest is the version that brought results for each target.
var oldest = workerproto.MakeVersion(1, 34)

// Dial connects to the daemon at a socket, for paths of dir. Errors are those of
// [remotestore.DialSocket].
func Dial(ctx context.Context, socket string, dir storepath.Dir) (*Client, error) {
	c, err := remotestore.DialSocket(ctx, socket, dir, oldest)
	if err != nil {
		return nil, err
	}
	return &Client{c}, nil
}
