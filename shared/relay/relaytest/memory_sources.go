package relaytest

import (
	"context"
	"maps"

	"hookferry/shared/relay"
)

// CreateSource implements relay.SourceStore.
func (m *Memory) CreateSource(ctx context.Context, s relay.Source, limit int) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if _, ok := m.sources[s.ID]; ok {
		return relay.ErrExists
	}
	n := 0
	for _, other := range m.sources {
		if other.Account == s.Account {
			n++
		}
	}
	if n >= limit {
		return relay.ErrLimit
	}
	s.Version = 1
	m.sources[s.ID] = s
	return nil
}

// UpdateSource implements relay.SourceStore.
func (m *Memory) UpdateSource(ctx context.Context, s relay.Source) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	old, ok := m.sources[s.ID]
	switch {
	case !ok || old.Account != s.Account:
		return relay.ErrNotFound
	case old.Version != s.Version:
		return relay.ErrConflict
	}
	s.Version++
	m.sources[s.ID] = s
	return nil
}

// DeleteSource implements relay.SourceStore.
func (m *Memory) DeleteSource(ctx context.Context, account, id string) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if s, ok := m.sources[id]; !ok || s.Account != account {
		return relay.ErrNotFound
	}
	delete(m.sources, id)
	maps.DeleteFunc(m.expected, func(at [2]string, _ relay.Expectation) bool { return at[0] == id })
	return nil
}

// Source implements relay.SourceStore.
func (m *Memory) Source(ctx context.Context, account, id string) (relay.Source, error) {
	return lookup(ctx, m, m.sources, id, func(s relay.Source) bool { return s.Account == account })
}

// IngestSource implements relay.SourceStore.
func (m *Memory) IngestSource(ctx context.Context, id string) (relay.Source, error) {
	return lookup(ctx, m, m.sources, id, func(relay.Source) bool { return true })
}

// Sources implements relay.SourceStore.
func (m *Memory) Sources(ctx context.Context, account string, p relay.Page) ([]relay.Source, string, error) {
	if err := m.enter(ctx); err != nil {
		return nil, "", err
	}
	defer m.mu.Unlock()
	var all []relay.Source
	for _, s := range m.sources {
		if s.Account == account {
			all = append(all, s)
		}
	}
	return page(all, p, descending, func(s relay.Source) string { return position(s.CreatedAt, s.ID) }, nil)
}

// PutExpectation implements relay.SourceStore.
func (m *Memory) PutExpectation(ctx context.Context, x relay.Expectation, limit int) (*relay.Expectation, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	at := [2]string{x.SourceID, x.RequestID}
	if old, ok := m.expected[at]; ok {
		return &old, nil
	}
	open := 0
	for other, y := range m.expected {
		if other[0] == x.SourceID && y.EventID == "" {
			open++
		}
	}
	if open >= limit {
		return nil, relay.ErrLimit
	}
	m.expected[at] = x
	return nil, nil
}

// Expectation implements relay.SourceStore.
func (m *Memory) Expectation(ctx context.Context, source, request string) (relay.Expectation, error) {
	return lookup(ctx, m, m.expected, [2]string{source, request}, func(relay.Expectation) bool { return true })
}

// Expectations implements relay.SourceStore.
func (m *Memory) Expectations(ctx context.Context, source string, p relay.Page) ([]relay.Expectation, string, error) {
	if err := m.enter(ctx); err != nil {
		return nil, "", err
	}
	defer m.mu.Unlock()
	var all []relay.Expectation
	for at, x := range m.expected {
		if at[0] == source {
			all = append(all, x)
		}
	}
	return page(all, p, descending, func(x relay.Expectation) string { return position(x.CreatedAt, x.RequestID) }, nil)
}

// UpdateExpectation implements relay.SourceStore.
func (m *Memory) UpdateExpectation(ctx context.Context, x relay.Expectation, asked int) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	at := [2]string{x.SourceID, x.RequestID}
	old, ok := m.expected[at]
	switch {
	case !ok:
		return relay.ErrNotFound
	case old.EventID != "" || old.Asked != asked:
		return relay.ErrConflict
	}
	old.Asked, old.NextAt, old.GaveUp, old.Queued = x.Asked, x.NextAt, x.GaveUp, x.Queued
	m.expected[at] = old
	return nil
}

// ResolveExpectation implements relay.SourceStore.
func (m *Memory) ResolveExpectation(ctx context.Context, source, request, event string) (relay.Expectation, error) {
	if err := m.enter(ctx); err != nil {
		return relay.Expectation{}, err
	}
	defer m.mu.Unlock()
	at := [2]string{source, request}
	x, ok := m.expected[at]
	if !ok {
		return relay.Expectation{}, relay.ErrNotFound
	}
	if x.EventID == "" {
		x.EventID = event
		m.expected[at] = x
	}
	return x, nil
}

// DeleteExpectation implements relay.SourceStore.
func (m *Memory) DeleteExpectation(ctx context.Context, source, request string) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	delete(m.expected, [2]string{source, request})
	return nil
}
