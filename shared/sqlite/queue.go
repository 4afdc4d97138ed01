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
		db.lanes[name] = &lane{changed: make(chan struct{}), turns: newTurns()}
	}
	return &Queue{db, name, db.lanes[name]}
}

// lane wakes those who wait for messages of one name, and knows whose turn it is.
type lane struct {
	turns *turns

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
		var now time.Time
		err := q.db.w.do(ctx, func(c *conn) error {
			now = q.db.steady.now()
			for i, m := range msgs {
				if refused[i] == nil {
					if err := insertMessage(c, q.name, turn{m.Account, m.Group}, m.Body, now, m.Delay); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return wrap(err, "send to %s", q.name)
		}
		for i, m := range msgs {
			if refused[i] == nil {
				q.lane.turns.note(turn{m.Account, m.Group}, after(now, m.Delay))
			}
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

func insertMessage(c *conn, lane string, of turn, body []byte, now time.Time, delay time.Duration) error {
	id, err := c.insert(`INSERT INTO messages (lane, visible_at, receives, receipt, in_flight, sent_at, account, grp)
		VALUES (?, ?, 0, 0, 0, ?, ?, ?)`, lane, after(now, delay), millis(now), of.account, of.group)
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

// after returns the first turn beyond another that has messages, and when the
// first of those is visible.
func (t *taking) after(last turn) (of turn, at int64, ok bool, err error) {
	scan := func(r row) error {
		of, at = turn{r.text(0), r.text(1)}, r.int(2)
		return nil
	}
	// Two questions: (account, grp) > (?, ?) would step over every message of the
	// last turn.
	if ok, err = t.c.first(nextGroup, scan, t.lane, last.account, last.group); err == nil && !ok {
		ok, err = t.c.first(nextAccount, scan, t.lane, last.account)
	}
	return of, at, ok, err
}

const (
	nextGroup = `SELECT account, grp, visible_at FROM messages INDEXED BY messages_in_turn
		WHERE lane = ? AND account = ? AND grp > ? ORDER BY grp, visible_at LIMIT 1`
	nextAccount = `SELECT account, grp, visible_at FROM messages INDEXED BY messages_in_turn
		WHERE lane = ? AND account > ? ORDER BY account, grp, visible_at LIMIT 1`
)

// receive hides messages and gives them out, but for those that have been
// received too often.
func (t *taking) receive(fs []found) error {
	t.looked += len(fs)
	for _, f := range fs {
		if f.receives >= relay.MaxReceives {
			if err := moveToDead(t.c, f.id, t.wall); err != nil {
				return err
			}
			continue
		}
		// A receipt is good for this receive alone, whatever becomes of the row's
		// number.
		nonce := rand.Int64()
		if _, err := t.c.exec(`UPDATE messages SET visible_at = ?, receives = receives + 1, receipt = ?, in_flight = 1
			WHERE id = ?`, after(t.now, t.visibility), nonce, f.id); err != nil {
			return err
		}
		receipt := strconv.FormatInt(f.id, 36) + "." + strconv.FormatInt(nonce, 36)
		f.msg.ID, f.msg.Receipt = receipt, receipt
		t.got = append(t.got, f.msg)
	}
	return nil
}

func moveToDead(c *conn, id int64, now time.Time) error {
	if _, err := c.exec(`INSERT INTO dead (lane, dead_at, receives, reason, account, grp, body)
		SELECT m.lane, ?, m.receives, '', m.account, m.grp, b.body FROM messages m JOIN bodies b ON b.id = m.id WHERE m.id = ?`,
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
	if err := ctx.Err(); err != nil {
		return wrap(err, "delete from %s", q.name)
	}
	// They are hidden until they are received again, and that comes after this.
	return wrap(q.db.w.later(func(c *conn) error {
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
	var of turn
	var at int64
	var changed bool
	err = q.db.w.relaxed(ctx, func(c *conn) error {
		at = after(q.db.steady.now(), d)
		n, err := c.exec("UPDATE messages SET visible_at = ?, in_flight = 0 WHERE id = ? AND receipt = ? AND lane = ?",
			at, id, nonce, q.name)
		if changed = n > 0; err != nil || !changed {
			return err
		}
		_, err = c.first("SELECT account, grp FROM messages WHERE id = ?", func(r row) error {
			of = turn{r.text(0), r.text(1)}
			return nil
		}, id)
		return err
	})
	if err == nil && changed {
		q.lane.turns.note(of, at)
	}
	if err == nil && d < poll {
		q.lane.wake()
	}
	return wrap(err, "hide on %s", q.name)
}
