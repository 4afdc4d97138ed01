package sqlite

import (
	"cmp"
	"context"
	"errors"
	"time"

	"hookferry/shared/relay"
)

var attemptList = list{name: "attempts", keys: "t", desc: true}

const attemptColumns = `id, endpoint, account, event, type, run, number, status, final, http, request, duration, snippet,
	code, message, due_at, created_at, next_at, mid, event_created_at, url, signatures`

func readAttempt(r row) relay.Attempt {
	return relay.Attempt{
		ID: r.text(0), EndpointID: r.text(1), Account: r.text(2), EventID: r.text(3), EventType: r.text(4),
		Run: int(r.int(5)), Number: int(r.int(6)), Status: relay.AttemptStatus(r.text(7)), Final: r.bool(8),
		HTTPStatus: int(r.int(9)), RequestID: r.text(10), Duration: time.Duration(r.int(11)), Snippet: r.text(12),
		ErrorCode: relay.ErrorCode(r.text(13)), ErrorMessage: r.text(14), DueAt: r.time(15), CreatedAt: r.time(16),
		NextAttemptAt: r.time(17), MID: r.text(18), EventCreatedAt: r.time(19),
		URL: r.text(20), Signatures: r.text(21),
	}
}

func (db *DB) attempt(c *conn, endpoint, id string) (a relay.Attempt, err error) {
	err = one(c.first("SELECT "+attemptColumns+" FROM attempts WHERE endpoint = ? AND id = ? AND created_at >= ?",
		func(r row) error { a = readAttempt(r); return nil }, endpoint, id, db.cutoff()))
	return a, err
}

// RecordAttempt implements relay.Store. It comes before all other writes, because a
// call that was made and is not on record is made again after a crash.
func (db *DB) RecordAttempt(ctx context.Context, a relay.Attempt) (existing *relay.Attempt, err error) {
	insert := func(c *conn, or string) (int64, error) {
		return c.exec("INSERT OR "+or+" INTO attempts ("+attemptColumns+`)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			a.ID, a.EndpointID, a.Account, a.EventID, a.EventType, a.Run, a.Number, string(a.Status), a.Final, a.HTTPStatus,
			a.RequestID, int64(a.Duration), a.Snippet, string(a.ErrorCode), a.ErrorMessage, a.DueAt, a.CreatedAt,
			a.NextAttemptAt, a.MID, a.EventCreatedAt, a.URL, a.Signatures)
	}
	err = db.w.first(ctx, func(c *conn) error {
		existing = nil
		n, err := insert(c, "IGNORE")
		if err != nil || n > 0 {
			return err
		}
		old, err := db.attempt(c, a.EndpointID, a.ID)
		if errors.Is(err, relay.ErrNotFound) { // it has expired, and is not purged yet
			_, err = insert(c, "REPLACE")
			return err
		}
		existing = &old
		return err
	})
	if err != nil {
		return nil, wrap(err, "record attempt %s", a.ID)
	}
	return existing, nil
}

// Attempt implements relay.Store.
func (db *DB) Attempt(ctx context.Context, account, endpoint, id string) (a relay.Attempt, err error) {
	err = db.read(ctx, func(c *conn) error {
		a, err = db.attempt(c, endpoint, id)
		return err
	})
	if err == nil && a.Account != account {
		a, err = relay.Attempt{}, relay.ErrNotFound
	}
	return a, wrap(err, "attempt %s", id)
}

// Attempts implements relay.Store. Those of one event, and those that did not
// succeed, are found by an index; the rest is looked for row by row.
func (db *DB) Attempts(ctx context.Context, endpoint string, f relay.AttemptFilter, p relay.Page) (attempts []relay.Attempt, next string, err error) {
	from, to := "", "b" // every identifier begins with att_
	if !f.Since.IsZero() {
		from = relay.AttemptIDFloor(f.Since)
	}
	if !f.Until.IsZero() {
		to = relay.AttemptIDFloor(f.Until)
	}
	const tail = ` AND endpoint = ? AND id >= ? AND id < ? AND created_at >= ? AND id < ? ORDER BY id DESC`
	query, args := "SELECT "+attemptColumns+" FROM attempts WHERE true"+tail, []any{}
	switch {
	case f.EventID != "":
		query = "SELECT " + attemptColumns + " FROM attempts INDEXED BY attempts_of_event WHERE event = ?" + tail
		args = append(args, f.EventID)
	case f.Bad || f.Status != "" && f.Status != relay.AttemptSucceeded:
		query = "SELECT " + attemptColumns + " FROM attempts INDEXED BY attempts_bad WHERE status <> 'succeeded'" + tail
	}
	args = append(args, endpoint, from, to, db.cutoff())
	next, err = db.page(ctx, attemptList, p, query, args, func(r row) (bool, error) {
		a := readAttempt(r)
		if f.Status != "" && a.Status != f.Status || f.Bad && a.Status == relay.AttemptSucceeded ||
			f.Final != nil && a.Final != *f.Final || !relay.TypeFits(f.Types, a.EventType) {
			return false, nil
		}
		attempts = append(attempts, a)
		return true, nil
	})
	return attempts, next, wrap(err, "attempts of %s", endpoint)
}

// EventAttempts implements relay.Store.
func (db *DB) EventAttempts(ctx context.Context, ref relay.EventRef, endpoints []string, limit int) (attempts []relay.Attempt, err error) {
	err = db.snapshot(ctx, func(c *conn) error {
		if there, err := c.exists("SELECT 1 FROM events WHERE account = ? AND id = ? AND created_at >= ?", ref.Account, ref.ID, db.cutoff()); err != nil || !there {
			return cmp.Or(err, relay.ErrNotFound)
		}
		for _, endpoint := range endpoints {
			err := c.each("SELECT "+attemptColumns+` FROM attempts INDEXED BY attempts_of_event
				WHERE event = ? AND endpoint = ? AND account = ? AND created_at >= ? ORDER BY id DESC LIMIT ?`, func(r row) error {
				attempts = append(attempts, readAttempt(r))
				return nil
			}, ref.ID, endpoint, ref.Account, db.cutoff(), limit)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return relay.NewestAttempts(attempts, limit), wrap(err, "attempts of %s", ref.ID)
}

// EndAttempt implements relay.Store.
func (db *DB) EndAttempt(ctx context.Context, a relay.Attempt) error {
	return wrap(db.w.do(ctx, func(c *conn) error {
		_, err := c.exec("UPDATE attempts SET final = 1, next_at = 0 WHERE endpoint = ? AND id = ?", a.EndpointID, a.ID)
		return err
	}), "end attempt %s", a.ID)
}
