package relaytest

import (
	"context"
	"slices"
	"time"

	"hookferry/shared/relay"
)

// CreateEndpoint implements relay.EndpointStore.
func (m *Memory) CreateEndpoint(ctx context.Context, e relay.Endpoint, limit int) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if _, ok := m.endpoints[e.ID]; ok || m.keyTaken(e) {
		return relay.ErrExists
	}
	live := 0
	for _, other := range m.endpoints {
		if other.Account == e.Account && !other.Deleted() {
			live++
		}
	}
	if live >= limit {
		return relay.ErrLimit
	}
	e.Version = 1
	m.endpoints[e.ID] = copyEndpoint(e)
	return nil
}

func (m *Memory) keyTaken(e relay.Endpoint) bool {
	if e.KeyID == "" || e.Deleted() {
		return false
	}
	for _, other := range m.endpoints {
		if other.ID != e.ID && other.Account == e.Account && other.KeyID == e.KeyID && !other.Deleted() {
			return true
		}
	}
	return false
}

// UpdateEndpoint implements relay.EndpointStore.
func (m *Memory) UpdateEndpoint(ctx context.Context, e relay.Endpoint) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	old, ok := m.endpoints[e.ID]
	switch {
	case !ok || old.Account != e.Account:
		return relay.ErrNotFound
	case old.Version != e.Version:
		return relay.ErrConflict
	case m.keyTaken(e):
		return relay.ErrExists
	}
	e.Version++
	m.endpoints[e.ID] = copyEndpoint(e)
	return nil
}

// Endpoint implements relay.EndpointStore.
func (m *Memory) Endpoint(ctx context.Context, account, id string) (relay.Endpoint, error) {
	e, err := lookup(ctx, m, m.endpoints, id, func(e relay.Endpoint) bool { return e.Account == account && m.recent(e.RevokedAt) })
	return copyEndpoint(e), err
}

// Endpoints implements relay.EndpointStore.
func (m *Memory) Endpoints(ctx context.Context, account string, p relay.Page) ([]relay.Endpoint, string, error) {
	if err := m.enter(ctx); err != nil {
		return nil, "", err
	}
	defer m.mu.Unlock()
	var all []relay.Endpoint
	for _, e := range m.endpoints {
		if e.Account == account && m.recent(e.RevokedAt) {
			all = append(all, copyEndpoint(e))
		}
	}
	return page(all, p, descending, func(e relay.Endpoint) string { return position(e.CreatedAt, e.ID) }, nil)
}

// LiveEndpoints implements relay.EndpointStore.
func (m *Memory) LiveEndpoints(ctx context.Context, account string) ([]relay.Endpoint, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var live []relay.Endpoint
	for _, e := range m.endpoints {
		if e.Account == account && !e.Deleted() {
			live = append(live, copyEndpoint(e))
		}
	}
	// Any order is allowed; a fixed one lets a seed replay.
	slices.SortFunc(live, func(a, b relay.Endpoint) int { return ascending(a.ID, b.ID) })
	return live, nil
}

// Counters implements relay.EndpointStore.
func (m *Memory) Counters(ctx context.Context, endpoints ...string) (map[string]relay.Counters, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	out := map[string]relay.Counters{}
	for _, id := range endpoints {
		out[id] = m.counters[id]
	}
	return out, nil
}

// AddOutcomes implements relay.EndpointStore.
func (m *Memory) AddOutcomes(ctx context.Context, endpoint string, o relay.Outcomes) (relay.Counters, error) {
	if err := m.enter(ctx); err != nil {
		return relay.Counters{}, err
	}
	defer m.mu.Unlock()
	m.counters[endpoint] = m.counters[endpoint].Apply(o)
	m.activity[endpoint] = append(m.activity[endpoint], o.Activity...)
	return m.counters[endpoint], nil
}

// ResetCounters implements relay.EndpointStore.
func (m *Memory) ResetCounters(ctx context.Context, endpoint string) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	c := m.counters[endpoint]
	c.FailureCount, c.Timeouts, c.FailingSince = 0, 0, time.Time{}
	m.counters[endpoint] = c
	return nil
}

// TakeMark implements relay.EndpointStore.
func (m *Memory) TakeMark(ctx context.Context, endpoint string, mark relay.Mark, free, to time.Time) (bool, error) {
	if err := m.enter(ctx); err != nil {
		return false, err
	}
	defer m.mu.Unlock()
	c := m.counters[endpoint]
	at := mark.Of(&c)
	if at.After(free) {
		return false, nil
	}
	*at = to
	m.counters[endpoint] = c
	return true, nil
}

func copyEndpoint(e relay.Endpoint) relay.Endpoint {
	e.EventTypes = slices.Clone(e.EventTypes)
	e.SourceIDs = slices.Clone(e.SourceIDs)
	e.Signatures = slices.Clone(e.Signatures)
	return e
}
