package dispatcher_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

// faults counts operations and makes them fail. before comes in place of the
// operation, after when it has taken effect.
type faults struct {
	mu     sync.Mutex
	counts map[string]int
	hangs  func(op string) error
	before func(op string) error
	after  func(op string) error
}

func (f *faults) enter(op string) error {
	f.mu.Lock()
	if f.counts == nil {
		f.counts = map[string]int{}
	}
	f.counts[op]++
	before := f.before
	f.mu.Unlock()
	if before != nil {
		return before(op)
	}
	return nil
}

func (f *faults) leave(op string, err error) error {
	f.mu.Lock()
	after := f.after
	f.mu.Unlock()
	if err == nil && after != nil {
		return after(op)
	}
	return err
}

// fail makes the named operations fail until heal.
func (f *faults) fail(ops ...string) {
	f.set(func(op string) error {
		if slices.Contains(ops, op) {
			return fmt.Errorf("%s: throttled", op)
		}
		return nil
	}, nil)
}

// hang makes operations wait, each until its own context or f ends.
func (f *faults) hang(wait func(op string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hangs = wait
}

// during waits with an operation that hangs, and reports its context's end.
func (f *faults) during(ctx context.Context, op string) error {
	f.mu.Lock()
	hangs := f.hangs
	f.mu.Unlock()
	if hangs == nil {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- hangs(op) }()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-done:
		return err
	}
}

func (f *faults) heal() { f.set(nil, nil) }

func (f *faults) set(before, after func(op string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

func (f *faults) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts = nil
}

func (f *faults) seen() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[string]int{}
	for op, n := range f.counts {
		seen[op] = n
	}
	return seen
}

type faultyStore struct {
	relay.Store
	faults
}

func (s *faultyStore) PutEvent(ctx context.Context, rec relay.EventRecord) (*relay.EventRecord, error) {
	if err := s.enter("PutEvent"); err != nil {
		return nil, err
	}
	if err := s.during(ctx, "PutEvent"); err != nil {
		return nil, err
	}
	existing, err := s.Store.PutEvent(ctx, rec)
	return existing, s.leave("PutEvent", err)
}

func (s *faultyStore) ClaimEvent(ctx context.Context, ref relay.EventRef, from, until time.Time) error {
	if err := s.enter("ClaimEvent"); err != nil {
		return err
	}
	if err := s.during(ctx, "ClaimEvent"); err != nil {
		return err
	}
	return s.leave("ClaimEvent", s.Store.ClaimEvent(ctx, ref, from, until))
}

func (s *faultyStore) Event(ctx context.Context, acct, id string, consistent bool) (relay.EventRecord, error) {
	if err := s.enter("Event"); err != nil {
		return relay.EventRecord{}, err
	}
	if err := s.during(ctx, "Event"); err != nil {
		return relay.EventRecord{}, err
	}
	return s.Store.Event(ctx, acct, id, consistent)
}

func (s *faultyStore) ListEvent(ctx context.Context, ev relay.Event, ds []relay.Delivery) error {
	if err := s.enter("ListEvent"); err != nil {
		return err
	}
	if err := s.during(ctx, "ListEvent"); err != nil {
		return err
	}
	return s.leave("ListEvent", s.Store.ListEvent(ctx, ev, ds))
}

func (s *faultyStore) SaveDelivery(ctx context.Context, ref relay.EventRef, d relay.Delivery) error {
	if err := s.enter("SaveDelivery"); err != nil {
		return err
	}
	if err := s.during(ctx, "SaveDelivery"); err != nil {
		return err
	}
	return s.leave("SaveDelivery", s.Store.SaveDelivery(ctx, ref, d))
}

func (s *faultyStore) RecordAttempt(ctx context.Context, a relay.Attempt) (*relay.Attempt, error) {
	if err := s.enter("RecordAttempt"); err != nil {
		return nil, err
	}
	if err := s.during(ctx, "RecordAttempt"); err != nil {
		return nil, err
	}
	existing, err := s.Store.RecordAttempt(ctx, a)
	return existing, s.leave("RecordAttempt", err)
}

func (s *faultyStore) Attempt(ctx context.Context, acct, endpoint, id string) (relay.Attempt, error) {
	if err := s.enter("Attempt"); err != nil {
		return relay.Attempt{}, err
	}
	if err := s.during(ctx, "Attempt"); err != nil {
		return relay.Attempt{}, err
	}
	return s.Store.Attempt(ctx, acct, endpoint, id)
}

func (s *faultyStore) Endpoint(ctx context.Context, acct, id string) (relay.Endpoint, error) {
	if err := s.enter("Endpoint"); err != nil {
		return relay.Endpoint{}, err
	}
	if err := s.during(ctx, "Endpoint"); err != nil {
		return relay.Endpoint{}, err
	}
	return s.Store.Endpoint(ctx, acct, id)
}

func (s *faultyStore) AddOutcomes(ctx context.Context, endpoint string, o relay.Outcomes) (relay.Counters, error) {
	if err := s.enter("AddOutcomes"); err != nil {
		return relay.Counters{}, err
	}
	if err := s.during(ctx, "AddOutcomes"); err != nil {
		return relay.Counters{}, err
	}
	c, err := s.Store.AddOutcomes(ctx, endpoint, o)
	return c, s.leave("AddOutcomes", err)
}

type faultyLane struct {
	relaytest.Lane
	faults
	mu    sync.Mutex
	sent  []int // messages of each Send
	hides []time.Duration
}

func (l *faultyLane) Send(ctx context.Context, msgs ...relay.Outgoing) error {
	if err := l.enter("Send"); err != nil {
		return err
	}
	if err := l.during(ctx, "Send"); err != nil {
		return err
	}
	l.mu.Lock()
	l.sent = append(l.sent, len(msgs))
	l.mu.Unlock()
	return l.leave("Send", l.Lane.Send(ctx, msgs...))
}

func (l *faultyLane) Hide(ctx context.Context, m relay.Received, d time.Duration) error {
	if err := l.enter("Hide"); err != nil {
		return err
	}
	if err := l.during(ctx, "Hide"); err != nil {
		return err
	}
	l.mu.Lock()
	l.hides = append(l.hides, d)
	l.mu.Unlock()
	return l.Lane.Hide(ctx, m, d)
}

func (l *faultyLane) Bury(ctx context.Context, m relay.Received, reason string) error {
	if err := l.enter("Bury"); err != nil {
		return err
	}
	if err := l.during(ctx, "Bury"); err != nil {
		return err
	}
	return l.Lane.Bury(ctx, m, reason)
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
