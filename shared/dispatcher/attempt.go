package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"hookferry/shared/egress"
	"hookferry/shared/relay"
	"hookferry/shared/telemetry"
)

// A job is an attempt to be made.
type job struct {
	ev         *event
	endpointID string
	run        int
	number     int
	due        time.Time
	giveUp     time.Time
	msg        relay.Message // that asks for it
}

// firstJob is the first attempt of an event's automatic run at an endpoint. It
// is due when the event was accepted, whatever the message in hand says.
func firstJob(ev *event, endpoint string, m relay.Message) job {
	return job{
		ev: ev, endpointID: endpoint, number: 1, due: ev.CreatedAt,
		giveUp: ev.deadline(0, endpoint, m.GiveUpAt), msg: m,
	}
}

func (j job) id() string {
	return relay.AttemptID(j.ev.Account, j.ev.Ref().ID, j.endpointID, j.run, j.number, j.due)
}

// message is what asks for the attempt: the one in hand if that is all it asks
// for, else one of its own.
func (j job) message() relay.Message {
	if j.msg.Kind == relay.MessageAttempt {
		return j.msg
	}
	return relay.NewAttemptMessage(j.ev.Ref(), j.endpointID, j.run, j.number, j.due, j.giveUp)
}

// pending is the delivery before the attempt.
func (j job) pending() relay.Delivery {
	d := relay.Delivery{
		EndpointID: j.endpointID, Run: j.run, Attempts: j.number - 1,
		Status: relay.DeliveryPending, NextAttemptAt: j.due,
	}
	if d.Attempts > 0 {
		d.Status = relay.DeliveryRetrying
	}
	return d
}

// attempt makes the attempt that a message asks for.
func (w *work) attempt(ctx context.Context, m relay.Message) error {
	ev, err := w.loadEvent(ctx, m.Ref)
	if errors.Is(err, relay.ErrNotFound) {
		return nil // its retention time is over
	}
	if err != nil {
		return err
	}
	if m.Run < ev.Latest(m.EndpointID) {
		return w.overtaken(ctx, ev, m)
	}
	j := job{
		ev: ev, endpointID: m.EndpointID, run: m.Run, number: m.Number, due: m.DueAt,
		giveUp: ev.deadline(m.Run, m.EndpointID, m.GiveUpAt), msg: m,
	}
	ep, found, err := w.endpoint(ctx, m.Account, m.EndpointID)
	if err != nil {
		return err
	}
	d, out, err := w.deliver(ctx, j, ep, found, true)
	if err != nil {
		return err
	}
	if out == outcomeLater || out == outcomeMoved {
		return nil // the message that was sent instead sees to the rest
	}
	// A crash before this brings the message again, which finds its attempt on
	// record; or, if it was held, leaves it to repair to ask for it once more.
	return w.save(ctx, ev, d)
}

// save saves a delivery, unless its event has expired.
func (w *work) save(ctx context.Context, ev *event, d relay.Delivery) error {
	if err := w.Store.SaveDelivery(ctx, ev.Ref(), d); err != nil && !errors.Is(err, relay.ErrNotFound) {
		return fmt.Errorf("save delivery: %w", err)
	}
	return nil
}

// endpoint returns an endpoint that can be delivered to. One that is not on the
// list of live ones, or disabled there, may be newer than the list, so it is
// asked for before a delivery is skipped.
func (w *work) endpoint(ctx context.Context, account, id string) (ep relay.Endpoint, found bool, err error) {
	live, err := w.Store.LiveEndpoints(ctx, account)
	if err != nil {
		return ep, false, fmt.Errorf("list endpoints: %w", err)
	}
	for _, ep := range live {
		if ep.ID == id && ep.Status == relay.Active {
			return ep, true, nil
		}
	}
	ep, err = w.Store.Endpoint(ctx, account, id)
	if errors.Is(err, relay.ErrNotFound) {
		return ep, false, nil
	}
	if err != nil {
		return ep, false, fmt.Errorf("read endpoint: %w", err)
	}
	return ep, !ep.Deleted(), nil
}

// What became of a job.
type outcome int

const (
	outcomeKept  outcome = iota // the attempt is on record, and its successor sent
	outcomeLater                // a record-only message has the outcome
	outcomeMoved                // not started: a message asks for it again
	outcomeHeld                 // the same, and not before a time that is to be saved
)

