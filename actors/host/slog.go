package host

import (
	"context"
	"log/slog"
)

// renamed passes protoactor's log records on. Its dead-letter record has an
// attribute named "message", which is the key that zerolog uses for the text.
type renamed struct{ slog.Handler }

func (h renamed) Handle(ctx context.Context, rec slog.Record) error {
	out := slog.NewRecord(rec.Time, rec.Level, rec.Message, rec.PC)
	rec.Attrs(func(a slog.Attr) bool {
		if a.Key == "message" {
			a.Key = "letter"
		}
		out.AddAttrs(a)
		return true
	})
	return h.Handler.Handle(ctx, out)
}

func (h renamed) WithAttrs(as []slog.Attr) slog.Handler { return renamed{h.Handler.WithAttrs(as)} }
func (h renamed) WithGroup(name string) slog.Handler    { return renamed{h.Handler.WithGroup(name)} }
