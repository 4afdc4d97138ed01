package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/telemetry"
)

var errNotRead = errors.New("the event was not read")

// An event is a recorded event, with its bodies, as one invocation sees it.
type event struct {
	relay.EventRecord
	bodies bodies

	loaded chan struct{} // closed when the record has been read from the store
	err    error
}

// event records an event and makes its first attempts. Writes on the happy path:
// PutEvent, one RecordAttempt for each endpoint, ListEvent.
func (w *work) event(ctx context.Context, m relay.Message) error {
	ev, endpoints, err := w.match(ctx, m)
	if err != nil {
		return err
	}
	// The payload is opened before anything is put: a damaged one is damaged for
	// ever.
	if _, err := ev.bodies.raw(); err != nil {
		return poison{err}
	}
	if dup, err := w.duplicateOfFetched(ctx, ev); dup || err != nil {
		return err
	}
	if dup, err := w.duplicateOfSigned(ctx, ev, m.Proof); dup || err != nil {
		return err
	}
	existing, err := w.Store.PutEvent(ctx, ev.EventRecord)
	if err != nil {
		w.release(ctx, ev) // the put may have taken effect
		return fmt.Errorf("put event: %w", err)
	}
	again := existing != nil
	if !again {
		w.activity.accepted(ev.Event)
	}
	if again {
		if existing.MID != m.MID {
			w.line.Count(telemetry.Duplicates, 1)
			return nil
		}
		if done, err := w.takeOver(ctx, m, existing); done || err != nil {
			return err
		}
		ev.EventRecord = *existing
		ev.bodies = bodies{ev: existing.Event} // not the posted one, if Sivi's answer has taken its place
		if endpoints, err = w.matched(ctx, ev); err != nil {
			w.release(ctx, ev)
			return err
		}
	}
	// A crash from here on leaves the claim: the message comes again, is put back
	// until the claim ends, and goes on with what is not on record.
	if err := w.relay(ctx, ev, m, endpoints, again); err != nil {
		w.release(ctx, ev)
		return err
	}
	return nil
}

// relay makes what there is to make of a claimed event.
func (w *work) relay(ctx context.Context, ev *event, m relay.Message, endpoints map[string]relay.Endpoint, again bool) error {
	if ev.Confirm != "" && ev.Confirm != relay.ConfirmOff {
		return w.firstConfirm(ctx, ev, m, endpoints, again)
	}
	if err := w.learnExpectation(ctx, ev); err != nil {
		return err
	}
	return w.firstAttempts(ctx, ev, m, endpoints, again, func(ds []relay.Delivery, _ bool) error {
		return w.Store.ListEvent(ctx, ev.Event, ds)
	})
}

// match decides which endpoints the event goes to, and returns those.
func (w *work) match(ctx context.Context, m relay.Message) (*event, map[string]relay.Endpoint, error) {
	ev := &event{EventRecord: relay.EventRecord{Event: *m.Event, MID: m.MID, RecordedAt: relay.Millis(w.Now()), ClaimedUntil: w.until}}
	ev.bodies.ev = *m.Event
	live, err := w.Store.LiveEndpoints(ctx, m.Account)
	if err != nil {
		return nil, nil, fmt.Errorf("list endpoints: %w", err)
	}
	if ev.Only != "" && !slices.ContainsFunc(live, func(ep relay.Endpoint) bool { return ep.ID == ev.Only }) {
		// A list of some seconds ago does not have an endpoint made since.
		switch ep, err := w.Store.Endpoint(ctx, m.Account, ev.Only); {
		case err == nil && ep.Deleted():
			ev.Matched = append(ev.Matched, ep.ID)
		case err == nil:
			live = append(slices.Clone(live), ep)
		case !errors.Is(err, relay.ErrNotFound):
			return nil, nil, fmt.Errorf("read endpoint: %w", err)
		}
	}
	held, err := w.filters.held(&ev.bodies, slices.DeleteFunc(slices.Clone(live), func(ep relay.Endpoint) bool {
		why := ep.Match(ev.Event)
		return ev.Only != "" || why != relay.Matches && why != relay.MismatchDisabled
	}))
	if err != nil {
		return nil, nil, err
	}
	endpoints := make(map[string]relay.Endpoint, len(live))
	for _, ep := range live {
		endpoints[ep.ID] = ep
		why := ep.Match(ev.Event)
		if lets, judged := held[ep.ID]; judged && !lets {
			why = relay.MismatchFilter
		}
		switch why {
		case relay.Matches:
			ev.Matched = append(ev.Matched, ep.ID)
		case relay.MismatchOnly:
		case relay.MismatchDisabled:
			// It gets a delivery too, recorded as skipped, for a replay to find.
			ev.Matched = append(ev.Matched, ep.ID)
			ev.Unmatched = append(ev.Unmatched, relay.Unmatched{EndpointID: ep.ID, Reason: why})
		default:
			ev.Unmatched = append(ev.Unmatched, relay.Unmatched{EndpointID: ep.ID, Reason: why})
		}
	}
	return ev, endpoints, nil
}

