package relaytest

import (
	"context"
	"time"

	"hookferry/shared/relay"
)

// refusalKey is what refusals are counted by.
type refusalKey struct {
	source, reason string
	hour           int64
}

// AddRefusals implements relay.RefusalStore.
func (m *Memory) AddRefusals(ctx context.Context, r relay.Refusal) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	at := refusalKey{r.SourceID, r.Reason, r.Hour.UnixMilli()}
	if old, ok := m.refusals[at]; ok {
		r.Count += old.Count
		if old.LastAt.After(r.LastAt) {
			r.LastAt = old.LastAt
		}
	}
	m.refusals[at] = r
	return nil
}

// Refusals implements relay.RefusalStore.
func (m *Memory) Refusals(ctx context.Context, source string, p relay.Page) ([]relay.Refusal, string, error) {
	if err := m.enter(ctx); err != nil {
		return nil, "", err
	}
	defer m.mu.Unlock()
	var all []relay.Refusal
	for at, r := range m.refusals {
		if at.source == source && r.Hour.After(m.cutoff()) {
			all = append(all, r)
		}
	}
	return page(all, p, descending, func(r relay.Refusal) string { return position(r.Hour, r.Reason) }, nil)
}

// cutoff is the time before which nothing is kept.
func (m *Memory) cutoff() time.Time { return m.now().Add(-m.retention) }

// Activity implements relay.ActivityStore.
func (m *Memory) Activity(ctx context.Context, step time.Duration, since time.Time, endpoints ...string) (map[string]relay.Activity, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	all := map[string]relay.Activity{}
	for _, id := range endpoints {
		a := relay.Activity{LastCalls: map[string]time.Time{}}
		for _, t := range m.activity[id] {
			if t.SourceID != "" && t.LastAt.After(a.LastCalls[t.SourceID]) {
				a.LastCalls[t.SourceID] = t.LastAt
			}
			if t.At, t.LastAt = t.At.Truncate(step), (time.Time{}); !t.At.Before(since) {
				a.Tallies = append(a.Tallies, t)
			}
		}
		all[id] = a
	}
	return all, nil
}
