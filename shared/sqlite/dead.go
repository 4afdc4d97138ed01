package sqlite

import (
	"context"
	"strconv"

	"hookferry/shared/relay"
)

// Bury implements relay.Queue.
func (q *Queue) Bury(ctx context.Context, msg relay.Received, reason string) error {
	id, _, err := parseReceipt(msg.Receipt)
	if err != nil {
		return wrap(err, "bury on %s", q.name)
	}
	return wrap(q.db.w.do(ctx, func(c *conn) error {
		var of turn
		if _, err := c.first("SELECT account, grp FROM messages WHERE id = ?", func(r row) error {
			of = turn{r.text(0), r.text(1)}
			return nil
		}, id); err != nil {
			return err
		}
		_, err := c.exec("INSERT INTO dead (lane, dead_at, receives, reason, account, grp, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
			q.name, q.db.now(), msg.Receives, reason, of.account, of.group, msg.Body)
		return err
	}), "bury on %s", q.name)
}

// Dead implements relay.DeadLetters. They are not hidden from other readers.
func (q *Queue) Dead(ctx context.Context, after string, limit int) (dead []relay.DeadLetter, err error) {
	err = q.db.read(ctx, func(c *conn) error {
		return c.each("SELECT id, dead_at, receives, reason, body FROM dead WHERE lane = ? AND id > ? ORDER BY id LIMIT ?",
			func(r row) error {
				id := strconv.FormatInt(r.int(0), 10)
				dead = append(dead, relay.DeadLetter{
					ID: id, Receipt: id, DeadAt: r.time(1), Receives: int(r.int(2)),
					Reason: r.text(3), Body: r.blob(4),
				})
				return nil
			}, q.name, deadID(relay.DeadLetter{Receipt: after}), max(limit, 0))
	})
	return dead, wrap(err, "dead letters of %s", q.name)
}

// Redrive implements relay.DeadLetters, in one step; ErrNotFound if the message
// is no longer there, so that redriving twice sends it once.
func (q *Queue) Redrive(ctx context.Context, d relay.DeadLetter) error {
	var of turn
	err := q.db.w.do(ctx, func(c *conn) error {
		var body []byte
		found, err := c.first("SELECT account, grp, body FROM dead WHERE id = ? AND lane = ?", func(r row) error {
			of, body = turn{r.text(0), r.text(1)}, r.blob(2)
			return nil
		}, deadID(d), q.name)
		if err != nil {
			return err
		}
		if !found {
			return relay.ErrNotFound
		}
		if err := insertMessage(c, q.name, of, body, q.db.steady.now(), 0); err != nil {
			return err
		}
		_, err = c.exec("DELETE FROM dead WHERE id = ?", deadID(d))
		return err
	})
	if err == nil {
		q.lane.turns.note(of, q.db.steady.now().UnixMilli())
		q.lane.wake()
	}
	return wrap(err, "redrive %s of %s", d.ID, q.name)
}

// Drop implements relay.DeadLetters. One that is gone is no error.
func (q *Queue) Drop(ctx context.Context, d relay.DeadLetter) error {
	return wrap(q.db.w.do(ctx, func(c *conn) error {
		_, err := c.exec("DELETE FROM dead WHERE id = ? AND lane = ?", deadID(d), q.name)
		return err
	}), "drop %s of %s", d.ID, q.name)
}

// Release implements relay.DeadLetters. Reading hides nothing here.
func (q *Queue) Release(context.Context, ...relay.DeadLetter) error { return nil }

// DeadCount implements relay.DeadLetters; it is exact.
func (q *Queue) DeadCount(ctx context.Context) (n int, err error) {
	err = q.db.read(ctx, func(c *conn) error {
		count, err := c.number("SELECT count(*) FROM dead WHERE lane = ?", q.name)
		n = int(count)
		return err
	})
	return n, wrap(err, "count dead letters of %s", q.name)
}

// Depth returns how many messages the lane has that are visible, and how many
// that wait for their time or are in flight.
func (q *Queue) Depth(ctx context.Context) (visible, hidden int, err error) {
	err = q.db.read(ctx, func(c *conn) error {
		_, err := c.first("SELECT count(*) FILTER (WHERE visible_at <= ?), count(*) FROM messages WHERE lane = ?",
			func(r row) error {
				visible, hidden = int(r.int(0)), int(r.int(1)-r.int(0))
				return nil
			}, q.db.steady.now(), q.name)
		return err
	})
	return visible, hidden, wrap(err, "depth of %s", q.name)
}

// deadID returns the row of a dead letter, 0, which is none, if it is not ours.
func deadID(d relay.DeadLetter) int64 {
	id, err := strconv.ParseInt(d.Receipt, 10, 64)
	if err != nil {
		return 0
	}
	return id
}
