package sqlite

import (
	"context"
	"slices"
	"time"

	"hookferry/shared/relay"
)

// progress is how an event's deliveries stand. Those of an event that went to
// all its endpoints at the first attempt are not stored, but follow from what
// it matched.
type progress struct {
	ref    relay.EventRef
	listed bool
	stored bool // whether ds are rows; else they are implied
	ds     []relay.Delivery
}

// loadProgress reads the state; matched is asked for what the event matched, if
// that is needed.
func loadProgress(c *conn, ref relay.EventRef, matched func() ([]string, error)) (p progress, err error) {
	p = progress{ref: ref}
	if p.listed, err = c.exists("SELECT 1 FROM listed WHERE account = ? AND created_at = ? AND id = ?",
		ref.Account, ref.CreatedAt, ref.ID); err != nil {
		return p, err
	}
	if err = c.each("SELECT endpoint, run, attempts, status, next_at, not_before FROM deliveries WHERE account = ? AND event = ?",
		func(r row) error {
			p.stored = true
			p.ds = append(p.ds, relay.Delivery{
				EndpointID: r.text(0), Run: int(r.int(1)), Attempts: int(r.int(2)),
				Status: relay.DeliveryStatus(r.text(3)), NextAttemptAt: r.time(4), NotBefore: r.time(5),
			})
			return nil
		}, ref.Account, ref.ID); err != nil {
		return p, err
	}
	if p.listed && !p.stored {
		ids, err := matched()
		if err != nil {
			return p, err
		}
		for _, id := range ids {
			p.ds = append(p.ds, atFirstAttempt(id))
		}
	}
	return p, nil
}

func atFirstAttempt(endpoint string) relay.Delivery {
	return relay.Delivery{EndpointID: endpoint, Attempts: 1, Status: relay.DeliverySucceeded}
}

// matchedOf reads what an event matched; nothing if it is gone.
func matchedOf(c *conn, ref relay.EventRef) func() ([]string, error) {
	return func() (ids []string, err error) {
		_, err = c.first("SELECT matched FROM events WHERE account = ? AND id = ?", func(r row) error {
			ids, err = parseTexts[string](r.text(0))
			return err
		}, ref.Account, ref.ID)
		return ids, err
	}
}

// apply takes in new states, except where what is there has come further, and
// stores what must be. The list's row follows if there is one.
func (p *progress) apply(c *conn, news ...relay.Delivery) error {
	var changed []relay.Delivery
	for _, d := range news {
		i := slices.IndexFunc(p.ds, func(have relay.Delivery) bool { return have.EndpointID == d.EndpointID })
		switch {
		case i < 0:
			p.ds = append(p.ds, d)
		case p.ds[i].Before(d):
			p.ds[i] = d
		default:
			continue
		}
		changed = append(changed, d)
	}
	if !p.stored {
		// An unlisted event's deliveries are implied by nothing, so they are
		// stored even if they succeeded; ListEvent marks it listed first.
		if p.listed && !slices.ContainsFunc(p.ds, func(d relay.Delivery) bool { return d != atFirstAttempt(d.EndpointID) }) &&
			!slices.ContainsFunc(p.ds, func(d relay.Delivery) bool { return d.EndpointID == relay.Confirmation }) {
			return nil
		}
		changed = p.ds
	}
	for _, d := range changed {
		if _, err := c.exec(`INSERT OR REPLACE INTO deliveries
			(account, event, endpoint, event_created_at, run, attempts, status, next_at, not_before) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			p.ref.Account, p.ref.ID, d.EndpointID, p.ref.CreatedAt, d.Run, d.Attempts, string(d.Status), d.NextAttemptAt, d.NotBefore); err != nil {
			return err
		}
		p.stored = true
	}
	return nil
}

// ListEvent implements relay.Store. Of an event that has expired it keeps
// nothing.
func (db *DB) ListEvent(ctx context.Context, ev relay.Event, deliveries []relay.Delivery) error {
	ref := ev.Ref()
	return wrap(db.w.relaxed(ctx, func(c *conn) error {
		if millis(ev.CreatedAt) < db.cutoff() {
			return nil
		}
		p, err := loadProgress(c, ref, matchedOf(c, ref))
		if err != nil {
			return err
		}
		p.listed = true
		if err := p.apply(c, deliveries...); err != nil {
			return err
		}
		_, err = c.exec(`INSERT INTO listed (account, `+listedColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET status = excluded.status`,
			ev.Account, ev.CreatedAt, ref.ID, string(relay.StatusOf(p.ds)), ev.Type, string(ev.Format), ev.SourceID,
			string(ev.VerifiedBy), ev.Test, ev.RequestID, ev.Only, string(ev.Confirm), ev.Subject,
			texts(relay.EndpointsOf(deliveries)))
		return err
	}), "list event %s", ev.ID)
}

// SaveDelivery implements relay.Store. Of an event that has expired it keeps
// nothing.
func (db *DB) SaveDelivery(ctx context.Context, ref relay.EventRef, d relay.Delivery) error {
	return wrap(db.w.relaxed(ctx, func(c *conn) error {
		if millis(ref.CreatedAt) < db.cutoff() {
			return nil
		}
		return saveDelivery(c, ref, d)
	}), "save delivery of %s to %s", ref.ID, d.EndpointID)
}

