package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"hookferry/shared/egress"
	"hookferry/shared/relay"
	"hookferry/shared/sivi"
	"hookferry/shared/telemetry"
)

// fetchedID is the ID of the event that stands for a request's terminal call
// when that was found by asking: one for each request, so that it is relayed
// once, however often it is found.
func fetchedID(source, request string) string {
	return relay.DerivedID(relay.EventPrefix, "sivi fetch", source, request)
}

// siviCall returns the call that a Sivi event is, if Sivi can be asked about it.
func (w *work) siviCall(ctx context.Context, ev *event) (call sivi.Call, ok bool, err error) {
	if w.Sivi == nil || ev.Format != relay.FormatSivi || ev.SourceID == "" || ev.Test || ev.VerifiedBy == relay.VerifiedByFetch {
		return call, false, nil
	}
	src, err := w.Store.IngestSource(ctx, ev.SourceID)
	if errors.Is(err, relay.ErrNotFound) || err == nil && src.APIKey == "" {
		return call, false, nil
	}
	if err != nil {
		return call, false, fmt.Errorf("read source: %w", err)
	}
	body, err := ev.bodies.raw()
	if err != nil {
		return call, false, poison{err}
	}
	call, err = sivi.Parse(body)
	return call, err == nil, nil
}

// duplicateOfFetched reports whether a terminal call comes after the event that
// was made for it because it did not come.
func (w *work) duplicateOfFetched(ctx context.Context, ev *event) (bool, error) {
	call, ok, err := w.siviCall(ctx, ev)
	if err != nil || !ok || !call.Terminal {
		return false, err
	}
	var x relay.Expectation
	if ev.Confirm == "" || ev.Confirm == relay.ConfirmOff {
		x, err = w.resolve(ctx, ev, call)
	} else {
		// What is not confirmed yet must not end the asking.
		x, err = w.Store.Expectation(ctx, ev.SourceID, call.RequestID)
	}
	if errors.Is(err, relay.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read expectation: %w", err)
	}
	if x.EventID != fetchedID(ev.SourceID, call.RequestID) {
		return false, nil
	}
	w.line.Count(telemetry.Duplicates, 1)
	return true, nil
}

// resolveExpectation ends the asking for a terminal call that was confirmed. It
// reports whether the event is the first of its request with this outcome.
func (w *work) resolveExpectation(ctx context.Context, ev *event) (first bool, err error) {
	call, ok, err := w.siviCall(ctx, ev)
	if err != nil || !ok || !call.Terminal {
		return true, err
	}
	x, err := w.resolve(ctx, ev, call)
	if errors.Is(err, relay.ErrNotFound) {
		return true, nil // nothing is expected, and there is no room to note it
	}
	if err != nil {
		return false, fmt.Errorf("resolve expectation: %w", err)
	}
	if x.EventID == ev.ID {
		return true, nil
	}
	other, err := w.Store.Event(ctx, ev.Account, x.EventID, true)
	if errors.Is(err, relay.ErrNotFound) {
		return true, nil // it has been found, and is not on record yet, or not any more
	}
	if err != nil {
		return false, fmt.Errorf("read the event that came first: %w", err)
	}
	return other.Type != ev.Type, nil
}

// resolve notes that a request's terminal call has come. Where nothing was
// expected it leaves a resolved expectation, for calls that say that the request
// is in progress and are handled only after this one.
func (w *work) resolve(ctx context.Context, ev *event, call sivi.Call) (relay.Expectation, error) {
	x := relay.Expectation{
		Account: ev.Account, SourceID: ev.SourceID, RequestID: call.RequestID,
		CreatedAt: ev.CreatedAt, GiveUpAt: ev.CreatedAt.Add(w.ExpectGiveUp), EventID: ev.ID,
	}
	existing, err := w.Store.PutExpectation(ctx, x, relay.MaxExpectations)
	switch {
	case errors.Is(err, relay.ErrLimit):
		return w.Store.ResolveExpectation(ctx, ev.SourceID, call.RequestID, ev.ID)
	case err != nil:
		return x, err
	case existing == nil:
		return x, nil
	case existing.EventID != "":
		return *existing, nil
	}
	return w.Store.ResolveExpectation(ctx, ev.SourceID, call.RequestID, ev.ID)
}

// learnExpectation expects the terminal call of a request that a call says is in
// progress.
func (w *work) learnExpectation(ctx context.Context, ev *event) error {
	call, ok, err := w.siviCall(ctx, ev)
	if err != nil || !ok || call.Terminal {
		return err
	}
	first := ev.CreatedAt.Add(w.ExpectFirst)
	x := relay.Expectation{
		Account: ev.Account, SourceID: ev.SourceID, RequestID: call.RequestID,
		CreatedAt: ev.CreatedAt, NextAt: first, GiveUpAt: ev.CreatedAt.Add(w.ExpectGiveUp),
		Queued: true, // by the message in hand, which comes again until that is so
	}
	existing, err := w.Store.PutExpectation(ctx, x, relay.MaxExpectations)
	switch {
	case errors.Is(err, relay.ErrLimit):
		w.line.Set(slog.String("expectations_full", ev.SourceID))
		return nil
	case err != nil:
		return fmt.Errorf("put expectation: %w", err)
	case existing != nil && (existing.EventID != "" || !existing.CreatedAt.Equal(x.CreatedAt)):
		return nil // resolved, or another call's, which has sent its message
	}
	// A crash between the two brings the event again, and existing is ours.
	return w.retries.send(ctx, relay.NewExpectMessage(x, 1))
}

