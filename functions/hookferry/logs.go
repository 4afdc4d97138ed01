package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"hookferry/shared/relay"
)

var errTooManyConns = errors.New("the limit of connections is reached")

// A harmlessHandler makes every text of a record printable before the handler below
// writes it. What strangers sent may stand in a log, and nothing of it acts on
// the terminal that shows it, or on the one that shows the file later. It also
// takes apart a written-out escape, \x1b, which the readable handler would turn
// back into the character.
type harmlessHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h harmlessHandler) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, harmless(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(harmlessAttr(a))
		return true
	})
	return h.Handler.Handle(ctx, clean)
}

// WithAttrs implements slog.Handler.
func (h harmlessHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = harmlessAttr(a)
	}
	return harmlessHandler{h.Handler.WithAttrs(clean)}
}

// WithGroup implements slog.Handler.
func (h harmlessHandler) WithGroup(name string) slog.Handler {
	return harmlessHandler{h.Handler.WithGroup(harmless(name))}
}

func harmless(s string) string {
	return strings.ReplaceAll(relay.Printable(s), `\x1b`, `\x1B`)
}

func harmlessAttr(a slog.Attr) slog.Attr {
	a.Key = harmless(a.Key)
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(harmless(v.String()))
	case slog.KindGroup:
		group := v.Group()
		clean := make([]slog.Attr, len(group))
		for i, member := range group {
			clean[i] = harmlessAttr(member)
		}
		a.Value = slog.GroupValue(clean...)
	case slog.KindAny:
		switch any := v.Any().(type) {
		case error:
			a.Value = slog.StringValue(harmless(any.Error()))
		case []string:
			clean := make([]string, len(any))
			for i, s := range any {
				clean[i] = harmless(s)
			}
			a.Value = slog.AnyValue(clean)
		case fmt.Stringer:
			a.Value = slog.StringValue(harmless(any.String()))
		}
	}
	return a
}
