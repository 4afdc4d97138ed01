package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hookferry/events"
	"hookferry/shared/relay"
)

// tellEvery is how often at most an account is told that an endpoint is degraded,
// and that it has recovered.
const tellEvery = time.Hour

// tellHealth tells an account what has become of an endpoint. Of all processes
// that see it, the one that takes the mark tells. A crash between the mark and
// the event leaves the account untold; the endpoint shows its health.
func (d *Dispatcher) tellHealth(ctx context.Context, u due, c relay.Counters) error {
	now := relay.Millis(d.Now())
	hourAgo := now.Add(-tellEvery)
	health := c.Health(d.FailingAfter)
	if health == relay.Failing && c.FailingAt.Before(c.FailingSince) {
		return d.tellOnce(ctx, u, c, relay.MarkFailing, c.FailingSince.Add(-time.Millisecond), now, events.TypeFailing)
	}
	if health != relay.Healthy {
		if c.DegradedAt.Before(c.FailingSince) && !c.DegradedAt.After(hourAgo) {
			return d.tellOnce(ctx, u, c, relay.MarkDegraded, hourAgo, now, events.TypeDegraded)
		}
		return nil
	}
	if c.RecoveredAt.Before(c.DegradedAt) && c.LastSuccessAt.After(c.DegradedAt) && !c.RecoveredAt.After(hourAgo) {
		return d.tellOnce(ctx, u, c, relay.MarkRecovered, hourAgo, now, events.TypeRecovered)
	}
	return nil
}

// tellOnce tells if no other process has told. Whoever is told "degraded" late,
// because an hour had to pass, is told in the words of now.
func (d *Dispatcher) tellOnce(ctx context.Context, u due, c relay.Counters, m relay.Mark, free, now time.Time, typ string) error {
	ep, err := d.Store.Endpoint(ctx, u.account, u.endpoint)
	if errors.Is(err, relay.ErrNotFound) || err == nil && (ep.Deleted() || ep.Status != relay.Active) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read endpoint: %w", err)
	}
	last, err := d.lastFailure(ctx, u.endpoint)
	if err != nil {
		return err
	}
	taken, err := d.Store.TakeMark(ctx, u.endpoint, m, free, now)
	if err != nil || !taken {
		return err
	}
	id := relay.DerivedID(relay.EventPrefix, typ, ep.ID, relay.FormatTime(now))
	return d.announce(ctx, relay.Event{
		ID: id, Account: ep.Account, Type: typ, CreatedAt: now, Subject: ep.ID,
		Payload: relay.NewPayload(events.HealthBody(id, typ, ep, c, c.Health(d.FailingAfter), last, now)),
	})
}

// lastFailure returns the newest failed attempt of an endpoint, an empty one if
// there is none on record.
func (d *Dispatcher) lastFailure(ctx context.Context, endpoint string) (relay.Attempt, error) {
	page := relay.Page{Limit: 1}
	for range maxLookBack {
		as, next, err := d.Store.Attempts(ctx, endpoint, relay.AttemptFilter{Status: relay.AttemptFailed}, page)
		if err != nil {
			return relay.Attempt{}, fmt.Errorf("look for the last failure: %w", err)
		}
		if len(as) > 0 {
			return as[0], nil
		}
		if page.After = next; next == "" {
			break
		}
	}
	return relay.Attempt{}, nil
}
