package sqlite

import (
	"context"
	"errors"
	"time"

	"hookferry/shared/relay"
)

var expectationList = list{name: "expectations", keys: "it", desc: true}

const expectationColumns = "created_at, request, source, account, asked, next_at, give_up_at, event, gave_up, queued"

func readExpectation(r row) relay.Expectation {
	return relay.Expectation{
		CreatedAt: r.time(0), RequestID: r.text(1), SourceID: r.text(2), Account: r.text(3),
		Asked: int(r.int(4)), NextAt: r.time(5), GiveUpAt: r.time(6), EventID: r.text(7), GaveUp: r.bool(8), Queued: r.bool(9),
	}
}

// expectation returns ErrNotFound for one that has expired, too.
func (db *DB) expectation(c *conn, source, request string) (x relay.Expectation, err error) {
	err = one(c.first("SELECT "+expectationColumns+" FROM expectations WHERE source = ? AND request = ? AND created_at >= ?",
		func(r row) error { x = readExpectation(r); return nil }, source, request, db.cutoff()))
	return x, err
}

// countFor is how long the count of a source's unresolved expectations is good,
// with what has been put since: counting reads every one of them, and while it
// does nobody else writes.
const countFor = 2 * time.Second

// maxCounts bounds the sources whose count is kept.
const maxCounts = 1000

type openCount struct {
	n  int64
	at time.Time
}

// unresolved returns how many expectations of the source are waited for, as it
// was up to countFor ago. It is called by the writer alone.
func (db *DB) unresolved(c *conn, source string) (int64, error) {
	now := db.now()
	if have, ok := db.open[source]; ok && !now.Before(have.at) && now.Sub(have.at) < countFor {
		return have.n, nil
	}
	n, err := c.number(`SELECT count(*) FROM expectations
		WHERE source = ? AND event = '' AND gave_up = 0 AND created_at >= ?`, source, db.cutoff())
	if err != nil {
		return 0, err
	}
	if len(db.open) >= maxCounts {
		clear(db.open)
	}
	db.open[source] = openCount{n, now}
	return n, nil
}

// PutExpectation implements relay.Store. One that was given up counts as
// resolved.
func (db *DB) PutExpectation(ctx context.Context, x relay.Expectation, limit int) (existing *relay.Expectation, err error) {
	err = db.w.do(ctx, func(c *conn) error {
		existing = nil
		old, err := db.expectation(c, x.SourceID, x.RequestID)
		if err == nil {
			existing = &old
			return nil
		} else if !errors.Is(err, relay.ErrNotFound) {
			return err
		}
		open, err := db.unresolved(c, x.SourceID)
		if err != nil {
			return err
		}
		if open >= int64(limit) {
			return relay.ErrLimit
		}
		if x.EventID == "" && !x.GaveUp {
			db.open[x.SourceID] = openCount{open + 1, db.open[x.SourceID].at}
		}
		_, err = c.exec(`INSERT OR REPLACE INTO expectations (`+expectationColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			x.CreatedAt, x.RequestID, x.SourceID, x.Account, x.Asked, x.NextAt, x.GiveUpAt, x.EventID, x.GaveUp, x.Queued)
		return err
	})
	return existing, wrap(err, "put expectation %s", x.RequestID)
}

// Expectation implements relay.Store.
func (db *DB) Expectation(ctx context.Context, source, request string) (x relay.Expectation, err error) {
	err = db.read(ctx, func(c *conn) error {
		x, err = db.expectation(c, source, request)
		return err
	})
	return x, wrap(err, "expectation %s", request)
}

// Expectations implements relay.Store.
func (db *DB) Expectations(ctx context.Context, source string, p relay.Page) (xs []relay.Expectation, next string, err error) {
	next, err = db.page(ctx, expectationList, p, "SELECT "+expectationColumns+` FROM expectations
		WHERE source = ? AND created_at >= ? AND (created_at, request) < (?, ?)
		ORDER BY created_at DESC, request DESC`, []any{source, db.cutoff()},
		func(r row) (bool, error) {
			xs = append(xs, readExpectation(r))
			return true, nil
		})
	return xs, next, wrap(err, "expectations of %s", source)
}

// UpdateExpectation implements relay.Store.
func (db *DB) UpdateExpectation(ctx context.Context, x relay.Expectation, asked int) error {
	return wrap(db.w.do(ctx, func(c *conn) error {
		old, err := db.expectation(c, x.SourceID, x.RequestID)
		if err != nil {
			return err
		}
		if old.EventID != "" || old.Asked != asked {
			return relay.ErrConflict
		}
		_, err = c.exec("UPDATE expectations SET asked = ?, next_at = ?, gave_up = ?, queued = ? WHERE source = ? AND request = ?",
			x.Asked, x.NextAt, x.GaveUp, x.Queued, x.SourceID, x.RequestID)
		return err
	}), "update expectation %s", x.RequestID)
}

// ResolveExpectation implements relay.Store.
func (db *DB) ResolveExpectation(ctx context.Context, source, request, event string) (x relay.Expectation, err error) {
	err = db.w.do(ctx, func(c *conn) error {
		x, err = db.expectation(c, source, request)
		if err != nil || x.EventID != "" {
			return err
		}
		x.EventID = event
		_, err = c.exec("UPDATE expectations SET event = ? WHERE source = ? AND request = ?", event, source, request)
		return err
	})
	return x, wrap(err, "resolve expectation %s", request)
}

// DeleteExpectation implements relay.Store.
func (db *DB) DeleteExpectation(ctx context.Context, source, request string) error {
	return wrap(db.w.do(ctx, func(c *conn) error {
		_, err := c.exec("DELETE FROM expectations WHERE source = ? AND request = ?", source, request)
		return err
	}), "delete expectation %s", request)
}
