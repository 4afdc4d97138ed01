package dispatcher

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/telemetry"
)

// overdueAfter is how late an attempt must be before the repair walk takes its
// message for lost.
const overdueAfter = 10 * time.Minute

// Repair walks over the open deliveries of all accounts and sends again the
// messages of those that are more than 10 minutes late. It returns how many it
// found; the count is also the overdue alarm. A message that was only slow makes
// no second attempt: the attempt is on record when its copy comes. An error ends
// the walk; what was sent before it is counted.
func (d *Dispatcher) Repair(ctx context.Context) (overdue int, err error) {
	line := d.Log.Line("repair")
	defer func() {
		line.Count(telemetry.Overdue, overdue)
		level := slog.LevelInfo
		if overdue > 0 {
			level = slog.LevelWarn
		}
		line.End(ctx, level)
	}()
	before := d.Now().Add(-overdueAfter)
	page := relay.Page{Limit: 100}
	for {
		late, next, err := d.Store.Overdue(ctx, before, page)
		if err != nil {
			return overdue, fmt.Errorf("list overdue deliveries: %w", err)
		}
		now := d.Now()
		var out []relay.Outgoing
		for _, o := range late {
			out = append(out, again(o).Outgoing(now))
		}
		overdue += len(late)
		if len(out) > 0 {
			if err := d.Retries.Send(ctx, out...); err != nil {
				return overdue, fmt.Errorf("send overdue attempts: %w", err)
			}
		}
		if page.After = next; next == "" {
			if err := d.repairReplays(ctx, before, line); err != nil {
				return overdue, err
			}
			line.Count(telemetry.RepairWalks, 1) // their absence is an alarm
			return overdue, nil
		}
	}
}

// repairReplays sends again the messages of replays whose next step is long
// overdue. A step that was only slow is made once: its record says which is next.
func (d *Dispatcher) repairReplays(ctx context.Context, before time.Time, line *telemetry.Line) error {
	found := 0
	for page := (relay.Page{Limit: 100}); ; {
		replays, next, err := d.Store.UnfinishedReplays(ctx, page)
		if err != nil {
			return fmt.Errorf("list unfinished replays: %w", err)
		}
		now := relay.Millis(d.Now())
		var out []relay.Outgoing
		for _, r := range replays {
			due := r.NextAt
			if due.IsZero() {
				due = r.UpdatedAt
			}
			pos, err := parsePosition(r.After)
			if err != nil || !due.Before(before) || pos.claimed.After(before) {
				continue
			}
			out = append(out, relay.NewReplayMessage(r, pos.step, now, r.CreatedAt.Add(relay.GiveUpAfter)).Outgoing(now))
		}
		found += len(out)
		if len(out) > 0 {
			if err := d.Retries.Send(ctx, out...); err != nil {
				return fmt.Errorf("send replays again: %w", err)
			}
		}
		if page.After = next; next == "" {
			if found > 0 {
				line.Set(slog.Int("replays", found))
			}
			return nil
		}
	}
}

// again returns the message that an overdue delivery waits for. What ends it is
// known from the event, so the message's own end need not be exact.
func again(o relay.Overdue) relay.Message {
	giveUp := o.Delivery.NextAttemptAt.Add(relay.GiveUpAfter)
	if o.Delivery.EndpointID == relay.Confirmation {
		return confirmMessage(o.Event, o.Delivery.Attempts+1, o.Delivery.NextAttemptAt, giveUp)
	}
	return relay.NewAttemptMessage(o.Event, o.Delivery.EndpointID, o.Delivery.Run, o.Delivery.Attempts+1,
		o.Delivery.NextAttemptAt, giveUp)
}