func saveDelivery(c *conn, ref relay.EventRef, d relay.Delivery) error {
	p, err := loadProgress(c, ref, matchedOf(c, ref))
	if err != nil {
		return err
	}
	if err := p.apply(c, d); err != nil || !p.listed {
		return err
	}
	_, err = c.exec("UPDATE listed SET status = ? WHERE account = ? AND created_at = ? AND id = ?",
		string(relay.StatusOf(p.ds)), ref.Account, ref.CreatedAt, ref.ID)
	return err
}

// Deliveries implements relay.Store. They are in the order in which the event
// matched them.
func (db *DB) Deliveries(ctx context.Context, r relay.EventRecord) (ds []relay.Delivery, listed bool, err error) {
	err = db.snapshot(ctx, func(c *conn) error {
		p, err := loadProgress(c, r.Ref(), func() ([]string, error) { return r.Matched, nil })
		ds, listed = p.ds, p.listed
		return err
	})
	slices.SortStableFunc(ds, func(a, b relay.Delivery) int {
		return slices.Index(r.Matched, a.EndpointID) - slices.Index(r.Matched, b.EndpointID)
	})
	return ds, listed, wrap(err, "deliveries of %s", r.ID)
}

// StartRun implements relay.Store.
func (db *DB) StartRun(ctx context.Context, account, event, endpoint, token string, at time.Time) (run relay.Run, err error) {
	err = db.w.do(ctx, func(c *conn) error {
		e, err := db.readEvent(c, account, event)
		if err != nil {
			return err
		}
		latest, ok := e.Runs[endpoint]
		if ok && latest.Token == token {
			run = latest
			return nil
		}
		run = relay.Run{Number: latest.Number + 1, Token: token, StartedAt: relay.Millis(at)}
		if _, err := c.exec("INSERT OR REPLACE INTO runs (account, event, endpoint, number, token, started_at) VALUES (?, ?, ?, ?, ?, ?)",
			account, event, endpoint, run.Number, token, at); err != nil {
			return err
		}
		if _, err := c.exec(`UPDATE attempts SET final = 1, next_at = 0 WHERE final = 0 AND rowid = (SELECT rowid FROM attempts INDEXED BY attempts_of_event
			WHERE event = ? AND endpoint = ? AND account = ? AND run = ? ORDER BY number DESC LIMIT 1)`,
			event, endpoint, account, latest.Number); err != nil {
			return err
		}
		return saveDelivery(c, e.Ref(), relay.Delivery{
			EndpointID: endpoint, Run: run.Number,
			Status: relay.DeliveryPending, NextAttemptAt: run.StartedAt,
		})
	})
	if err != nil {
		return relay.Run{}, wrap(err, "start run of %s to %s", event, endpoint)
	}
	return run, nil
}

var openList = list{name: "open deliveries", keys: "it", desc: true}

// OpenDeliveries implements relay.Store.
func (db *DB) OpenDeliveries(ctx context.Context, account, endpoint string, since, until time.Time, p relay.Page) (open []relay.Overdue, next string, err error) {
	next, err = db.page(ctx, openList, p, `SELECT event_created_at, event, run, attempts, status, next_at, not_before
		FROM deliveries INDEXED BY deliveries_of_endpoint
		WHERE account = ? AND endpoint = ? AND status IN ('pending', 'retrying') AND next_at > 0
		AND event_created_at >= ? AND event_created_at < ? AND (event_created_at, event) < (?, ?)
		ORDER BY event_created_at DESC, event DESC`,
		[]any{account, endpoint, max(millis(since), db.cutoff()), until}, func(r row) (bool, error) {
			open = append(open, relay.Overdue{
				Event: relay.EventRef{Account: account, ID: r.text(1), CreatedAt: r.time(0)},
				Delivery: relay.Delivery{
					EndpointID: endpoint, Run: int(r.int(2)), Attempts: int(r.int(3)),
					Status: relay.DeliveryStatus(r.text(4)), NextAttemptAt: r.time(5), NotBefore: r.time(6),
				},
			})
			return true, nil
		})
	return open, next, wrap(err, "open deliveries to %s", endpoint)
}

var overdueList = list{name: "overdue", keys: "ittt"}

// Overdue implements relay.Store, the longest overdue first.
func (db *DB) Overdue(ctx context.Context, t time.Time, p relay.Page) (late []relay.Overdue, next string, err error) {
	next, err = db.page(ctx, overdueList, p, `SELECT next_at, account, event, endpoint, event_created_at, run, attempts, status, not_before
		FROM deliveries INDEXED BY deliveries_open
		WHERE status IN ('pending', 'retrying') AND next_at > 0 AND next_at < ? AND not_before < ? AND event_created_at >= ?
		AND (next_at, account, event, endpoint) > (?, ?, ?, ?) ORDER BY next_at, account, event, endpoint`,
		[]any{t, t, db.cutoff()}, func(r row) (bool, error) {
			late = append(late, relay.Overdue{
				Event: relay.EventRef{Account: r.text(1), ID: r.text(2), CreatedAt: r.time(4)},
				Delivery: relay.Delivery{
					EndpointID: r.text(3), Run: int(r.int(5)), Attempts: int(r.int(6)),
					Status: relay.DeliveryStatus(r.text(7)), NextAttemptAt: r.time(0), NotBefore: r.time(8),
				},
			})
			return true, nil
		})
	return late, next, wrap(err, "overdue deliveries")
}
