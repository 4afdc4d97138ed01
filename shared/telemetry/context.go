package telemetry

import (
	"context"
	"log/slog"
	"slices"
)

type attrsKey struct{}

// traceKey is where the Lambda runtime's client puts the X-Ray trace header. It
// is a plain string there, so it can be read without importing that client.
const traceKey = "x-amzn-trace-id"

// With returns a context whose lines and failures carry attrs besides their
// own: the request_id of a call, the invocation of a batch.
func With(ctx context.Context, attrs ...slog.Attr) context.Context {
	have, _ := ctx.Value(attrsKey{}).([]slog.Attr)
	return context.WithValue(ctx, attrsKey{}, append(slices.Clip(have), attrs...))
}

// Trace returns the X-Ray trace header of the invocation that ctx belongs to,
// empty outside a Lambda.
func Trace(ctx context.Context) string {
	trace, _ := ctx.Value(traceKey).(string)
	return trace
}

func contextAttrs(ctx context.Context) []slog.Attr {
	attrs, _ := ctx.Value(attrsKey{}).([]slog.Attr)
	if trace := Trace(ctx); trace != "" {
		attrs = append(slices.Clip(attrs), slog.String("trace_id", trace))
	}
	return attrs
}
