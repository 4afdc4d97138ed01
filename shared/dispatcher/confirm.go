package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hookferry/shared/egress"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/sivi"
	"hookferry/shared/telemetry"
)

// A verdict is what asking Sivi about an event gave.
type verdict int

const (
	verdictTrue    verdict = iota
	verdictFalse           // denied for good
	verdictDenied          // denied, by an answer that may be older than the event
	verdictUnknown         // Sivi could not be asked
	verdictNever           // Sivi cannot ever be asked: no source, no key
)

func confirmMessage(ref relay.EventRef, number int, due, giveUp time.Time) relay.Message {
	return relay.Message{
		Kind: relay.MessageConfirm, MID: relay.NewMID(), Account: ref.Account, Ref: ref,
		Number: number, DueAt: due, GiveUpAt: giveUp,
	}
}

// firstConfirm asks about an event that has just been put, or was put by an
// earlier receive of its message.
func (w *work) firstConfirm(ctx context.Context, ev *event, m relay.Message, endpoints map[string]relay.Endpoint, again bool) error {
	if again {
		ds, listed, err := w.Store.Deliveries(ctx, ev.EventRecord)
		if err != nil {
			return fmt.Errorf("read deliveries: %w", err)
		}
		switch c, ok := confirmation(ds); {
		case ok && !c.Open():
			return w.followOwn(ctx, ev, m)
		case ok && c.Attempts > 0:
			return w.resumeConfirm(ctx, ev, c, 1)
		case !ok && listed:
			return nil // confirmed, and every delivery succeeded
		}
	}
	return w.question(ctx, ev, m, endpoints, 1, func(ds []relay.Delivery) error {
		return w.Store.ListEvent(ctx, ev.Event, ds)
	})
}

// confirm asks about an event again.
func (w *work) confirm(ctx context.Context, m relay.Message) error {
	rec, err := w.Store.Event(ctx, m.Account, m.Ref.ID, true)
	if errors.Is(err, relay.ErrNotFound) {
		return nil // its retention time is over
	}
	if err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	// The claim keeps two copies from relaying the event at the same time.
	if done, err := w.takeOver(ctx, m, &rec); done || err != nil {
		return err
	}
	ev := &event{EventRecord: rec}
	ev.bodies.ev = rec.Event
	defer w.release(ctx, ev)
	ds, listed, err := w.Store.Deliveries(ctx, rec)
	if err != nil {
		return fmt.Errorf("read deliveries: %w", err)
	}
	c, ok := confirmation(ds)
	switch {
	case ok && !c.Open(), !ok && listed:
		return w.followOwn(ctx, ev, m)
	case c.Attempts >= m.Number:
		return w.resumeConfirm(ctx, ev, c, m.Number)
	}
	endpoints, err := w.matched(ctx, ev)
	if err != nil {
		return err
	}
	return w.question(ctx, ev, m, endpoints, m.Number, func(ds []relay.Delivery) error {
		if !listed { // its own message came too late to ask
			return w.Store.ListEvent(ctx, ev.Event, ds)
		}
		// The confirmation comes last, so that a crash before it leaves it open.
		for _, d := range ds {
			if err := w.save(ctx, ev, d); err != nil {
				return err
			}
		}
		return nil
	})
}

func confirmation(ds []relay.Delivery) (relay.Delivery, bool) {
	for _, d := range ds {
		if d.EndpointID == relay.Confirmation {
			return d, true
		}
	}
	return relay.Delivery{}, false
}

// resumeConfirm is for a message whose question has been asked: if the next one
// follows from it, its message may not have been sent.
func (w *work) resumeConfirm(ctx context.Context, ev *event, c relay.Delivery, number int) error {
	if c.Status != relay.DeliveryRetrying || c.Attempts != number {
		return nil
	}
	return w.retries.send(ctx, confirmMessage(ev.Ref(), number+1, c.NextAttemptAt, ev.CreatedAt.Add(relay.GiveUpAfter)))
}

// followOwn is for a message that finds its question settled, by a copy with
// another MID: the attempts that an earlier receive of it has made are followed
// by it alone.
func (w *work) followOwn(ctx context.Context, ev *event, m relay.Message) error {
	for _, id := range ev.Matched {
		j := firstJob(ev, id, m)
		a, found, err := w.onRecord(ctx, j)
		if err != nil {
			return err
		}
		if !found || ev.Latest(id) > 0 {
			continue
		}
		if err := w.follow(ctx, a, j, true); err != nil {
			return err
		}
	}
	return nil
}