// expect asks Sivi for the terminal status of a request, if no terminal call has
// come for it. What it finds goes to the events queue as an event of its own.
func (w *work) expect(ctx context.Context, m relay.Message, receives int) error {
	x, err := w.Store.Expectation(ctx, m.SourceID, m.SiviRequest)
	if errors.Is(err, relay.ErrNotFound) {
		return nil // cancelled
	}
	if err != nil {
		return fmt.Errorf("read expectation: %w", err)
	}
	id := fetchedID(m.SourceID, m.SiviRequest)
	number := max(m.Number, 1)
	switch {
	case x.Account != m.Account || x.GaveUp || x.EventID != "" && x.EventID != id:
		return nil
	case x.EventID == id:
		// Found before, but perhaps not sent. Sent again, it is a duplicate.
		if _, err := w.Store.Event(ctx, m.Account, id, true); !errors.Is(err, relay.ErrNotFound) {
			return err
		}
	case x.Asked > number:
		return nil
	case x.Asked == number && receives <= 1 && w.Now().Before(x.NextAt.Add(overdueAfter)):
		return nil // a copy: the message that asked sees to what follows
	}
	in, wait := w.rooms.enter(m.Account, m.SourceID, w.late)
	if !in {
		m.DueAt = relay.Millis(w.Now())
		m.NotBefore = relay.Millis(w.Now().Add(wait))
		return w.retries.send(ctx, m)
	}
	how := endedUncalled
	defer func() { w.rooms.leave(m.Account, m.SourceID, how) }()
	was := x
	if x.Asked < number {
		// The question is taken before it is asked, so that of all copies one asks
		// and follows. A crash after this brings the message again, which asks then.
		x = w.asking(x, number)
		err := w.Store.UpdateExpectation(ctx, x, was.Asked)
		if errors.Is(err, relay.ErrConflict) || errors.Is(err, relay.ErrNotFound) {
			return nil // taken by a copy, resolved or cancelled meanwhile
		}
		if err != nil {
			return fmt.Errorf("update expectation: %w", err)
		}
	}
	answer, said, err := w.status(ctx, m.Account, m.SourceID, m.SiviRequest)
	how = asked(said, err)
	if errors.Is(err, egress.ErrShortage) && was.Asked < number {
		// Nobody was asked, and the message is put back: it must not find its
		// question taken.
		if uerr := w.Store.UpdateExpectation(ctx, was, number); uerr != nil {
			return fmt.Errorf("give the question back: %w", uerr)
		}
	}
	if err != nil {
		return err
	}
	if said == verdictTrue && answer.Found && answer.Call.Terminal && len(answer.Body) <= relay.MaxPayload {
		return w.found(ctx, m, answer)
	}
	if x.GaveUp {
		return nil
	}
	return w.retries.send(ctx, relay.NewExpectMessage(x, number+1))
}

// found relays a terminal event that Sivi was asked for. The expectation decides
// whether it, or a call that came meanwhile, is the request's terminal event.
func (w *work) found(ctx context.Context, m relay.Message, answer sivi.StatusAnswer) error {
	id := fetchedID(m.SourceID, m.SiviRequest)
	x, err := w.Store.ResolveExpectation(ctx, m.SourceID, m.SiviRequest, id)
	if errors.Is(err, relay.ErrNotFound) || err == nil && x.EventID != id {
		return nil
	}
	if err != nil {
		return fmt.Errorf("resolve expectation: %w", err)
	}
	now := relay.Millis(w.Now())
	ev := relay.Event{
		ID: id, Account: m.Account, Type: answer.Call.Type, Format: relay.FormatSivi, SourceID: m.SourceID,
		VerifiedBy: relay.VerifiedByFetch, CreatedAt: now, RequestID: relay.NewID(relay.RequestPrefix, now),
		Payload: relay.NewPayload(answer.Body),
	}
	if relay.ValidSubject(m.SiviRequest) {
		ev.Subject = m.SiviRequest
	}
	// A crash before this brings the message again, which sees what it has found.
	if err := w.Events.Send(ctx, relay.NewEventMessage(ev).Outgoing(w.Now())); err != nil {
		return fmt.Errorf("send fetched event: %w", err)
	}
	return nil
}

// asking returns the expectation with its number-th question taken: the next one
// comes after twice the wait of the one before, or never.
func (w *work) asking(x relay.Expectation, number int) relay.Expectation {
	now := relay.Millis(w.Now())
	x.Asked, x.Queued = number, true
	if !now.Before(x.GiveUpAt) {
		x.NextAt, x.GaveUp = time.Time{}, true
		return x
	}
	wait := w.ExpectFirst << min(number, 20)
	if wait <= 0 || wait > w.ExpectGiveUp {
		wait = w.ExpectGiveUp
	}
	x.NextAt = earlier(now.Add(wait), x.GiveUpAt)
	return x
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
