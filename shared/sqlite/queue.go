package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"hookferry/shared/relay"
)

// maxHide is the longest that a message can be hidden, as on SQS.
const maxHide = 12 * time.Hour

// poll is how often an empty lane is looked at for what other processes sent
// and for clocks that jump. What this process sends wakes a Receive at once.
const poll = 250 * time.Millisecond

// A Queue is one lane. It implements relay.Queue and relay.DeadLetters.
type Queue struct {
	db   *DB
	name string
	lane *lane
}

var (
	_ relay.Queue       = (*Queue)(nil)
	_ relay.DeadLetters = (*Queue)(nil)
)

// Queue returns the lane of this name.
func (db *DB) Queue(name string) *Queue {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.lanes[name] == nil {
		db.lanes[name] = &lane{changed: make(chan struct{})}
	}
	return &Queue{db, name, db.lanes[name]}
}

// lane wakes those who wait for messages of one name.
type lane struct {
	mu      sync.Mutex
	changed chan struct{} // closed at the next message
}

func (l *lane) wait() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

func (l *lane) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}

// Send implements relay.Queue. All messages of a call share a transaction.
func (q *Queue) Send(ctx context.Context, msgs ...relay.Outgoing) error {
	refused := map[int]error{}
	for i, m := range msgs {
		if err := acceptable(m); err != nil {
			refused[i] = err
		}
	}
	if len(refused) < len(msgs) {
		err := q.db.w.do(ctx, func(c *conn) error {
			now := q.db.now()
			for i, m := range msgs {
				if refused[i] == nil {
					if err := insertMessage(c, q.name, m.Group, m.Body, now, m.Delay); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return wrap(err, "send to %s", q.name)
		}
		// What is hidden for longer is found in time by whoever looks.
		if slices.ContainsFunc(msgs, func(m relay.Outgoing) bool { return m.Delay < poll }) {
			q.lane.wake()
		}
	}
	if len(refused) > 0 {
		return &relay.SendError{Failed: refused}
	}
	return nil
}

// acceptable says what SQS would refuse.
func acceptable(m relay.Outgoing) error {
	switch {
	case m.Delay < 0 || m.Delay > relay.MaxDelay:
		return fmt.Errorf("delay %v is not within 0 and %v", m.Delay, relay.MaxDelay)
	case len(m.Body) > relay.MaxMessageSize:
		return fmt.Errorf("body of %d bytes: %w", len(m.Body), relay.ErrTooLarge)
	case len(m.Body) == 0 || !utf8.Valid(m.Body):
		return errors.New("body is empty or not UTF-8")
	}
	return nil
}

func insertMessage(c *conn, lane, group string, body []byte, now time.Time, delay time.Duration) error {
	id, err := c.insert(`INSERT INTO messages (lane, visible_at, receives, receipt, in_flight, sent_at, grp)
		VALUES (?, ?, 0, 0, 0, ?, ?)`, lane, after(now, delay), millis(now), group)
	if err != nil {
		return err
	}
	_, err = c.exec("INSERT INTO bodies (id, body) VALUES (?, ?)", id, body)
	return err
}

// after returns the first millisecond that is at least d after now.
func after(now time.Time, d time.Duration) int64 {
	if d == 0 {
		return now.UnixMilli()
	}
	return now.Add(d + time.Millisecond - 1).UnixMilli()
}

// Receive implements relay.Queue. Messages come in the order in which they
// became visible.
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
				pause = min(poll, fromMillis(next).Sub(q.db.now()))
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
		got = got[:0]
		now := q.db.now()
		var ids []int64
		var spent []int64
		// Not LIMIT ?: SQLite compiles a statement anew whenever that is bound.
		err := c.each(`SELECT m.id, m.receives, m.sent_at, b.body FROM messages m JOIN bodies b ON b.id = m.id
			WHERE m.lane = ? AND m.visible_at <= ? ORDER BY m.visible_at, m.id`, func(r row) error {
			if r.int(1) >= relay.MaxReceives {
				spent = append(spent, r.int(0))
			} else {
				ids = append(ids, r.int(0))
				got = append(got, relay.Received{Body: r.blob(3), Receives: int(r.int(1)) + 1, SentAt: r.time(2)})
			}
			if len(ids)+len(spent) == limit {
				return errStop
			}
			return nil
		}, q.name, now.UnixMilli())
		if err != nil {
			return err
		}
		for _, id := range spent {
			if err := moveToDead(c, id, now); err != nil {
				return err
			}
		}
		for i, id := range ids {
			// A receipt is good for this receive alone, whatever becomes of the
			// row's number.
			nonce := rand.Int64()
			if _, err := c.exec(`UPDATE messages SET visible_at = ?, receives = receives + 1, receipt = ?, in_flight = 1
				WHERE id = ?`, after(now, visibility), nonce, id); err != nil {
				return err
			}
			receipt := strconv.FormatInt(id, 36) + "." + strconv.FormatInt(nonce, 36)
			got[i].ID, got[i].Receipt = receipt, receipt
		}
		return nil
	})
	return got, err
}

