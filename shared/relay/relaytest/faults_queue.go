package relaytest

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
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
	echoes []*echo
}

// An echo is a second copy of a message, as a queue of many machines may keep
// one: it is received, hidden and deleted by itself.
type echo struct {
	msg relay.Received
	at  time.Time // when it is visible
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
	out := q.due(limit, visibility)
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
				out = append(out, q.copy(m, visibility)) // in the same batch
			} else {
				q.copy(m, time.Duration(throw.IntN(90))*time.Second)
			}
		}
	}
	q.dice.Throw(q.name+" order", "").Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	// Those over the limit have been received by nobody, and come again.
	return out[:min(len(out), limit)], nil
}

// copy keeps a second copy of a message that is visible after d, and returns it
// as it is received.
func (q *FaultyQueue) copy(m relay.Received, d time.Duration) relay.Received {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.copies++
	m.ID = "copy-" + strconv.Itoa(q.copies)
	m.Receipt = m.ID
	m.Body = bytes.Clone(m.Body)
	m.Receives++
	q.echoes = append(q.echoes, &echo{m, q.now().Add(d)})
	return m
}

// due receives the copies that are visible.
func (q *FaultyQueue) due(limit int, visibility time.Duration) (out []relay.Received) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	for _, e := range q.echoes {
		if len(out) < limit && !e.at.After(now) {
			e.at = now.Add(visibility)
			e.msg.Receives++
			out = append(out, e.msg)
		}
	}
	return out
}

// echo returns the copy of a receipt, or nil; the caller holds mu.
func (q *FaultyQueue) echo(receipt string) *echo {
	for _, e := range q.echoes {
		if e.msg.Receipt == receipt {
			return e
		}
	}
	return nil
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
	q.mu.Lock()
	q.echoes = slices.DeleteFunc(q.echoes, func(e *echo) bool {
		return slices.ContainsFunc(rest, func(m relay.Received) bool { return m.Receipt == e.msg.Receipt })
	})
	q.mu.Unlock()
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
	q.mu.Lock()
	e := q.echo(msg.Receipt)
	if e != nil {
		e.at = q.now().Add(d)
	}
	q.mu.Unlock()
	if e != nil {
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

// Bodies returns the bodies of the copies that are kept.
func (q *FaultyQueue) Bodies() [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out [][]byte
	for _, e := range q.echoes {
		out = append(out, e.msg.Body)
	}
	return out
}

// NextVisible returns when the next of them is visible.
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
