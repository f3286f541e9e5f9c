package nar

import (
	"context"
	"io"
)

// Within writes to w until ctx ends: then it fails with its cause. So what
// writes a large archive can be cancelled.
func Within(ctx context.Context, w io.Writer) io.Writer { return within{ctx, w} }

type within struct {
	ctx context.Context
	io.Writer
}

func (w within) Write(b []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	return w.Writer.Write(b)
}
