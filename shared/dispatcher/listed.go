package dispatcher

import (
	"context"
	"fmt"

	"hookferry/shared/relay"
)

// ensureListed lists an event whose own message left that to a record-only one.
func (w *work) ensureListed(ctx context.Context, ev *event) error {
	ds, listed, err := w.Store.Deliveries(ctx, ev.EventRecord)
	if err != nil {
		return fmt.Errorf("read deliveries: %w", err)
	}
	if listed {
		return nil
	}
	have := map[string]bool{}
	for _, d := range ds {
		have[d.EndpointID] = true
	}
	for _, id := range ev.Matched {
		if have[id] {
			continue
		}
		j := firstJob(ev, id, relay.Message{})
		a, found, err := w.onRecord(ctx, j)
		if err != nil {
			return err
		}
		if found {
			ds = append(ds, a.Delivery())
		} else {
			ds = append(ds, j.pending())
		}
	}
	if err := w.Store.ListEvent(ctx, ev.Event, ds); err != nil {
		return fmt.Errorf("list event: %w", err)
	}
	return nil
}