// matched returns the endpoints that an event was matched with when it was put,
// those of them that are not deleted.
func (w *work) matched(ctx context.Context, ev *event) (map[string]relay.Endpoint, error) {
	endpoints := make(map[string]relay.Endpoint, len(ev.Matched))
	for _, id := range ev.Matched {
		ep, found, err := w.endpoint(ctx, ev.Account, id)
		if err != nil {
			return nil, err
		}
		if found {
			endpoints[id] = ep
		}
	}
	return endpoints, nil
}

// takeOver claims an event that an earlier receive of the message put. It
// reports done if another works on it, and the message has been put back until
// that one's claim ends.
func (w *work) takeOver(ctx context.Context, m relay.Message, existing *relay.EventRecord) (done bool, err error) {
	now, until := w.Now(), w.until
	if existing.ClaimedUntil.After(now) && !existing.ClaimedUntil.After(now.Add(longestClaim)) {
		until = existing.ClaimedUntil
	} else {
		err := w.Store.ClaimEvent(ctx, existing.Ref(), existing.ClaimedUntil, until)
		if err == nil {
			existing.ClaimedUntil = until
			return false, nil
		}
		if !errors.Is(err, relay.ErrConflict) {
			return false, fmt.Errorf("claim event: %w", err)
		}
	}
	m.DueAt = until
	if err := w.lane.Send(ctx, m.Outgoing(now)); err != nil {
		return false, fmt.Errorf("put back until the claim ends: %w", err)
	}
	w.line.Count(telemetry.Hops, 1)
	return true, nil
}

// release ends the claim of an event whose message must come again, so that it
// need not wait for the claim's own end. It is best effort.
func (w *work) release(ctx context.Context, ev *event) {
	ctx, cancel := detached(ctx, sendBound)
	defer cancel()
	_ = w.Store.ClaimEvent(ctx, ev.Ref(), ev.ClaimedUntil, relay.Millis(w.Now()))
}

