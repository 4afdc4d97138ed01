package relaytest

import (
	"context"
	"maps"
	"slices"
	"time"

	"hookferry/shared/relay"
)

// memoryEvent is an event with the state of its deliveries.
type memoryEvent struct {
	record     relay.EventRecord
	endpoints  []string // those that it was listed with
	listed     bool
	clean      bool // listed with nothing to keep
	deliveries map[string]relay.Delivery
}

// status sums up the deliveries as Deliveries returns them.
func (e *memoryEvent) status() relay.EventStatus { return relay.StatusOf(e.state()) }

func (e *memoryEvent) state() []relay.Delivery {
	ds := maps.Clone(e.deliveries)
	if e.clean {
		if ds == nil {
			ds = map[string]relay.Delivery{}
		}
		for _, id := range e.record.Matched {
			if _, ok := ds[id]; !ok {
				ds[id] = relay.Delivery{EndpointID: id, Attempts: 1, Status: relay.DeliverySucceeded}
			}
		}
	}
	ids := slices.Sorted(maps.Keys(ds))
	out := make([]relay.Delivery, len(ids))
	for i, id := range ids {
		out[i] = ds[id]
	}
	return out
}

// save sets a delivery unless it has come further.
func (e *memoryEvent) save(d relay.Delivery) {
	i := slices.IndexFunc(e.state(), func(old relay.Delivery) bool { return old.EndpointID == d.EndpointID })
	if i >= 0 && !e.state()[i].Before(d) {
		return
	}
	if e.deliveries == nil {
		e.deliveries = map[string]relay.Delivery{}
	}
	e.deliveries[d.EndpointID] = d
}

// event returns an event that has not expired. The caller holds the lock.
func (m *Memory) event(account, id string) (*memoryEvent, bool) {
	e, ok := m.events[[2]string{account, id}]
	if !ok || m.expired(e.record.CreatedAt) {
		return nil, false
	}
	return e, true
}

func (m *Memory) expired(created time.Time) bool {
	return !m.now().Before(created.Add(m.retention))
}

// PutEvent implements relay.EventStore.
func (m *Memory) PutEvent(ctx context.Context, r relay.EventRecord) (*relay.EventRecord, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if e, ok := m.event(r.Account, r.Ref().ID); ok {
		old := copyRecord(e.record)
		return &old, nil
	}
	m.events[[2]string{r.Account, r.Ref().ID}] = &memoryEvent{record: copyRecord(r)}
	return nil, nil
}

// ClaimEvent implements relay.EventStore.
func (m *Memory) ClaimEvent(ctx context.Context, ref relay.EventRef, from, until time.Time) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	e, ok := m.event(ref.Account, ref.ID)
	if !ok || !e.record.ClaimedUntil.Equal(from) {
		return relay.ErrConflict
	}
	e.record.ClaimedUntil = until
	return nil
}

// ConfirmEvent implements relay.EventStore.
func (m *Memory) ConfirmEvent(ctx context.Context, ref relay.EventRef, claimed time.Time, a relay.Answer, body relay.Payload) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	e, ok := m.event(ref.Account, ref.ID)
	if !ok || !e.record.ClaimedUntil.Equal(claimed) {
		return relay.ErrConflict
	}
	e.record.Answer = a
	if a.Outcome == relay.DeliverySucceeded {
		e.record.Payload, e.record.VerifiedBy = body, relay.VerifiedByTokenFetch
	}
	return nil
}

// Event implements relay.EventStore; every read is consistent.
func (m *Memory) Event(ctx context.Context, account, id string, _ bool) (relay.EventRecord, error) {
	if err := m.enter(ctx); err != nil {
		return relay.EventRecord{}, err
	}
	defer m.mu.Unlock()
	e, ok := m.event(account, id)
	if !ok {
		return relay.EventRecord{}, relay.ErrNotFound
	}
	return copyRecord(e.record), nil
}

// EventsByID implements relay.EventStore.
func (m *Memory) EventsByID(ctx context.Context, account, id string) ([]relay.EventRecord, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var found []relay.EventRecord
	for at, e := range m.events {
		if at[0] == account && e.record.ID == id && !m.expired(e.record.CreatedAt) {
			found = append(found, copyRecord(e.record))
		}
	}
	slices.SortFunc(found, func(a, b relay.EventRecord) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return found, nil
}

// ListEvent implements relay.EventStore.
func (m *Memory) ListEvent(ctx context.Context, ev relay.Event, deliveries []relay.Delivery) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	e, ok := m.event(ev.Account, ev.Ref().ID)
	if !ok {
		return relay.ErrNotFound
	}
	clean := len(e.deliveries) == 0
	for _, d := range deliveries {
		clean = clean && d.Status == relay.DeliverySucceeded && d.Run == 0 && d.Attempts == 1
	}
	if !e.listed {
		e.listed, e.clean, e.endpoints = true, clean, relay.EndpointsOf(deliveries)
	}
	for _, d := range deliveries {
		if !clean || !e.clean {
			e.save(d)
		}
	}
	return nil
}

