package sqlite

import (
	"context"
	"fmt"
	"time"

	"hookferry/shared/relay"
)

// Receive implements relay.Queue. Accounts take turns, and so do the groups of
// each; the messages of a group come in the order in which they became visible.
func (q *Queue) Receive(ctx context.Context, limit int, wait, visibility time.Duration) ([]relay.Received, error) {
	if limit < 1 || limit > relay.MaxBatch || visibility < 0 || visibility > maxHide {
		return nil, fmt.Errorf("receive from %s: limit %d or visibility %v out of range", q.name, limit, visibility)
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	woken := false
	for {
		changed := q.lane.wait()
		pause := time.Duration(0)
		if !woken { // else there is something to take, without a look
			next, err := q.next(ctx)
			if err != nil {
				return nil, wrap(err, "receive from %s", q.name)
			}
			if pause = poll; next > 0 {
				pause = min(poll, fromMillis(next).Sub(q.db.steady.now()))
			}
		}
		woken = false
		if pause <= 0 {
			got, err := q.take(ctx, limit, visibility)
			if err != nil {
				return nil, wrap(err, "receive from %s", q.name)
			}
			if len(got) > 0 || wait <= 0 {
				return got, nil
			}
			// Others took them, or they were moved to the dead ones.
			select {
			case <-deadline.C:
				return nil, nil
			default:
				continue
			}
		}
		if wait <= 0 {
			return nil, nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-changed:
			woken = true
		case <-timer.C:
		case <-deadline.C:
			timer.Stop()
			return nil, nil
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

// next returns when the lane's first message is visible, 0 if it has none.
func (q *Queue) next(ctx context.Context) (at int64, err error) {
	err = q.db.read(ctx, func(c *conn) error {
		at, err = c.number("SELECT visible_at FROM messages WHERE lane = ? ORDER BY visible_at LIMIT 1", q.name)
		return err
	})
	return at, err
}

// take hides up to limit messages and returns them. That needs no sync of its
// own: a receive that a power cut undoes was the crash of its receiver too.
func (q *Queue) take(ctx context.Context, limit int, visibility time.Duration) (got []relay.Received, err error) {
	err = q.db.w.relaxed(ctx, func(c *conn) error {
		t := taking{c: c, lane: q.name, now: q.db.steady.now(), wall: q.db.now(), visibility: visibility, limit: limit}
		err := q.lane.turns.serve(&t)
		got = t.got
		return err
	})
	return got, err
}

// A taking is one receive within its transaction.
type taking struct {
	c          *conn
	lane       string
	now        time.Time // on the queues' clock
	wall       time.Time
	visibility time.Duration
	limit      int // of messages that are looked at
	looked     int
	got        []relay.Received
}

// A found is a message that is to be received.
type found struct {
	id       int64
	receives int64
	msg      relay.Received
}

// from receives up to n messages of one turn, the oldest first. It returns when
// the next of its messages will be visible, 0 if it has none.
func (t *taking) from(of turn, n int) (next int64, err error) {
	var fs []found
	// Not LIMIT ?: SQLite compiles a statement anew whenever that is bound.
	err = t.c.each(`SELECT m.id, m.receives, m.sent_at, b.body, m.visible_at FROM messages m
		LEFT JOIN bodies b ON b.id = m.id AND m.visible_at <= ?
		WHERE m.lane = ? AND m.account = ? AND m.grp = ? ORDER BY m.visible_at, m.id`, func(r row) error {
		if next = r.int(4); next > t.now.UnixMilli() || len(fs) == n {
			return errStop
		}
		fs = append(fs, found{r.int(0), r.int(1), relay.Received{Body: r.blob(3), Receives: int(r.int(1)) + 1, SentAt: r.time(2)}})
		next = 0
		return nil
	}, t.now.UnixMilli(), t.lane, of.account, of.group)
	if err != nil {
		return 0, err
	}
	if len(fs) > 0 {
		if again := after(t.now, t.visibility); next == 0 || again < next {
			next = again
		}
	}
	return next, t.receive(fs)
}

// oldest receives what has been visible for longest, whosever it is, and returns
// whose it was.
func (t *taking) oldest() (of []turn, err error) {
	var fs []found
	err = t.c.each(`SELECT m.id, m.receives, m.sent_at, b.body, m.account, m.grp FROM messages m JOIN bodies b ON b.id = m.id
		WHERE m.lane = ? AND m.visible_at <= ? ORDER BY m.visible_at, m.id`, func(r row) error {
		fs = append(fs, found{r.int(0), r.int(1), relay.Received{Body: r.blob(3), Receives: int(r.int(1)) + 1, SentAt: r.time(2)}})
		of = append(of, turn{r.text(4), r.text(5)})
		if len(fs) == t.limit-t.looked {
			return errStop
		}
		return nil
	}, t.lane, t.now.UnixMilli())
	if err != nil {
		return nil, err
	}
	return of, t.receive(fs)
}
