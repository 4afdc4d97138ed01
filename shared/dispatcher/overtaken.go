package dispatcher

import (
	"context"
	"errors"
	"fmt"

	"hookferry/shared/relay"
)

// overtaken is for a message of a run that a newer one has taken over from. The
// attempt before it may have been in flight then, and says that this one follows:
// it is marked as the last.
func (w *work) overtaken(ctx context.Context, ev *event, m relay.Message) error {
	if m.Number < 2 {
		return nil
	}
	attempts, err := w.Store.EventAttempts(ctx, ev.Ref(), []string{m.EndpointID}, maxOvertaken)
	if errors.Is(err, relay.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read attempts: %w", err)
	}
	for _, a := range attempts {
		if a.Run == m.Run && a.Number == m.Number-1 && !a.Final {
			if err := w.Store.EndAttempt(ctx, a); err != nil {
				return fmt.Errorf("end attempt: %w", err)
			}
		}
	}
	return nil
}

// maxOvertaken is how many of a delivery's attempts are looked at for the one
// that was overtaken.
const maxOvertaken = 100
