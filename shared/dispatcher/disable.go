package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hookferry/events"
	"hookferry/shared/relay"
	"hookferry/shared/telemetry"
)

// maxLookBack is how many pages of attempts are searched for a success before an
// endpoint is disabled.
const maxLookBack = 20

// judge disables an endpoint whose every attempt has failed for FailingAfter.
// Counters are best effort, so a success that they have missed is looked for
// among the attempts before.
func (d *Dispatcher) judge(ctx context.Context, u due, c relay.Counters, line *telemetry.Line) (disabled bool, err error) {
	if c.FailureCount == 0 || c.FailingSince.IsZero() || c.LastFailureAt.Sub(c.FailingSince) < d.FailingAfter {
		return false, nil
	}
	ep, err := d.Store.Endpoint(ctx, u.account, u.endpoint)
	if errors.Is(err, relay.ErrNotFound) || err == nil && (ep.Deleted() || ep.Status != relay.Active) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read endpoint: %w", err)
	}
	page := relay.Page{Limit: 1}
	for range maxLookBack {
		as, next, err := d.Store.Attempts(ctx, u.endpoint, relay.AttemptFilter{Status: relay.AttemptSucceeded, Since: c.FailingSince}, page)
		if err != nil {
			return false, fmt.Errorf("look for a success: %w", err)
		}
		for _, a := range as {
			if a.CreatedAt.After(c.FailingSince) {
				// The counters have missed it; they start again from there.
				_, err := d.Store.AddOutcomes(ctx, u.endpoint, relay.Outcomes{LastSuccessAt: relay.Millis(a.CreatedAt.Add(a.Duration))})
				return false, err
			}
		}
		if page.After = next; next == "" {
			break
		}
	}
	return d.disableNow(ctx, u.account, u.endpoint, relay.DisabledFailing, c.LastFailureAt, false, line)
}

// disable disables an endpoint that is gone.
func (w *work) disable(ctx context.Context, account, endpoint string, why relay.DisabledReason, since time.Time, again bool) error {
	_, err := w.disableNow(ctx, account, endpoint, why, since, again, w.line)
	return err
}

// disableNow disables an endpoint unless it has been edited after since: then
// what was seen of it until since says nothing about it as it is now. It tells
// the account with an event whose ID follows from endpoint and time. A crash
// between the two leaves the account untold, unless the message in hand comes
// again: then again is true and the same event is sent again.
func (d *Dispatcher) disableNow(ctx context.Context, account, endpoint string, why relay.DisabledReason, since time.Time, again bool, line *telemetry.Line) (bool, error) {
	for range 3 {
		ep, err := d.Store.Endpoint(ctx, account, endpoint)
		switch {
		case errors.Is(err, relay.ErrNotFound) || err == nil && ep.Deleted():
			return false, nil
		case err != nil:
			return false, fmt.Errorf("read endpoint: %w", err)
		case ep.Status != relay.Active:
			if again && ep.DisabledReason == why {
				return false, d.tell(ctx, ep)
			}
			return false, nil
		case ep.UpdatedAt.After(since):
			return false, nil
		}
		ep.Disable(why, relay.Millis(d.Now()))
		err = d.Store.UpdateEndpoint(ctx, ep)
		if errors.Is(err, relay.ErrConflict) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("disable endpoint: %w", err)
		}
		line.Count(telemetry.EndpointDisabled, 1)
		return true, d.tell(ctx, ep)
	}
	return false, fmt.Errorf("disable endpoint: %w", relay.ErrConflict)
}

// tell accepts the event that says that an endpoint has been disabled.
func (d *Dispatcher) tell(ctx context.Context, ep relay.Endpoint) error {
	id := relay.DerivedID(relay.EventPrefix, events.TypeDisabled, ep.ID, relay.FormatTime(ep.DisabledAt))
	return d.announce(ctx, relay.Event{
		ID: id, Account: ep.Account, Type: events.TypeDisabled, CreatedAt: ep.DisabledAt, Subject: ep.ID,
		Payload: relay.NewPayload(events.DisabledBody(id, ep, ep.DisabledAt)),
	})
}

// announce accepts an event of our own about an endpoint, its subject.
func (d *Dispatcher) announce(ctx context.Context, ev relay.Event) error {
	ev.Format, ev.VerifiedBy = relay.FormatRivya, relay.VerifiedByKey
	if err := d.Events.Send(ctx, relay.NewEventMessage(ev).Outgoing(d.Now())); err != nil {
		return fmt.Errorf("send %s: %w", ev.Type, err)
	}
	return nil
}
