package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hookferry/shared/relay"
)

// PutEvent implements relay.Store. It is synced with the attempts that follow, and
// undone only together with the deletion of the event's message.
func (db *DB) PutEvent(ctx context.Context, r relay.EventRecord) (existing *relay.EventRecord, err error) {
	unmatched, err := unmatchedText(r.Unmatched)
	if err != nil {
		return nil, err
	}
	matched, ev := texts(r.Matched), r.Event
	insert := func(c *conn) (int64, error) {
		return c.exec(`INSERT INTO events (account, id, created_at, mid, claimed_until, claim_epoch, type, format, source,
			verified_by, test, request, only, confirm, matched, unmatched, payload, subject, traceparent, passes,
			recorded_at, answered_at, answer_outcome, answer)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			ev.Account, ev.Ref().ID, ev.CreatedAt, r.MID, r.ClaimedUntil, db.epoch, ev.Type, string(ev.Format), ev.SourceID,
			string(ev.VerifiedBy), ev.Test, ev.RequestID, ev.Only, string(ev.Confirm), matched, unmatched,
			ev.Payload.Deflated(), ev.Subject, ev.TraceParent, ev.Passes,
			r.RecordedAt, r.Answer.At, string(r.Answer.Outcome), r.Answer.Said)
	}
	err = db.w.relaxed(ctx, func(c *conn) error {
		existing = nil
		n, err := insert(c)
		if err != nil || n > 0 {
			return err
		}
		old, err := db.readEvent(c, ev.Account, ev.Ref().ID)
		if errors.Is(err, relay.ErrNotFound) { // it has expired, and is not purged yet
			if err = purgeEvent(c, ev.Account, ev.Ref().ID); err == nil {
				_, err = insert(c)
			}
			return err
		}
		existing = &old
		return err
	})
	if err != nil {
		return nil, wrap(err, "put event %s", ev.ID)
	}
	return existing, nil
}

// unmatchedText is "endpoint reason" by lines in JSON.
func unmatchedText(list []relay.Unmatched) (string, error) {
	pairs := make([]string, len(list))
	for i, u := range list {
		if strings.Contains(u.EndpointID, " ") {
			return "", fmt.Errorf("endpoint id %q has a space", u.EndpointID)
		}
		pairs[i] = u.EndpointID + " " + string(u.Reason)
	}
	return texts(pairs), nil
}

func parseUnmatched(s string) (list []relay.Unmatched, err error) {
	if s == "" {
		return nil, nil
	}
	var pairs []string
	if err := json.Unmarshal([]byte(s), &pairs); err != nil {
		return nil, fmt.Errorf("stored unmatched endpoints %q: %w", s, err)
	}
	for _, p := range pairs {
		id, reason, _ := strings.Cut(p, " ")
		list = append(list, relay.Unmatched{EndpointID: id, Reason: relay.Mismatch(reason)})
	}
	return list, nil
}

// readEvent returns an event that has not expired, with its runs.
func (db *DB) readEvent(c *conn, account, key string) (e relay.EventRecord, err error) {
	err = one(c.first(`SELECT created_at, mid, claimed_until, claim_epoch, type, format, source, verified_by, test, request,
		only, confirm, matched, unmatched, payload, subject, traceparent, passes,
		recorded_at, answered_at, answer_outcome, answer FROM events WHERE account = ? AND id = ? AND created_at >= ?`,
		func(r row) (err error) {
			e = relay.EventRecord{MID: r.text(1), Event: relay.Event{
				Account: account, CreatedAt: r.time(0),
				Type: r.text(4), Format: relay.Format(r.text(5)), SourceID: r.text(6),
				VerifiedBy: relay.Verification(r.text(7)), Test: r.bool(8), RequestID: r.text(9), Only: r.text(10),
				Confirm: relay.Confirm(r.text(11)), Payload: relay.PayloadFromDeflated(r.blob(14)),
				Subject: r.text(15), TraceParent: r.text(16), Passes: int(r.int(17)),
			}}
			e.SetKey(key)
			e.RecordedAt = r.time(18)
			e.Answer = relay.Answer{At: r.time(19), Outcome: relay.DeliveryStatus(r.text(20)), Said: r.text(21)}
			if r.int(3) == db.epoch {
				e.ClaimedUntil = r.time(2)
			}
			if e.Matched, err = parseTexts[string](r.text(12)); err != nil {
				return err
			}
			e.Unmatched, err = parseUnmatched(r.text(13))
			return err
		}, account, key, db.cutoff()))
	if err != nil {
		return relay.EventRecord{}, err
	}
	err = c.each("SELECT endpoint, number, token, started_at FROM runs WHERE account = ? AND event = ?", func(r row) error {
		if e.Runs == nil {
			e.Runs = map[string]relay.Run{}
		}
		e.Runs[r.text(0)] = relay.Run{Number: int(r.int(1)), Token: r.text(2), StartedAt: r.time(3)}
		return nil
	}, account, key)
	return e, err
}

// ClaimEvent implements relay.Store.
func (db *DB) ClaimEvent(ctx context.Context, ref relay.EventRef, from, until time.Time) error {
	return wrap(db.w.relaxed(ctx, func(c *conn) error {
		n, err := c.exec(`UPDATE events SET claimed_until = ?, claim_epoch = ? WHERE account = ? AND id = ?
			AND CASE claim_epoch WHEN ? THEN claimed_until ELSE 0 END = ?`,
			until, db.epoch, ref.Account, ref.ID, db.epoch, from)
		if err == nil && n == 0 {
			err = relay.ErrConflict
		}
		return err
	}), "claim event %s", ref.ID)
}

// ConfirmEvent implements relay.Store.
func (db *DB) ConfirmEvent(ctx context.Context, ref relay.EventRef, claimed time.Time, a relay.Answer, body relay.Payload) error {
	return wrap(db.w.do(ctx, func(c *conn) error {
		// What it is not confirmed with keeps its body.
		set, args := "", []any{a.At, string(a.Outcome), a.Said}
		if a.Outcome == relay.DeliverySucceeded {
			set, args = ", payload = ?, verified_by = ?", append(args, body.Deflated(), string(relay.VerifiedByTokenFetch))
		}
		n, err := c.exec("UPDATE events SET answered_at = ?, answer_outcome = ?, answer = ?"+set+` WHERE account = ? AND id = ?
			AND CASE claim_epoch WHEN ? THEN claimed_until ELSE 0 END = ?`,
			append(args, ref.Account, ref.ID, db.epoch, claimed)...)
		if err == nil && n == 0 {
			err = relay.ErrConflict
		}
		return err
	}), "confirm event %s", ref.ID)
}

// Event implements relay.Store; it is always consistent: the event and its runs as
// they were at one moment.
func (db *DB) Event(ctx context.Context, account, key string, _ bool) (e relay.EventRecord, err error) {
	err = db.snapshot(ctx, func(c *conn) error {
		e, err = db.readEvent(c, account, key)
		return err
	})
	return e, wrap(err, "event %s", key)
}

// EventsByID implements relay.Store. The keys of one ID stand next to each other
// in the index of keys: the ID itself, and what begins with it and an @.
func (db *DB) EventsByID(ctx context.Context, account, id string) (events []relay.EventRecord, err error) {
	err = db.snapshot(ctx, func(c *conn) error {
		keys := []string{id}
		err := c.each("SELECT id FROM events WHERE account = ? AND id > ? AND id < ?", func(r row) error {
			if shown, _ := relay.CutEventKey(r.text(0)); shown == id {
				keys = append(keys, r.text(0))
			}
			return nil
		}, account, relay.EventKey(relay.SourcePrefix, id), relay.EventKey(relay.SourcePrefix+"~", id))
		if err != nil {
			return err
		}
		for _, key := range keys {
			e, err := db.readEvent(c, account, key)
			if errors.Is(err, relay.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if e.ID == id { // a text that is the key of another event is not its ID
				events = append(events, e)
			}
		}
		return nil
	})
	slices.SortStableFunc(events, func(a, b relay.EventRecord) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return events, wrap(err, "events with id %s", id)
}