func moveToDead(c *conn, id int64, now time.Time) error {
	if _, err := c.exec(`INSERT INTO dead (lane, dead_at, receives, reason, grp, body)
		SELECT m.lane, ?, m.receives, '', m.grp, b.body FROM messages m JOIN bodies b ON b.id = m.id WHERE m.id = ?`,
		now, id); err != nil {
		return err
	}
	return deleteMessage(c, id)
}

func deleteMessage(c *conn, id int64) error {
	if _, err := c.exec("DELETE FROM messages WHERE id = ?", id); err != nil {
		return err
	}
	_, err := c.exec("DELETE FROM bodies WHERE id = ?", id)
	return err
}

// parseReceipt returns the row and the receive that a receipt stands for.
func parseReceipt(receipt string) (id, nonce int64, err error) {
	first, second, _ := strings.Cut(receipt, ".")
	id, err1 := strconv.ParseInt(first, 36, 64)
	nonce, err2 := strconv.ParseInt(second, 36, 64)
	if err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("receipt %q is none of ours", receipt)
	}
	return id, nonce, nil
}

// Delete implements relay.Queue. A message that has been received again since
// is left to whoever has it now.
func (q *Queue) Delete(ctx context.Context, msgs ...relay.Received) error {
	type key struct{ id, nonce int64 }
	keys := make([]key, len(msgs))
	for i, m := range msgs {
		id, nonce, err := parseReceipt(m.Receipt)
		if err != nil {
			return wrap(err, "delete from %s", q.name)
		}
		keys[i] = key{id, nonce}
	}
	if len(keys) == 0 {
		return nil
	}
	return wrap(q.db.w.relaxed(ctx, func(c *conn) error {
		for _, k := range keys {
			n, err := c.exec("DELETE FROM messages WHERE id = ? AND receipt = ? AND lane = ?", k.id, k.nonce, q.name)
			if err == nil && n > 0 {
				_, err = c.exec("DELETE FROM bodies WHERE id = ?", k.id)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}), "delete from %s", q.name)
}

// Hide implements relay.Queue. A message that has been received again since
// stays as it is.
func (q *Queue) Hide(ctx context.Context, msg relay.Received, d time.Duration) error {
	if d < 0 || d > maxHide {
		return fmt.Errorf("hide on %s: %v is not within 0 and %v", q.name, d, maxHide)
	}
	id, nonce, err := parseReceipt(msg.Receipt)
	if err != nil {
		return wrap(err, "hide on %s", q.name)
	}
	// It is no longer in flight: a restart does not cut this wait short.
	err = q.db.w.relaxed(ctx, func(c *conn) error {
		_, err := c.exec("UPDATE messages SET visible_at = ?, in_flight = 0 WHERE id = ? AND receipt = ? AND lane = ?",
			after(q.db.now(), d), id, nonce, q.name)
		return err
	})
	if err == nil && d < poll {
		q.lane.wake()
	}
	return wrap(err, "hide on %s", q.name)
}
