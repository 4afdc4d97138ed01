package relay

import "context"

type workKey struct{}

// ForMessage returns a context of the work on one message of a batch, named by the
// queue's ID of it. Stores and queues that put calls in order, as those of tests do,
// tell the calls for several messages apart by it.
func ForMessage(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, workKey{}, id)
}

// MessageOf returns the name that ForMessage gave, or "".
func MessageOf(ctx context.Context) string {
	id, _ := ctx.Value(workKey{}).(string)
	return id
}
