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
			line.Count(telemetry.RepairWalks, 1) // their absence is an alarm
			return overdue, nil
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