// question asks Sivi for the number-th time whether an event is true and does
// what follows. save keeps the deliveries.
func (w *work) question(ctx context.Context, ev *event, m relay.Message, endpoints map[string]relay.Endpoint, number int, save func([]relay.Delivery) error) error {
	c := relay.Delivery{EndpointID: relay.Confirmation, Attempts: number}
	giveUp := ev.CreatedAt.Add(relay.GiveUpAfter)
	said, words := verdictUnknown, "Sivi was not asked before the event's time was over."
	last := !w.Now().Before(giveUp)
	if !last {
		in, wait := w.rooms.enter(ev.Account, ev.SourceID, w.late)
		if !in {
			return w.askLater(ctx, ev, m, number, wait, save)
		}
		var err error
		said, words, err = w.ask(ctx, ev)
		w.rooms.leave(ev.Account, ev.SourceID, asked(said, err))
		if err != nil {
			return err
		}
	}
	if said == verdictDenied || said == verdictUnknown {
		if wait, more := w.Schedule.After(number, 0); more && !last {
			c.Status, c.NextAttemptAt = relay.DeliveryRetrying, relay.Millis(w.Now().Add(wait))
			if err := save(append(waiting(ev, relay.DeliveryPending, 0), c)); err != nil {
				return fmt.Errorf("save confirmation: %w", err)
			}
			if m.Kind == relay.MessageEvent {
				w.release(ctx, ev) // the next question may be due within it
			}
			// A crash before this is healed by resumeConfirm.
			return w.retries.send(ctx, confirmMessage(ev.Ref(), number+1, c.NextAttemptAt, giveUp))
		}
	}
	unasked := said == verdictUnknown || said == verdictNever
	switch {
	case said == verdictTrue:
		c.Status = relay.DeliverySucceeded
		first, err := w.resolveExpectation(ctx, ev)
		if err != nil {
			return err
		}
		if !first {
			// The same outcome of the request has been relayed, as another event.
			w.line.Count(telemetry.Duplicates, 1)
			if err := save(append(waiting(ev, relay.DeliverySkipped, 1), c)); err != nil {
				return fmt.Errorf("save confirmation: %w", err)
			}
			return nil
		}
	case unasked && ev.Confirm != relay.ConfirmRequire:
		c.Status = relay.DeliverySkipped
		if err := w.settled(ctx, ev, c.Status, words, ev.Payload); err != nil {
			return err
		}
	default:
		c.Status = relay.DeliveryRejected
		if err := w.settled(ctx, ev, c.Status, words, ev.Payload); err != nil {
			return err
		}
		if err := save(append(waiting(ev, relay.DeliverySkipped, 1), c)); err != nil {
			return fmt.Errorf("save confirmation: %w", err)
		}
		return nil
	}
	return w.firstAttempts(ctx, ev, m, endpoints, true, func(ds []relay.Delivery, failed bool) error {
		if failed {
			// The message comes again, and must find the confirmation open.
			c = relay.Delivery{EndpointID: relay.Confirmation, Attempts: number - 1, Status: relay.DeliveryPending, NextAttemptAt: m.DueAt}
		}
		return save(append(ds, c))
	})
}

// askLater puts a question off that found no room, or came too late in its
// invocation.
func (w *work) askLater(ctx context.Context, ev *event, m relay.Message, number int, wait time.Duration, save func([]relay.Delivery) error) error {
	// The same question, so the same MID: by it the message knows the attempts
	// that an earlier receive of it has made.
	later := confirmMessage(ev.Ref(), number, relay.Millis(w.Now()), ev.CreatedAt.Add(relay.GiveUpAfter))
	later.MID = m.MID
	if wait > 0 {
		later.NotBefore = relay.Millis(w.Now().Add(wait))
		c := relay.Delivery{
			EndpointID: relay.Confirmation, Attempts: number - 1, Status: relay.DeliveryPending,
			NextAttemptAt: later.DueAt, NotBefore: later.NotBefore,
		}
		if number > 1 {
			c.Status = relay.DeliveryRetrying
		}
		if err := save(append(waiting(ev, relay.DeliveryPending, 0), c)); err != nil {
			return fmt.Errorf("save confirmation: %w", err)
		}
		if m.Kind == relay.MessageEvent {
			w.release(ctx, ev) // it is not to keep the question off
		}
	}
	return w.retries.send(ctx, later)
}

// asked says how a call that asks Sivi ended.
func asked(said verdict, err error) ending {
	switch {
	case err != nil || said == verdictNever:
		return endedUncalled
	case said == verdictUnknown:
		return endedSilence
	}
	return endedWell
}

