package sqlite

import (
	"context"
	"time"
)

const (
	// purgeBatch is how many rows are looked at in one transaction, so that
	// accepts wait a few milliseconds for it at most.
	purgeBatch = 200
	purgeEvery = time.Minute
)

// purgeLoop deletes what has expired until ctx ends. An error passes: the next
// round does what this one could not.
func (db *DB) purgeLoop(ctx context.Context) {
	timer := time.NewTicker(purgeEvery)
	defer timer.Stop()
	for {
		db.keepClock(ctx)
		for more := true; more && ctx.Err() == nil; {
			n, err := db.purge(ctx)
			more = err == nil && n > 0
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// purge deletes one batch of what has expired from each table and returns how
// many rows that were. Rows are looked at in the order in which they were
// written, oldest first; one that is expired behind many that are not waits for
// them, unseen, since reads go by the clock.
func (db *DB) purge(ctx context.Context) (n int64, err error) {
	type event struct{ account, id string }
	// Nothing needs a sync: what a power cut brings back is purged again.
	err = db.w.relaxed(ctx, func(c *conn) error {
		n = 0
		var old []event
		if err := c.each(`SELECT account, id FROM (SELECT account, id, created_at FROM events ORDER BY rowid LIMIT ?)
			WHERE created_at < ?`, func(r row) error {
			old = append(old, event{r.text(0), r.text(1)})
			return nil
		}, purgeBatch, db.cutoff()); err != nil {
			return err
		}
		for _, e := range old {
			if err := purgeEvent(c, e.account, e.id); err != nil {
				return err
			}
		}
		n += int64(len(old))
		return nil
	})
	for _, t := range []struct{ table, time string }{
		{"attempts", "created_at"}, {"expectations", "created_at"}, {"idempotency", "expires_at"},
	} {
		if err != nil {
			break
		}
		before := db.cutoff()
		if t.time == "expires_at" {
			before = millis(db.now())
		}
		err = db.w.relaxed(ctx, func(c *conn) error {
			gone, err := c.exec("DELETE FROM "+t.table+" WHERE rowid IN (SELECT rowid FROM "+t.table+
				" ORDER BY rowid LIMIT ?) AND "+t.time+" < ?", purgeBatch, before)
			n += gone
			return err
		})
	}
	if err == nil {
		err = db.w.relaxed(ctx, func(c *conn) error {
			gone, err := c.exec(`DELETE FROM link_keys WHERE hash IN
				(SELECT hash FROM link_keys INDEXED BY link_keys_by_age WHERE expires_at < ? LIMIT ?)`, millis(db.now()), purgeBatch)
			n += gone
			return err
		})
	}
	if err == nil {
		err = db.w.relaxed(ctx, func(c *conn) error {
			gone, err := c.exec(`DELETE FROM refusals WHERE (source, hour, reason) IN
				(SELECT source, hour, reason FROM refusals INDEXED BY refusals_by_age WHERE hour < ? LIMIT ?)`, db.cutoff(), purgeBatch)
			n += gone
			return err
		})
	}
	if err == nil {
		err = db.w.relaxed(ctx, func(c *conn) error {
			gone, err := db.purgeDead(c)
			n += gone
			return err
		})
	}
	if err == nil {
		err = db.w.relaxed(ctx, func(c *conn) error { // there are few of them
			gone, err := c.exec("DELETE FROM replays WHERE created_at < ?", db.cutoff())
			n += gone
			return err
		})
	}
	return n, wrap(err, "purge")
}

// purgeEvent deletes an event and all that is kept under it.
func purgeEvent(c *conn, account, id string) error {
	if _, err := c.exec(`DELETE FROM listed WHERE account = ? AND id = ?
		AND created_at = (SELECT created_at FROM events WHERE account = ? AND id = ?)`, account, id, account, id); err != nil {
		return err
	}
	for _, table := range []string{"deliveries", "runs"} {
		if _, err := c.exec("DELETE FROM "+table+" WHERE account = ? AND event = ?", account, id); err != nil {
			return err
		}
	}
	_, err := c.exec("DELETE FROM events WHERE account = ? AND id = ?", account, id)
	return err
}

// keepClock leaves the queues' clock in the file, for a start after a crash, and
// makes visible what a wrong clock has hidden. An error passes, as purge's do.
func (db *DB) keepClock(ctx context.Context) {
	_ = db.w.relaxed(ctx, func(c *conn) error {
		now := db.steady.now()
		if _, err := reviveHidden(c, now); err != nil {
			return err
		}
		return noteClock(c, now)
	})
}

// purgeDead deletes endpoints and keys that have been dead for the retention
// time, and what is counted of such endpoints.
func (db *DB) purgeDead(c *conn) (n int64, err error) {
	type endpoint struct{ account, id string }
	var dead []endpoint
	if err := c.each("SELECT account, id FROM endpoints INDEXED BY endpoints_dead WHERE revoked_at > 0 AND revoked_at < ? LIMIT ?",
		func(r row) error { dead = append(dead, endpoint{r.text(0), r.text(1)}); return nil }, db.cutoff(), purgeBatch); err != nil {
		return 0, err
	}
	for _, e := range dead {
		if _, err := c.exec("DELETE FROM endpoints WHERE account = ? AND id = ?", e.account, e.id); err != nil {
			return 0, err
		}
		for _, query := range []string{
			"DELETE FROM counters WHERE endpoint = ?",
			"DELETE FROM activity WHERE endpoint = ?", "DELETE FROM calls WHERE endpoint = ?",
		} {
			if _, err := c.exec(query, e.id); err != nil {
				return 0, err
			}
		}
	}
	for _, of := range []string{
		"keys INDEXED BY keys_revoked WHERE revoked_at > 0 AND revoked_at < ?",
		"keys INDEXED BY keys_expired WHERE expires_at > 0 AND expires_at < ?",
	} {
		gone, err := c.exec("DELETE FROM keys WHERE (account, id) IN (SELECT account, id FROM "+of+" LIMIT ?)", db.cutoff(), purgeBatch)
		if n += gone; err != nil {
			return n, err
		}
	}
	return n + int64(len(dead)), nil
}