// deliver makes the attempt unless check finds that it is on record, records it
// and sends its successor. The delivery it returns is the state to save.
func (w *work) deliver(ctx context.Context, j job, ep relay.Endpoint, found, check bool) (relay.Delivery, outcome, error) {
	if j.run < j.ev.Latest(j.endpointID) {
		return j.pending(), outcomeKept, nil // a newer run has taken over
	}
	if check {
		a, found, err := w.onRecord(ctx, j)
		if err != nil {
			return relay.Delivery{}, 0, err
		}
		if found {
			return a.Delivery(), outcomeKept, w.follow(ctx, a, j, true)
		}
	}
	a, hold, err := w.make(ctx, j, ep, found)
	if errors.Is(err, egress.ErrShortage) {
		// No call was made, so none is used up: the same attempt is asked for again.
		return j.pending(), outcomeMoved, w.retries.send(ctx, w.afterShortage(ctx, j.message(), err))
	}
	if err != nil {
		return relay.Delivery{}, 0, err
	}
	switch {
	case hold == nil:
		return w.keep(ctx, a, j)
	case hold.wait == 0:
		// Durable before the message in hand is deleted; a crash between leaves two,
		// of which the second to record the attempt ends.
		return j.pending(), outcomeMoved, w.retries.send(ctx, j.message())
	}
	return w.hold(ctx, j, hold.wait)
}

// onRecord looks an attempt up, consistently.
func (w *work) onRecord(ctx context.Context, j job) (a relay.Attempt, found bool, err error) {
	a, err = w.Store.Attempt(ctx, j.ev.Account, j.endpointID, j.id())
	if errors.Is(err, relay.ErrNotFound) {
		return a, false, nil
	}
	if err != nil {
		return a, false, fmt.Errorf("read attempt: %w", err)
	}
	return a, true, nil
}

// make makes the attempt: a call, or for a delivery that may not have one, the
// record that there was none. With a hold there is neither.
func (w *work) make(ctx context.Context, j job, ep relay.Endpoint, found bool) (a relay.Attempt, not *hold, err error) {
	now := relay.Millis(w.Now())
	a = relay.Attempt{
		ID: j.id(), Account: j.ev.Account, EventID: j.ev.Ref().ID, EventType: j.ev.Type, EndpointID: j.endpointID,
		Run: j.run, Number: j.number, RequestID: relay.NewID(relay.RequestPrefix, now), DueAt: j.due, CreatedAt: now,
		MID: j.msg.MID, EventCreatedAt: j.ev.CreatedAt,
	}
	skip := func(why string) (relay.Attempt, *hold, error) {
		a.Status, a.Final = relay.AttemptSkipped, true
		a.ErrorCode, a.ErrorMessage = relay.CodeEndpointDisabled, why
		return a, nil, nil
	}
	switch {
	case !found:
		return skip("The endpoint has been deleted.")
	case ep.Status != relay.Active && j.ev.Only != j.endpointID:
		return skip("The endpoint is disabled.")
	case j.ev.Passes >= relay.MaxPasses:
		a.Status, a.Final = relay.AttemptSkipped, true
		a.ErrorCode, a.ErrorMessage = relay.CodeLoop, fmt.Sprintf("The event has gone through Hookferry %d times and is not sent on.", relay.MaxPasses)
		return a, nil, nil
	case !now.Before(j.giveUp):
		a.Status, a.Final = relay.AttemptFailed, true
		a.ErrorCode, a.ErrorMessage = relay.CodeExpired, "The delivery's deadline passed before this attempt could be made."
		return a, nil, nil
	}
	if stop, err := w.cancelled(ctx, j, &a); stop || err != nil {
		return a, nil, err
	}
	body, err := j.ev.bodies.in(ep.Format)
	if errors.Is(err, errFormat) {
		a.Status, a.Final = relay.AttemptSkipped, true
		a.ErrorCode, a.ErrorMessage = relay.CodeFormat, "The endpoint now takes format sivi, which this event cannot be sent in."
		return a, nil, nil
	}
	if err != nil {
		// What is stored cannot be opened, and never will be: that is on record as
		// the end of the delivery, or every repair would come upon it again.
		w.Log.Failure(ctx, "payload unreadable", err, slog.String("account", a.Account), slog.String("event", a.EventID))
		a.Status, a.Final = relay.AttemptFailed, true
		a.ErrorCode, a.ErrorMessage = relay.CodePayloadUnreadable, "The event's body cannot be read from the store any more."
		return a, nil, nil
	}
	return w.admit(ctx, a, j, ep, body)
}

