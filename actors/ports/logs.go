package ports

import (
	"context"
	"io"

	"troupe/messages"
	"troupe/storage/buildlog"
	"troupe/storage/storepath"
)

// FollowLog reads the log of a goal's build from its beginning to its end, as it
// comes. Of a build that is over it is what is kept.
func (p *Builds) FollowLog(ctx context.Context, goal messages.Address, drv storepath.Path) (io.ReadCloser, error) {
	if b := p.find(goal); b != nil && b.log != nil {
		return b.log.Follow(ctx)
	}
	return buildlog.Read(p.s.Layout.LogDir, drv)
}