// waiting is the state of an event's deliveries before any of them was tried.
func waiting(ev *event, status relay.DeliveryStatus, attempts int) []relay.Delivery {
	ds := make([]relay.Delivery, 0, len(ev.Matched)+1)
	for _, id := range ev.Matched {
		ds = append(ds, relay.Delivery{EndpointID: id, Status: status, Attempts: attempts})
	}
	return ds
}

// ask asks Sivi about an event's request. What Sivi confirms is what it said
// itself: its answer takes the place of the posted body on the store, unless the
// two say the same, before anything is relayed. An event that an earlier receive
// has confirmed is not asked about again.
func (w *work) ask(ctx context.Context, ev *event) (v verdict, words string, err error) {
	if ev.VerifiedBy == relay.VerifiedByTokenFetch {
		return verdictTrue, "", nil
	}
	body, err := ev.bodies.raw()
	if err != nil {
		return 0, "", poison{err}
	}
	call, err := sivi.Parse(body)
	if err != nil {
		return 0, "", poison{err}
	}
	answer, said, err := w.status(ctx, ev.Account, ev.SourceID, call.RequestID)
	switch {
	case err != nil:
		return 0, "", err
	case said == verdictNever:
		return said, "Sivi could not be asked, for the source has no sivi_api_key any more.", nil
	case said != verdictTrue:
		return said, "Sivi could not be reached.", nil
	case len(answer.Body) > relay.MaxPayload:
		return verdictUnknown, "Sivi's answer was too large to be relayed.", nil // as if out of reach
	case answer.Found && !sivi.Contradicts(call, answer.Call):
		return verdictTrue, "", w.confirmed(ctx, ev, body, answer.Body)
	case !answer.Found:
		return verdictDenied, "Sivi answered that it knows no such request.", nil
	}
	words = fmt.Sprintf("Sivi answered that the request %s is %q, where the call said %q.",
		relay.Printable(call.RequestID), answer.Call.Status, call.Status)
	if answer.Call.Terminal {
		return verdictFalse, words, nil
	}
	return verdictDenied, words, nil
}

// confirmed stores what Sivi confirmed. A crash after it brings the message
// again, which relays what is stored and asks no more.
func (w *work) confirmed(ctx context.Context, ev *event, posted, answer []byte) error {
	body, words := ev.Payload, "Sivi answered the same."
	if !sivi.Same(posted, answer) {
		body, words = relay.NewPayload(answer), "Sivi answered with another body, which is what is relayed."
	}
	if err := w.settled(ctx, ev, relay.DeliverySucceeded, words, body); err != nil {
		return err
	}
	ev.Payload, ev.VerifiedBy = body, relay.VerifiedByTokenFetch
	ev.bodies = bodies{ev: ev.Event}
	return nil
}

// settled puts on record how the question was settled, for people to read. A
// crash after it brings the message again, which settles it anew.
func (w *work) settled(ctx context.Context, ev *event, outcome relay.DeliveryStatus, words string, body relay.Payload) error {
	answer := relay.Answer{At: relay.Millis(w.Now()), Outcome: outcome, Said: cut(words, relay.MaxAnswer)}
	if err := w.Store.ConfirmEvent(ctx, ev.Ref(), ev.ClaimedUntil, answer, body); err != nil {
		return fmt.Errorf("store what Sivi answered: %w", err)
	}
	return nil
}

// status asks Sivi for the status of a request with the source's key. It says
// verdictTrue when there is an answer, whatever that is. An error is ours.
func (w *work) status(ctx context.Context, account, source, request string) (sivi.StatusAnswer, verdict, error) {
	var none sivi.StatusAnswer
	src, err := w.Store.Source(ctx, account, source)
	if errors.Is(err, relay.ErrNotFound) {
		return none, verdictNever, nil
	}
	if err != nil {
		return none, 0, fmt.Errorf("read source: %w", err)
	}
	if w.Sivi == nil || src.APIKey == "" {
		return none, verdictNever, nil
	}
	key, err := w.Keys.Open(src.APIKey, seal.Place{Account: account, Object: source, Field: seal.SiviAPIKey})
	if err != nil {
		return none, 0, err
	}
	ctx, cancel := detached(ctx, w.DeliveryTimeout)
	defer cancel()
	answer, err := w.Sivi.Status(egress.WithOwner(ctx, account), key, src.API, request)
	if errors.Is(err, egress.ErrShortage) {
		return none, 0, err // nobody was asked
	}
	if err != nil {
		return none, verdictUnknown, nil // all its other errors may pass
	}
	return answer, verdictTrue, nil
}
