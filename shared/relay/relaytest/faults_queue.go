package relaytest

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"
	"time"

	"hookferry/shared/relay"
)

// FaultyQueue does to the calls of a queue what the faults say. It is safe for
// concurrent use.
type FaultyQueue struct {
	queue  relay.Queue
	name   string
	dice   *Dice
	faults Faults
	now    func() time.Time

	mu     sync.Mutex
	copies int
	echoes []echo
}

// An echo is a message that is received once more, whatever has become of it.
type echo struct {
	msg relay.Received
	at  time.Time
}

var _ relay.Queue = (*FaultyQueue)(nil)

// NewFaultyQueue returns the queue with faults; name tells it from others of the
// same dice, now is the queue's clock.
func NewFaultyQueue(q relay.Queue, name string, dice *Dice, f Faults, now func() time.Time) *FaultyQueue {
	return &FaultyQueue{queue: q, name: name, dice: dice, faults: f, now: now}
}

// about names a message by what it asks for, so that the random identifiers in
// it do not make every run of a seed another.
func about(body []byte) string {
	m, err := relay.DecodeMessage(body)
	if err != nil {
		h := fnv.New64a()
		h.Write(body)
		return fmt.Sprint(h.Sum64())
	}
	id := m.Ref.ID
	switch {
	case m.Event != nil:
		id = m.Event.ID
	case m.Attempt != nil:
		id = m.Attempt.ID
	}
	return fmt.Sprint(m.Kind, " ", id, m.EndpointID, m.ReplayID, m.SiviRequest, " ", m.Run, m.Number, m.Step)
}

func (q *FaultyQueue) chance(p float64, what, about string) bool {
	return q.dice.Chance(p, q.name+" "+what, about)
}

// Send implements relay.Queue.
func (q *FaultyQueue) Send(ctx context.Context, msgs ...relay.Outgoing) error {
	if len(msgs) == 0 {
		return q.queue.Send(ctx)
	}
	first := about(msgs[0].Body)
	fault := fmt.Errorf("send %s: %w", first, ErrFault)
	if q.chance(q.faults.SendFails, "send fails", first) {
		return fault
	}
	if q.chance(q.faults.SendLies, "send lies", first) {
		_ = q.queue.Send(ctx, msgs...)
		if len(msgs) > 1 && q.chance(.5, "send lies in part", first) {
			return &relay.SendError{Failed: map[int]error{len(msgs) - 1: fault}}
		}
		return fault
	}
	if q.chance(q.faults.SendPartly, "send partly", first) {
		failed := map[int]error{}
		var rest []relay.Outgoing
		for i, m := range msgs {
			if q.chance(.5, "send this", about(m.Body)) {
				failed[i] = fault
			} else {
				rest = append(rest, m)
			}
		}
		if err := q.queue.Send(ctx, rest...); err != nil {
			return err
		}
		if len(failed) > 0 {
			return &relay.SendError{Failed: failed}
		}
		return nil
	}
	return q.queue.Send(ctx, msgs...)
}

// Receive implements relay.Queue.
func (q *FaultyQueue) Receive(ctx context.Context, limit int, wait, visibility time.Duration) ([]relay.Received, error) {
	got, err := q.queue.Receive(ctx, limit, wait, visibility)
	if err != nil {
		return nil, err
	}
	out := q.due(limit)
	for _, m := range got {
		what := about(m.Body)
		if q.chance(q.faults.Late, "late", what) {
			// It is visible again soon, as if it had not been found.
			later := time.Duration(1+q.dice.Throw(q.name+" how late", what).IntN(30)) * time.Second
			if err := q.queue.Hide(ctx, m, later); err == nil {
				continue
			}
		}
		out = append(out, m)
		if q.chance(q.faults.Duplicate, "duplicate", what) {
			throw := q.dice.Throw(q.name+" when again", what)
			if throw.IntN(2) == 0 {
				out = append(out, q.copy(m)) // in the same batch
			} else {
				q.repeat(m, time.Duration(throw.IntN(90))*time.Second)
			}
		}
	}
	q.dice.Throw(q.name+" order", "").Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	if len(out) > limit {
		for _, m := range out[limit:] {
			q.repeat(m, 0)
		}
		out = out[:limit]
	}
	return out, nil
}

// copy returns the message as a second receive of it would be.
func (q *FaultyQueue) copy(m relay.Received) relay.Received {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.copies++
	m.ID = "copy-" + strconv.Itoa(q.copies)
	m.Body = bytes.Clone(m.Body)
	m.Receives++
	return m
}

func (q *FaultyQueue) repeat(m relay.Received, after time.Duration) {
	m = q.copy(m)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.echoes = append(q.echoes, echo{m, q.now().Add(after)})
}

// due takes the echoes that are to be received now.
func (q *FaultyQueue) due(limit int) (out []relay.Received) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	keep := q.echoes[:0]
	for _, e := range q.echoes {
		if len(out) < limit && !e.at.After(now) {
			out = append(out, e.msg)
		} else {
			keep = append(keep, e)
		}
	}
	q.echoes = keep
	return out
}

// Delete implements relay.Queue.
func (q *FaultyQueue) Delete(ctx context.Context, msgs ...relay.Received) error {
	var rest []relay.Received
	failed := false
	for _, m := range msgs {
		what := about(m.Body)
		if q.chance(q.faults.DeleteFails, "delete fails", what) {
			failed = true
			continue
		}
		if !q.chance(q.faults.DeleteLost, "delete lost", what) {
			rest = append(rest, m)
		}
	}
	if err := q.queue.Delete(ctx, rest...); err != nil {
		return err
	}
	if failed {
		return fmt.Errorf("delete: %w", ErrFault)
	}
	return nil
}

// Hide implements relay.Queue.
func (q *FaultyQueue) Hide(ctx context.Context, msg relay.Received, d time.Duration) error {
	what := about(msg.Body)
	switch {
	case q.chance(q.faults.HideFails, "hide fails", what):
		return fmt.Errorf("hide %s: %w", what, ErrFault)
	case q.chance(q.faults.HideLost, "hide lost", what):
		return nil
	}
	return q.queue.Hide(ctx, msg, d)
}

// Bury implements relay.Queue; it fails as Send does.
func (q *FaultyQueue) Bury(ctx context.Context, msg relay.Received, reason string) error {
	what := about(msg.Body)
	if q.chance(q.faults.SendFails, "bury fails", what) {
		return fmt.Errorf("bury %s: %w", what, ErrFault)
	}
	if err := q.queue.Bury(ctx, msg, reason); err != nil {
		return err
	}
	if q.chance(q.faults.SendLies, "bury lies", what) {
		return fmt.Errorf("bury %s: %w", what, ErrFault)
	}
	return nil
}

// Bodies returns the bodies of the messages that are to be received once more.
func (q *FaultyQueue) Bodies() [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out [][]byte
	for _, e := range q.echoes {
		out = append(out, e.msg.Body)
	}
	return out
}

// NextVisible returns when the next of those is received.
func (q *FaultyQueue) NextVisible() (next time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.echoes {
		if !ok || e.at.Before(next) {
			next, ok = e.at, true
		}
	}
	return next, ok
}
