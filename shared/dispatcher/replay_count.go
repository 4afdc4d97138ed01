package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hookferry/shared/relay"
)

// The runs of a replay are counted by walking over them, at a growing distance:
// as long as they have been going on, and at least and at most so long.
const (
	firstCount = 10 * time.Second
	lastCount  = 15 * time.Minute
)

// countStep counts how the runs of a page of what the replay selected stand. At
// the end of a walk the counts are on record; the replay is completed once none
// is open.
func (w *work) countStep(ctx context.Context, r *relay.Replay, pos *position, now time.Time) (time.Duration, error) {
	attempts, next, err := w.Store.Attempts(ctx, r.EndpointID, replayFilter(*r), relay.Page{Limit: 100, After: pos.cursor})
	if err != nil {
		return 0, fmt.Errorf("list attempts: %w", err)
	}
	stands := make([]relay.DeliveryStatus, len(attempts))
	err = w.each(len(attempts), func(i int) (err error) {
		stands[i], err = w.stands(ctx, *r, attempts[i])
		return err
	})
	if err != nil {
		return 0, err
	}
	t := &pos.tally
	for _, status := range stands {
		switch status {
		case "":
		case relay.DeliverySucceeded:
			t.succeeded++
		case relay.DeliveryFailed:
			t.failed++
		case relay.DeliverySkipped:
			t.skipped++
		default:
			t.open++
		}
	}
	if pos.cursor = next; next != "" {
		return 0, nil
	}
	// What has expired meanwhile, or was run once more by another, is found no
	// longer.
	gone := max(0, t.runs-t.succeeded-t.failed-t.skipped-t.open)
	r.Succeeded, r.Failed, r.Skipped, r.Open, r.CountedAt = t.succeeded, t.failed, t.skipped+gone, t.open+t.copies, now
	if t.open == 0 {
		r.Status = relay.ReplayCompleted
	}
	t.succeeded, t.failed, t.skipped, t.open = 0, 0, 0, 0
	return min(max(now.Sub(pos.drained), firstCount), lastCount), nil
}

// stands returns how the run stands that the replay started after the attempt's,
// or "" if it started none.
func (w *work) stands(ctx context.Context, r relay.Replay, a relay.Attempt) (relay.DeliveryStatus, error) {
	rec, err := w.Store.Event(ctx, r.Account, a.EventID, true)
	if errors.Is(err, relay.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read event: %w", err)
	}
	if run := rec.Runs[r.EndpointID]; run.Token != r.ID || run.Number != a.Run+1 {
		return "", nil
	}
	ds, _, err := w.Store.Deliveries(ctx, rec)
	if err != nil {
		return "", fmt.Errorf("read deliveries: %w", err)
	}
	for _, d := range ds {
		if d.EndpointID == r.EndpointID && d.Run == a.Run+1 {
			return d.Status, nil
		}
	}
	return relay.DeliveryPending, nil
}
