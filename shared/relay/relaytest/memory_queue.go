package relaytest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"hookferry/shared/relay"
)

// Lane is a queue with its dead-letter queue.
type Lane interface {
	relay.Queue
	relay.DeadLetters
}

// MemoryQueue is a lane in memory. Delays and visibility follow its clock; only
// the wait of a Receive is real time. Identifiers are new with every receive.
type MemoryQueue struct {
	now func() time.Time

	mu       sync.Mutex
	last     int // the last number given out
	messages []*memoryMessage
	dead     []relay.DeadLetter
	sent     chan struct{} // closed and replaced at each send
}

type memoryMessage struct {
	body      []byte
	sentAt    time.Time
	visibleAt time.Time
	receives  int
	receipt   string
}

var _ Lane = (*MemoryQueue)(nil)

// NewMemoryQueue returns an empty lane.
func NewMemoryQueue(now func() time.Time) *MemoryQueue {
	return &MemoryQueue{now: now, sent: make(chan struct{})}
}

func (q *MemoryQueue) number() string {
	q.last++
	return strconv.Itoa(q.last)
}

// Send implements relay.Queue.
func (q *MemoryQueue) Send(ctx context.Context, msgs ...relay.Outgoing) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	failed := map[int]error{}
	for i, m := range msgs {
		switch {
		case m.Delay < 0 || m.Delay > relay.MaxDelay:
			failed[i] = fmt.Errorf("send: delay %v is not within 0 and %v", m.Delay, relay.MaxDelay)
		case len(m.Body) > relay.MaxMessageSize:
			failed[i] = fmt.Errorf("send %d bytes: %w", len(m.Body), relay.ErrTooLarge)
		default:
			q.put(m.Body, m.Delay)
		}
	}
	if len(failed) > 0 {
		return &relay.SendError{Failed: failed}
	}
	return nil
}

func (q *MemoryQueue) put(body []byte, delay time.Duration) {
	now := q.now()
	q.messages = append(q.messages, &memoryMessage{body: bytes.Clone(body), sentAt: now, visibleAt: now.Add(delay)})
	close(q.sent)
	q.sent = make(chan struct{})
}

// Lose removes the messages whose bodies are such, received or not, and returns how
// many there were.
func (q *MemoryQueue) Lose(such func(body []byte) bool) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	before := len(q.messages)
	q.messages = slices.DeleteFunc(q.messages, func(m *memoryMessage) bool { return such(m.body) })
	return before - len(q.messages)
}

// Receive implements relay.Queue.
func (q *MemoryQueue) Receive(ctx context.Context, limit int, wait, visibility time.Duration) ([]relay.Received, error) {
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		got, sent := q.take(limit, visibility)
		if len(got) > 0 || wait <= 0 {
			return got, nil
		}
		// The clock may bring a delayed message while nothing is sent.
		moved := time.NewTimer(10 * time.Millisecond)
		select {
		case <-sent:
		case <-moved.C:
		case <-timeout.C:
			return nil, nil
		case <-ctx.Done():
		}
		moved.Stop()
	}
}

func (q *MemoryQueue) take(limit int, visibility time.Duration) ([]relay.Received, <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	var got []relay.Received
	keep := q.messages[:0]
	for _, m := range q.messages {
		if len(got) == limit || m.visibleAt.After(now) {
			keep = append(keep, m)
			continue
		}
		if m.receives >= relay.MaxReceives {
			q.dead = append(q.dead, relay.DeadLetter{ID: q.number(), Receipt: q.number(), Body: m.body, Receives: m.receives, DeadAt: now})
			continue
		}
		m.receives++
		m.visibleAt = now.Add(visibility)
		m.receipt = q.number()
		got = append(got, relay.Received{ID: q.number(), Receipt: m.receipt, Body: bytes.Clone(m.body), Receives: m.receives, SentAt: m.sentAt})
		keep = append(keep, m)
	}
	q.messages = keep
	return got, q.sent
}

// Delete implements relay.Queue.
func (q *MemoryQueue) Delete(ctx context.Context, msgs ...relay.Received) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages = slices.DeleteFunc(q.messages, func(m *memoryMessage) bool {
		return slices.ContainsFunc(msgs, func(d relay.Received) bool { return m.receipt != "" && m.receipt == d.Receipt })
	})
	return nil
}

// Hide implements relay.Queue; hiding a message that is gone does nothing.
func (q *MemoryQueue) Hide(ctx context.Context, msg relay.Received, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.messages {
		if m.receipt != "" && m.receipt == msg.Receipt {
			m.visibleAt = q.now().Add(d)
		}
	}
	return nil
}

// Bury implements relay.Queue.
func (q *MemoryQueue) Bury(ctx context.Context, msg relay.Received, reason string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dead = append(q.dead, relay.DeadLetter{
		ID: q.number(), Receipt: q.number(), Body: bytes.Clone(msg.Body),
		Reason: reason, Receives: msg.Receives, DeadAt: q.now(),
	})
	return nil
}

// Dead implements relay.DeadLetters.
func (q *MemoryQueue) Dead(ctx context.Context, after string, limit int) ([]relay.DeadLetter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	from := 1 + slices.IndexFunc(q.dead, func(d relay.DeadLetter) bool { return d.ID == after })
	return slices.Clone(q.dead[from:min(from+limit, len(q.dead))]), nil
}

// Redrive implements relay.DeadLetters.
func (q *MemoryQueue) Redrive(ctx context.Context, d relay.DeadLetter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.put(d.Body, 0)
	q.drop(d)
	return nil
}

// Drop implements relay.DeadLetters.
func (q *MemoryQueue) Drop(ctx context.Context, d relay.DeadLetter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(d)
	return nil
}

func (q *MemoryQueue) drop(d relay.DeadLetter) {
	q.dead = slices.DeleteFunc(q.dead, func(o relay.DeadLetter) bool { return o.Receipt == d.Receipt })
}

// Release implements relay.DeadLetters. Reading hides nothing here.
func (q *MemoryQueue) Release(context.Context, ...relay.DeadLetter) error { return nil }

// DeadCount implements relay.DeadLetters.
func (q *MemoryQueue) DeadCount(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.dead), nil
}

// Bodies returns the bodies of the messages on the lane, hidden and delayed
// ones too.
func (q *MemoryQueue) Bodies() [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out [][]byte
	for _, m := range q.messages {
		out = append(out, bytes.Clone(m.body))
	}
	return out
}

// NextVisible returns when the next message can be received, and false when
// there is none on the lane.
func (q *MemoryQueue) NextVisible() (next time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.messages {
		if !ok || m.visibleAt.Before(next) {
			next, ok = m.visibleAt, true
		}
	}
	return next, ok
}
