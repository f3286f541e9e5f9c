package remote

import (
	"context"
	"errors"

	"troupe/actors/ports"
)

func (r *Remote) engageMachine(ctx context.Context, w ports.Work) (ports.Engagement, error) {
	return nil, errors.New("not yet")
}
