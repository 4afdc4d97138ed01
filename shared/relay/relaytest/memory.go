package relaytest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"hookferry/shared/relay"
)

// Memory is a relay.Store in memory: one lock, plain maps, every promise kept
// and nothing promised that a store with a disk would not keep too.
type Memory struct {
	now       func() time.Time
	retention time.Duration

	mu          sync.Mutex
	accounts    map[string]relay.Account // by name
	keys        map[string]relay.Key
	idempotency map[[2]string]relay.Idempotency
	endpoints   map[string]relay.Endpoint
	counters    map[string]relay.Counters
	sources     map[string]relay.Source
	expected    map[[2]string]relay.Expectation
	events      map[[2]string]*memoryEvent
	attempts    map[string]map[string]relay.Attempt // by endpoint and ID
	replays     map[string]relay.Replay
	refusals    map[refusalKey]relay.Refusal
	activity    map[string][]relay.Tally // by endpoint
	slots       map[string]time.Time     // until when an endpoint's time for replays is taken
}

var _ relay.Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory(now func() time.Time, retention time.Duration) *Memory {
	return &Memory{
		now: now, retention: retention,
		accounts:    map[string]relay.Account{},
		keys:        map[string]relay.Key{},
		idempotency: map[[2]string]relay.Idempotency{},
		endpoints:   map[string]relay.Endpoint{},
		counters:    map[string]relay.Counters{},
		sources:     map[string]relay.Source{},
		expected:    map[[2]string]relay.Expectation{},
		events:      map[[2]string]*memoryEvent{},
		attempts:    map[string]map[string]relay.Attempt{},
		replays:     map[string]relay.Replay{},
		refusals:    map[refusalKey]relay.Refusal{},
		activity:    map[string][]relay.Tally{},
		slots:       map[string]time.Time{},
	}
}

// enter takes the lock unless the context is done; leave with m.mu.Unlock.
func (m *Memory) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	return nil
}

// CreateAccount implements relay.AccountStore.
func (m *Memory) CreateAccount(ctx context.Context, a relay.Account) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if _, ok := m.accounts[a.Name]; ok {
		return relay.ErrExists
	}
	m.accounts[a.Name] = a
	return nil
}

// AccountByName implements relay.AccountStore.
func (m *Memory) AccountByName(ctx context.Context, name string) (relay.Account, error) {
	return lookup(ctx, m, m.accounts, name, func(relay.Account) bool { return true })
}

// Accounts implements relay.AccountStore.
func (m *Memory) Accounts(ctx context.Context, p relay.Page) ([]relay.Account, string, error) {
	if err := m.enter(ctx); err != nil {
		return nil, "", err
	}
	defer m.mu.Unlock()
	all := slices.Collect(maps.Values(m.accounts))
	return page(all, p, ascending, func(a relay.Account) string { return position(a.CreatedAt, a.ID) }, nil)
}

// CreateKey implements relay.AccountStore.
func (m *Memory) CreateKey(ctx context.Context, k relay.Key, limit int) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if _, ok := m.keys[k.ID]; ok {
		return relay.ErrExists
	}
	for _, id := range k.Ancestors {
		if a, ok := m.keys[id]; !ok || a.Hidden || !m.keeps(a) || a.Account != k.Account || !a.RevokedAt.IsZero() {
			return relay.ErrRevoked
		}
	}
	live := 0
	for _, other := range m.keys {
		if other.Account == k.Account && !other.Hidden && other.Check(m.now()) == nil {
			live++
		}
	}
	if live >= limit && !k.Hidden {
		return relay.ErrLimit
	}
	m.keys[k.ID] = copyKey(k)
	return nil
}

// KeyByHash implements relay.AccountStore.
func (m *Memory) KeyByHash(ctx context.Context, h relay.KeyHash) (relay.Key, error) {
	if err := m.enter(ctx); err != nil {
		return relay.Key{}, err
	}
	defer m.mu.Unlock()
	for _, k := range m.keys {
		if k.Hash == h && m.keeps(k) {
			return copyKey(k), nil
		}
	}
	return relay.Key{}, relay.ErrNotFound
}

// Key implements relay.AccountStore.
func (m *Memory) Key(ctx context.Context, account, id string) (relay.Key, error) {
	k, err := lookup(ctx, m, m.keys, id, func(k relay.Key) bool { return k.Account == account && !k.Hidden && m.keeps(k) })
	return copyKey(k), err
}

