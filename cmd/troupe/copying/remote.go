package copying

import (
	"context"

	"troupe/actors/ports/remotestore"
	"troupe/storage/realisation"
	"troupe/storage/storepath"
)

// Remote is a store that another process holds.
type Remote struct {
	remotestore.Any
	Terms remotestore.Terms
}

// Realisations: a store is asked for them by derivation only.
func (s Remote) Realisations(context.Context, storepath.Path) ([]realisation.Realisation, error) {
	return nil, nil
}

// Add sends all as one stream, where the store takes that.
func (s Remote) Add(ctx context.Context, objects []Object) error {
	if len(objects) == 0 {
		return nil
	}
	return s.Any.Add(ctx, s.Terms, objects...)
}