// keep records an attempt and sends its successor. A crash between the call and
// the record repeats the call: that is what at least once means. One between the
// record and the successor does not: the message in hand comes again, finds the
// attempt on record, and sends the successor.
func (w *work) keep(ctx context.Context, a relay.Attempt, j job) (relay.Delivery, outcome, error) {
	rctx, cancel := detached(ctx, recordBound)
	defer cancel()
	existing, err := w.Store.RecordAttempt(rctx, a)
	if err != nil {
		// The delivery stands where it stood, so that repair, should it come before
		// that message, asks for this attempt and not for the one after it: of all
		// who make this one, the first to record it has the successor.
		return j.pending(), outcomeLater, w.recordLater(ctx, a, j, err)
	}
	w.count(ctx, a)
	if existing != nil {
		a = *existing
	}
	return a.Delivery(), outcomeKept, w.follow(ctx, a, j, existing != nil)
}

// recordLater sends an outcome that could not be recorded to the retries queue.
// The write may have taken effect in spite of its error; then the record-only
// message finds the attempt under its own MID and goes on with the successor.
func (w *work) recordLater(ctx context.Context, a relay.Attempt, j job, cause error) error {
	m := relay.Message{
		Kind: relay.MessageRecord, MID: relay.NewMID(), Account: a.Account, Attempt: &a,
		DueAt: relay.Millis(w.Now().Add(time.Second)), GiveUpAt: j.giveUp,
	}
	if err := w.retries.send(ctx, m); err != nil {
		return fmt.Errorf("record attempt: %w; and its outcome could not be queued: %w", cause, err)
	}
	w.count(ctx, a)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.later++
	return nil
}

// follow does what comes after an attempt's record: it sends the successor, or
// disables an endpoint that is gone. An attempt that another message recorded is
// followed by that one.
func (w *work) follow(ctx context.Context, a relay.Attempt, j job, again bool) error {
	if a.MID != j.msg.MID {
		return nil
	}
	if !a.Final {
		next := relay.NewAttemptMessage(j.ev.Ref(), a.EndpointID, a.Run, a.Number+1, a.NextAttemptAt, j.giveUp)
		if err := w.retries.send(ctx, next); err != nil {
			return fmt.Errorf("send attempt %d: %w", next.Number, err)
		}
		return nil
	}
	if a.HTTPStatus == statusGone {
		return w.disable(ctx, a.Account, a.EndpointID, relay.DisabledGone, a.CreatedAt, again)
	}
	return nil
}

// count counts an attempt, and writes a line about a failed one, by which the
// operator finds out whose endpoint fails and why.
func (w *work) count(ctx context.Context, a relay.Attempt) {
	switch a.Status {
	case relay.AttemptSucceeded:
		w.line.Count(telemetry.Delivered, 1)
	case relay.AttemptSkipped:
		w.line.Count(telemetry.Skipped, 1)
	case relay.AttemptFailed:
		w.line.CountClass(telemetry.AttemptsFailed, string(a.ErrorCode))
		w.Log.Outcome(ctx, "attempt failed", slog.String("account", a.Account), slog.String("endpoint", a.EndpointID),
			slog.String("event", a.EventID), slog.String("code", string(a.ErrorCode)), slog.Int("http_status", a.HTTPStatus),
			slog.Int("run", a.Run), slog.Int("attempt", a.Number), slog.Bool("final", a.Final),
			slog.String("request_id", a.RequestID), slog.Float64("duration_ms", float64(a.Duration.Microseconds())/1000))
		if a.Final {
			w.line.Count(telemetry.Exhausted, 1)
		}
	}
}

// record records an outcome that could not be recorded when it happened, and
// does what would have followed.
func (w *work) record(ctx context.Context, m relay.Message) error {
	a := *m.Attempt
	existing, err := w.Store.RecordAttempt(ctx, a)
	if err != nil {
		return fmt.Errorf("record attempt: %w", err)
	}
	mid := a.MID
	if existing != nil {
		a = *existing
	}
	ev, err := w.loadEvent(ctx, relay.EventRef{Account: a.Account, ID: a.EventID, CreatedAt: a.EventCreatedAt})
	if errors.Is(err, relay.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	j := job{
		ev: ev, endpointID: a.EndpointID, run: a.Run, number: a.Number, due: a.DueAt,
		giveUp: ev.deadline(a.Run, a.EndpointID, m.GiveUpAt), msg: relay.Message{MID: mid},
	}
	if a.Run < ev.Latest(a.EndpointID) { // a newer run has taken over
		if !a.Final {
			if err := w.Store.EndAttempt(ctx, a); err != nil {
				return fmt.Errorf("end attempt: %w", err)
			}
		}
	} else {
		if err := w.follow(ctx, a, j, true); err != nil {
			return err
		}
		if err := w.save(ctx, ev, a.Delivery()); err != nil {
			return err
		}
	}
	return w.ensureListed(ctx, ev)
}
