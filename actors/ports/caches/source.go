package caches

import (
	"context"
	"io"

	"troupe/storage/binarycache"
	"troupe/storage/narinfo"
	"troupe/storage/realisation"
	"troupe/storage/storepath"
)

// source is where paths are fetched from. Its errors may be [*binarycache.Error]s,
// which say what a failure means.
type source interface {
	String() string
	// Describe says what it is, and fails where it cannot be reached.
	Describe(context.Context) (binarycache.Description, error)
	Info(context.Context, storepath.Path) (narinfo.Info, bool, error)
	Realisation(context.Context, realisation.ID) (realisation.Realisation, bool, error)
	// fetch opens the archive that Info found.
	fetch(context.Context, narinfo.Info) (archive, error)
}

// archive is read by one goroutine.
type archive interface {
	io.ReadCloser
	// Received is how many bytes have come; at any time, from anywhere.
	Received() int64
}

// cacheSource is a binary cache.
type cacheSource struct{ *binarycache.Cache }

func (s cacheSource) fetch(ctx context.Context, info narinfo.Info) (archive, error) {
	nar, err := s.FetchUnhashed(ctx, info) // adding it hashes it
	if err != nil {
		return nil, err
	}
	return nar, nil
}