// firstAttempts makes the first attempts of an event's deliveries. save is told
// what came of them, and whether any of it failed on our side.
func (w *work) firstAttempts(ctx context.Context, ev *event, m relay.Message, endpoints map[string]relay.Endpoint, again bool, save func(ds []relay.Delivery, failed bool) error) error {
	here, overflow := w.fanOut(ev, endpoints)
	jobs := make([]job, len(here))
	for i, id := range here {
		jobs[i] = firstJob(ev, id, m)
	}
	deliveries := make([]relay.Delivery, len(here), len(ev.Matched))
	errs := make([]error, len(here), len(here)+2)
	var late bool
	var lateMu sync.Mutex

	spread, err := w.spread(ctx, ev, m, overflow, again)
	errs = append(errs, err)

	w.retries.enter(len(jobs))
	w.retries.leave() // this party waits for those
	var wg sync.WaitGroup
	for i, j := range jobs {
		atOnce(&wg, i == len(jobs)-1, func() {
			defer w.retries.leave()
			errs[i] = w.guard(func() error {
				ep, found := endpoints[j.endpointID]
				d, out, err := w.deliver(ctx, j, ep, found, again)
				deliveries[i] = d
				lateMu.Lock()
				late = late || out == outcomeLater
				lateMu.Unlock()
				return err
			})
			if errs[i] != nil {
				deliveries[i] = j.pending()
			}
		})
	}
	wg.Wait()
	w.retries.enter(1)

	deliveries = append(deliveries, spread...)
	if len(ev.Matched) == 0 && !again {
		w.line.Count(telemetry.Unmatched, 1)
	}
	// Also when something above failed: what did not is to be seen.
	if err := save(deliveries, errors.Join(errs...) != nil); err != nil && !late {
		// With an outcome on its way in a record-only message, that message lists
		// the event: if this one came again before it, the call would be repeated.
		errs = append(errs, fmt.Errorf("list event: %w", err))
	}
	return errors.Join(errs...)
}

// fanOut says which deliveries are attempted here: those without a call, and at
// most maxFanOut with one.
func (w *work) fanOut(ev *event, endpoints map[string]relay.Endpoint) (here, overflow []string) {
	calls := 0
	for _, id := range ev.Matched {
		ep, found := endpoints[id]
		if found && (ep.Status == relay.Active || ev.Only == id) {
			if calls++; calls > maxFanOut {
				overflow = append(overflow, id)
				continue
			}
		}
		here = append(here, id)
	}
	return here, overflow
}

// spread sends the first attempts that are over maxFanOut to the retries queue.
func (w *work) spread(ctx context.Context, ev *event, m relay.Message, ids []string, again bool) ([]relay.Delivery, error) {
	var ds []relay.Delivery
	var msgs []relay.Message
	var errs []error
	for _, id := range ids {
		j := firstJob(ev, id, m)
		d := j.pending()
		if again {
			a, found, err := w.onRecord(ctx, j)
			errs = append(errs, err)
			if found {
				// Made by an earlier receive, which may have had fewer active endpoints.
				d = a.Delivery()
				errs = append(errs, w.follow(ctx, a, j, true))
			}
			if found || err != nil {
				ds = append(ds, d)
				continue
			}
		}
		ds = append(ds, d)
		msgs = append(msgs, j.message())
	}
	if len(msgs) > 0 {
		for _, err := range sendAll(ctx, w.Retries, w.Now(), msgs) {
			errs = append(errs, fmt.Errorf("send first attempt: %w", err))
		}
	}
	return ds, errors.Join(errs...)
}

// loadEvent reads an event for an attempt, once for all messages of the batch.
// The read is consistent, because whether a newer run has begun must be known.
func (w *work) loadEvent(ctx context.Context, ref relay.EventRef) (*event, error) {
	w.mu.Lock()
	ev, ok := w.events[ref]
	if !ok {
		// The error stands if the reading panics.
		ev = &event{loaded: make(chan struct{}), err: errNotRead}
		w.events[ref] = ev
	}
	w.mu.Unlock()
	if ok {
		<-ev.loaded
		return ev, ev.err
	}
	defer close(ev.loaded)
	if ev.EventRecord, ev.err = w.Store.Event(ctx, ref.Account, ref.ID, true); ev.err != nil {
		ev.err = fmt.Errorf("read event: %w", ev.err)
	}
	ev.bodies.ev = ev.Event
	return ev, ev.err
}

// deadline is when to stop acting on a run: what the message says, and never
// later than what the run's start gives.
func (ev *event) deadline(run int, endpoint string, giveUp time.Time) time.Time {
	start := ev.CreatedAt
	if run > 0 {
		latest := ev.Runs[endpoint]
		if latest.Number != run {
			return giveUp // another run's start says nothing about this one
		}
		start = latest.StartedAt
	}
	if limit := start.Add(relay.GiveUpAfter); giveUp.IsZero() || giveUp.After(limit) {
		return limit
	}
	return giveUp
}