// SaveDelivery implements relay.EventStore.
func (m *Memory) SaveDelivery(ctx context.Context, ref relay.EventRef, d relay.Delivery) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	e, ok := m.event(ref.Account, ref.ID)
	if !ok {
		return relay.ErrNotFound
	}
	e.save(d)
	return nil
}

// Deliveries implements relay.EventStore.
func (m *Memory) Deliveries(ctx context.Context, r relay.EventRecord) ([]relay.Delivery, bool, error) {
	if err := m.enter(ctx); err != nil {
		return nil, false, err
	}
	defer m.mu.Unlock()
	e, ok := m.event(r.Account, r.Ref().ID)
	if !ok {
		return nil, false, nil
	}
	return e.state(), e.listed, nil
}

// StartRun implements relay.EventStore.
func (m *Memory) StartRun(ctx context.Context, account, event, endpoint, token string, at time.Time) (relay.Run, error) {
	if err := m.enter(ctx); err != nil {
		return relay.Run{}, err
	}
	defer m.mu.Unlock()
	e, ok := m.event(account, event)
	if !ok {
		return relay.Run{}, relay.ErrNotFound
	}
	if run, ok := e.record.Runs[endpoint]; ok && run.Token == token {
		return run, nil
	}
	var last relay.Attempt
	for _, a := range m.attempts[endpoint] {
		if a.EventID == event && a.Run == e.record.Latest(endpoint) && a.Number > last.Number {
			last = a
		}
	}
	if last.ID != "" && !last.Final {
		last.Final, last.NextAttemptAt = true, time.Time{}
		m.attempts[endpoint][last.ID] = last
	}
	run := relay.Run{Number: e.record.Latest(endpoint) + 1, Token: token, StartedAt: at}
	if e.record.Runs == nil {
		e.record.Runs = map[string]relay.Run{}
	}
	e.record.Runs[endpoint] = run
	e.save(relay.Delivery{EndpointID: endpoint, Run: run.Number, Status: relay.DeliveryPending, NextAttemptAt: at})
	return run, nil
}

// Events implements relay.EventStore.
func (m *Memory) Events(ctx context.Context, account string, f relay.EventFilter, p relay.Page) ([]relay.EventSummary, string, error) {
	if err := m.enter(ctx); err != nil {
		return nil, "", err
	}
	defer m.mu.Unlock()
	var all []relay.EventSummary
	for _, e := range m.events {
		ev := e.record.Event
		if ev.Account != account || !e.listed || m.expired(ev.CreatedAt) ||
			!f.Since.IsZero() && ev.CreatedAt.Before(f.Since) || !f.Until.IsZero() && !ev.CreatedAt.Before(f.Until) {
			continue
		}
		ev.Payload = relay.Payload{}
		all = append(all, relay.EventSummary{Event: ev, Status: e.status()})
	}
	return page(all, p, descending, func(s relay.EventSummary) string { return position(s.CreatedAt, s.Ref().ID) },
		func(s relay.EventSummary) bool {
			return f.Wants(s.Status) && f.Fits(s.Event, m.events[[2]string{account, s.Ref().ID}].endpoints)
		})
}

// OpenDeliveries implements relay.EventStore.
func (m *Memory) OpenDeliveries(ctx context.Context, account, endpoint string, since, until time.Time, p relay.Page) ([]relay.Overdue, string, error) {
	if err := m.enter(ctx); err != nil {
		return nil, "", err
	}
	defer m.mu.Unlock()
	var all []relay.Overdue
	for _, e := range m.events {
		d, ok := e.deliveries[endpoint]
		if at := e.record.CreatedAt; ok && e.record.Account == account && !m.expired(at) && !at.Before(since) && at.Before(until) &&
			d.Open() && !d.NextAttemptAt.IsZero() {
			all = append(all, relay.Overdue{Event: e.record.Ref(), Delivery: d})
		}
	}
	return page(all, p, descending, func(o relay.Overdue) string { return position(o.Event.CreatedAt, o.Event.ID) }, nil)
}

// Overdue implements relay.EventStore.
func (m *Memory) Overdue(ctx context.Context, t time.Time, p relay.Page) ([]relay.Overdue, string, error) {
	if err := m.enter(ctx); err != nil {
		return nil, "", err
	}
	defer m.mu.Unlock()
	var all []relay.Overdue
	for _, e := range m.events {
		for _, d := range e.deliveries {
			if !m.expired(e.record.CreatedAt) && d.Open() && !d.NextAttemptAt.IsZero() && d.NextAttemptAt.Before(t) && d.NotBefore.Before(t) {
				all = append(all, relay.Overdue{Event: e.record.Ref(), Delivery: d})
			}
		}
	}
	return page(all, p, ascending, func(o relay.Overdue) string {
		return position(o.Event.CreatedAt, o.Event.Account+o.Event.ID+o.Delivery.EndpointID)
	}, nil)
}

func copyRecord(r relay.EventRecord) relay.EventRecord {
	r.Matched = slices.Clone(r.Matched)
	r.Unmatched = slices.Clone(r.Unmatched)
	r.Runs = maps.Clone(r.Runs)
	return r
}
