package dispatcher

import (
	"context"
	"fmt"

	"hookferry/shared/relay"
	"hookferry/shared/telemetry"
)

// duplicateOfSigned reports whether what the provider signed has come before
// under another ID, where the ID is not part of what is signed: whoever has seen
// one call can send it again under any ID, and that is one event.
//
// If we die after this write and before the event is put, the message comes
// again, finds its own event's key, and goes on. Another message with the same
// bytes is a duplicate all that time, because this one is on a queue until its
// event is put.
func (w *work) duplicateOfSigned(ctx context.Context, ev *event, proof string) (bool, error) {
	if proof == "" {
		return false, nil
	}
	key := ev.Ref().ID
	existing, err := w.Store.PutIdempotency(ctx, relay.Idempotency{
		Account: ev.Account, Key: relay.HashSecret(relay.Secret("signed\n" + ev.SourceID + "\n" + proof)), EventID: key,
		CreatedAt: ev.CreatedAt, ExpiresAt: ev.CreatedAt.Add(w.Retention),
	})
	if err != nil {
		return false, fmt.Errorf("put the proof of event %s: %w", key, err)
	}
	if existing == nil || existing.EventID == key {
		return false, nil
	}
	w.line.Count(telemetry.Duplicates, 1)
	return true, nil
}
