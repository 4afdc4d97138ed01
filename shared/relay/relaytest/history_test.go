package relaytest_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

func TestMemoryHistories(t *testing.T) {
	relaytest.TestHistories(t, func(_ testing.TB, clock *relaytest.Clock) relay.Store {
		return relaytest.NewMemory(clock.Now, relaytest.Retention)
	})
}

// A checker that finds nothing wrong shows something only if it finds what is
// wrong.
func TestHistoriesOfABrokenStoreHaveNoOrder(t *testing.T) {
	for _, b := range []struct {
		name, subject string
		store         func(*relaytest.Memory) relay.Store
	}{
		{"a put of an event that is not conditional", "eventSubject", func(m *relaytest.Memory) relay.Store { return blindPut{m} }},
		{"a claim that is checked apart", "eventSubject", func(m *relaytest.Memory) relay.Store { return looseClaim{m} }},
		{"a run that is started again by its token", "eventSubject", func(m *relaytest.Memory) relay.Store { return forgetfulRun{m} }},
		{"a limit of keys that is checked apart", "keySubject", func(m *relaytest.Memory) relay.Store { return looseKeys{m} }},
		{"a limit of endpoints that is checked apart", "endpointSubject", func(m *relaytest.Memory) relay.Store { return looseEndpoints{m} }},
		{"an idempotency record that the last one takes", "idempotencySubject", func(m *relaytest.Memory) relay.Store { return lastIdempotency{m} }},
		{"an attempt that is recorded twice", "attemptSubject", func(m *relaytest.Memory) relay.Store { return twiceAttempt{m} }},
	} {
		t.Run(b.name, func(t *testing.T) {
			clock, seed := relaytest.NewClock(), relaytest.Seed(t)
			s := b.store(relaytest.NewMemory(clock.Now, relaytest.Retention))
			_, err := relaytest.RecordHistories(t.Context(), s, seed, 100_000)
			if err == nil {
				t.Fatal("found nothing in 100,000 calls")
			}
			if !strings.Contains(err.Error(), b.subject) {
				t.Errorf("found it elsewhere: %v", err)
			}
		})
	}
}

type blindPut struct{ *relaytest.Memory }

func (s blindPut) PutEvent(ctx context.Context, r relay.EventRecord) (*relay.EventRecord, error) {
	old, err := s.Event(ctx, r.Account, r.Ref().ID, true)
	runtime.Gosched()
	if err == nil {
		return &old, nil
	}
	// Another's put that came in between is taken for this one's.
	_, err = s.Memory.PutEvent(ctx, r)
	return nil, err
}

type looseClaim struct{ *relaytest.Memory }

func (s looseClaim) ClaimEvent(ctx context.Context, ref relay.EventRef, from, until time.Time) error {
	r, err := s.Event(ctx, ref.Account, ref.ID, true)
	if err != nil || !r.ClaimedUntil.Equal(from) {
		return relay.ErrConflict
	}
	runtime.Gosched()
	for s.Memory.ClaimEvent(ctx, ref, r.ClaimedUntil, until) != nil {
		if r, err = s.Event(ctx, ref.Account, ref.ID, true); err != nil {
			return err
		}
	}
	return nil
}

type forgetfulRun struct{ *relaytest.Memory }

func (s forgetfulRun) StartRun(ctx context.Context, account, event, endpoint, token string, at time.Time) (relay.Run, error) {
	run, err := s.Memory.StartRun(ctx, account, event, endpoint, token+at.String(), at)
	run.Token = token
	return run, err
}

type looseKeys struct{ *relaytest.Memory }

func (s looseKeys) CreateKey(ctx context.Context, k relay.Key, limit int) error {
	keys, _, err := s.Keys(ctx, k.Account, relay.Page{Limit: 100})
	if err != nil {
		return err
	}
	live := 0
	for _, other := range keys {
		if other.RevokedAt.IsZero() {
			live++
		}
	}
	if live >= limit {
		return relay.ErrLimit
	}
	runtime.Gosched()
	return s.Memory.CreateKey(ctx, k, 1000)
}

type looseEndpoints struct{ *relaytest.Memory }

func (s looseEndpoints) CreateEndpoint(ctx context.Context, e relay.Endpoint, limit int) error {
	live, err := s.LiveEndpoints(ctx, e.Account)
	if err != nil {
		return err
	}
	if len(live) >= limit {
		return relay.ErrLimit
	}
	runtime.Gosched()
	return s.Memory.CreateEndpoint(ctx, e, 1000)
}

type lastIdempotency struct{ *relaytest.Memory }

func (s lastIdempotency) PutIdempotency(ctx context.Context, r relay.Idempotency) (*relay.Idempotency, error) {
	old, err := s.Memory.PutIdempotency(ctx, r)
	if old != nil && old.Body[0]%2 == 1 {
		return nil, err
	}
	return old, err
}

type twiceAttempt struct{ *relaytest.Memory }

func (s twiceAttempt) RecordAttempt(ctx context.Context, a relay.Attempt) (*relay.Attempt, error) {
	old, err := s.Memory.RecordAttempt(ctx, a)
	if old != nil && old.Final {
		return nil, err
	}
	return old, err
}