// Keys implements relay.AccountStore.
func (m *Memory) Keys(ctx context.Context, account string, p relay.Page) ([]relay.Key, string, error) {
	if err := m.enter(ctx); err != nil {
		return nil, "", err
	}
	defer m.mu.Unlock()
	var all []relay.Key
	for _, k := range m.keys {
		if k.Account == account && !k.Hidden && m.keeps(k) {
			all = append(all, copyKey(k))
		}
	}
	return page(all, p, descending, func(k relay.Key) string { return position(k.CreatedAt, k.ID) }, nil)
}

// RevokeKey implements relay.AccountStore.
func (m *Memory) RevokeKey(ctx context.Context, account, id string, at time.Time, keep relay.Scope) (relay.Key, error) {
	if err := m.enter(ctx); err != nil {
		return relay.Key{}, err
	}
	defer m.mu.Unlock()
	k, ok := m.keys[id]
	if !ok || k.Account != account || k.Hidden || !m.keeps(k) {
		return relay.Key{}, relay.ErrNotFound
	}
	if !k.RevokedAt.IsZero() {
		return copyKey(k), nil
	}
	if keep != "" {
		kept := false
		for _, other := range m.keys {
			kept = kept || other.Account == account && !other.Hidden && other.ID != id && other.Check(at) == nil &&
				other.ExpiresAt.IsZero() && slices.Contains(other.Scopes, keep)
		}
		if !kept {
			return relay.Key{}, relay.ErrLastKey
		}
	}
	k.RevokedAt = at
	m.keys[id] = k
	return copyKey(k), nil
}

// PutIdempotency implements relay.AccountStore.
func (m *Memory) PutIdempotency(ctx context.Context, r relay.Idempotency) (*relay.Idempotency, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	at := [2]string{r.Account, string(r.Key[:])}
	if old, ok := m.idempotency[at]; ok && old.ExpiresAt.After(m.now()) {
		return &old, nil
	}
	m.idempotency[at] = r
	return nil, nil
}

// lookup returns the item of a key if it is visible, else ErrNotFound.
func lookup[K comparable, V any](ctx context.Context, m *Memory, items map[K]V, key K, visible func(V) bool) (V, error) {
	var none V
	if err := m.enter(ctx); err != nil {
		return none, err
	}
	defer m.mu.Unlock()
	v, ok := items[key]
	if !ok || !visible(v) {
		return none, relay.ErrNotFound
	}
	return v, nil
}

// position is a place on a list that is ordered by time.
func position(t time.Time, id string) string { return relay.FormatTime(t) + id }

func ascending(a, b string) int  { return cmp.Compare(a, b) }
func descending(a, b string) int { return cmp.Compare(b, a) }

const cursorMark = "at:"

// page returns the items after p.After in an order, those that fit alone, having
// looked at no more than MaxExamined of them.
func page[T any](all []T, p relay.Page, order func(a, b string) int, pos func(T) string, fits func(T) bool) ([]T, string, error) {
	after, ok := strings.CutPrefix(p.After, cursorMark)
	if p.After != "" && !ok {
		return nil, "", relay.ErrCursor
	}
	slices.SortFunc(all, func(a, b T) int { return order(pos(a), pos(b)) })
	if p.After != "" {
		all = slices.DeleteFunc(all, func(v T) bool { return order(pos(v), after) <= 0 })
	}
	var out []T
	for i, v := range all {
		if len(out) == p.Limit || i == relay.MaxExamined {
			return out, cursorMark + pos(all[i-1]), nil
		}
		if fits == nil || fits(v) {
			out = append(out, v)
		}
	}
	return out, "", nil
}

func copyKey(k relay.Key) relay.Key {
	k.Scopes = slices.Clone(k.Scopes)
	k.Ancestors = slices.Clone(k.Ancestors)
	return k
}

// keeps reports whether a key has not been dead for the retention time.
func (m *Memory) keeps(k relay.Key) bool {
	return m.recent(k.RevokedAt) && m.recent(k.ExpiresAt)
}

// recent reports whether something ended within the retention time, or never.
func (m *Memory) recent(end time.Time) bool { return end.IsZero() || !end.Before(m.cutoff()) }

// Usage implements relay.UsageStore.
func (m *Memory) Usage(ctx context.Context, account string) (u relay.Usage, err error) {
	if err := m.enter(ctx); err != nil {
		return u, err
	}
	defer m.mu.Unlock()
	for at, e := range m.events {
		if at[0] == account {
			u.Events++
			u.Bytes += int64(len(e.record.Payload.Deflated()))
		}
	}
	return u, nil
}
