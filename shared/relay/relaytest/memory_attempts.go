package relaytest

import (
	"context"
	"time"

	"hookferry/shared/relay"
)

// RecordAttempt implements relay.AttemptStore.
func (m *Memory) RecordAttempt(ctx context.Context, a relay.Attempt) (*relay.Attempt, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if m.attempts[a.EndpointID] == nil {
		m.attempts[a.EndpointID] = map[string]relay.Attempt{}
	}
	if old, ok := m.attempts[a.EndpointID][a.ID]; ok && !m.expired(old.CreatedAt) {
		return &old, nil
	}
	m.attempts[a.EndpointID][a.ID] = a
	return nil, nil
}

// Attempt implements relay.AttemptStore.
func (m *Memory) Attempt(ctx context.Context, account, endpoint, id string) (relay.Attempt, error) {
	if err := m.enter(ctx); err != nil {
		return relay.Attempt{}, err
	}
	defer m.mu.Unlock()
	a, ok := m.attempts[endpoint][id]
	if !ok || a.Account != account || m.expired(a.CreatedAt) {
		return relay.Attempt{}, relay.ErrNotFound
	}
	return a, nil
}

// Attempts implements relay.AttemptStore.
func (m *Memory) Attempts(ctx context.Context, endpoint string, f relay.AttemptFilter, p relay.Page) ([]relay.Attempt, string, error) {
	if err := m.enter(ctx); err != nil {
		return nil, "", err
	}
	defer m.mu.Unlock()
	var all []relay.Attempt
	for _, a := range m.attempts[endpoint] {
		if m.expired(a.CreatedAt) || !f.Since.IsZero() && a.DueAt.Before(f.Since) || !f.Until.IsZero() && !a.DueAt.Before(f.Until) {
			continue
		}
		all = append(all, a)
	}
	return page(all, p, descending, func(a relay.Attempt) string { return a.ID }, func(a relay.Attempt) bool {
		return (f.Status == "" || a.Status == f.Status) && (!f.Bad || a.Status != relay.AttemptSucceeded) &&
			(f.Final == nil || a.Final == *f.Final) && (f.EventID == "" || a.EventID == f.EventID) && relay.TypeFits(f.Types, a.EventType)
	})
}

// EventAttempts implements relay.AttemptStore.
func (m *Memory) EventAttempts(ctx context.Context, ref relay.EventRef, endpoints []string, limit int) ([]relay.Attempt, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if _, ok := m.event(ref.Account, ref.ID); !ok {
		return nil, relay.ErrNotFound
	}
	var all []relay.Attempt
	for _, endpoint := range endpoints {
		for _, a := range m.attempts[endpoint] {
			if a.Account == ref.Account && a.EventID == ref.ID && !m.expired(a.CreatedAt) {
				all = append(all, a)
			}
		}
	}
	return relay.NewestAttempts(all, limit), nil
}

// EndAttempt implements relay.AttemptStore.
func (m *Memory) EndAttempt(ctx context.Context, a relay.Attempt) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if old, ok := m.attempts[a.EndpointID][a.ID]; ok {
		old.Final, old.NextAttemptAt = true, time.Time{}
		m.attempts[a.EndpointID][a.ID] = old
	}
	return nil
}

// CreateReplay implements relay.ReplayStore.
func (m *Memory) CreateReplay(ctx context.Context, r relay.Replay) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if old, ok := m.replays[r.ID]; ok && !m.expired(old.CreatedAt) {
		return relay.ErrExists
	}
	r.Version = 1
	m.replays[r.ID] = r
	return nil
}

// Replay implements relay.ReplayStore.
func (m *Memory) Replay(ctx context.Context, account, id string) (relay.Replay, error) {
	return lookup(ctx, m, m.replays, id, func(r relay.Replay) bool {
		return r.Account == account && !m.expired(r.CreatedAt)
	})
}

// UpdateReplay implements relay.ReplayStore.
func (m *Memory) UpdateReplay(ctx context.Context, r relay.Replay) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	old, ok := m.replays[r.ID]
	switch {
	case !ok || old.Account != r.Account || m.expired(old.CreatedAt):
		return relay.ErrNotFound
	case old.Version != r.Version:
		return relay.ErrConflict
	}
	r.Version++
	m.replays[r.ID] = r
	return nil
}

// Replays implements relay.ReplayStore.
func (m *Memory) Replays(ctx context.Context, account string, p relay.Page) ([]relay.Replay, string, error) {
	return m.listReplays(ctx, p, descending, func(r relay.Replay) bool { return r.Account == account })
}

// UnfinishedReplays implements relay.ReplayStore.
func (m *Memory) UnfinishedReplays(ctx context.Context, p relay.Page) ([]relay.Replay, string, error) {
	return m.listReplays(ctx, p, ascending, relay.Replay.Unfinished)
}

func (m *Memory) listReplays(ctx context.Context, p relay.Page, order func(a, b string) int, is func(relay.Replay) bool) ([]relay.Replay, string, error) {
	if err := m.enter(ctx); err != nil {
		return nil, "", err
	}
	defer m.mu.Unlock()
	var all []relay.Replay
	for _, r := range m.replays {
		if is(r) && !m.expired(r.CreatedAt) {
			all = append(all, r)
		}
	}
	return page(all, p, order, func(r relay.Replay) string { return r.ID }, nil)
}

// ReplaySlot implements relay.ReplayStore.
func (m *Memory) ReplaySlot(ctx context.Context, endpoint string, now time.Time, long time.Duration) (time.Time, bool, error) {
	if err := m.enter(ctx); err != nil {
		return time.Time{}, false, err
	}
	defer m.mu.Unlock()
	if free := m.slots[endpoint]; free.After(now) {
		return free, false, nil
	}
	if long > 0 {
		m.slots[endpoint] = now.Add(long)
	}
	return now, true, nil
}
