package cache

import (
	"context"
	"time"

	"hookferry/shared/relay"
)

// Usage is a relay.UsageStore whose answers may be up to ttl old, so that asking
// for each event costs nothing. It is safe for concurrent use.
type Usage struct {
	store relay.UsageStore
	table *table[string, relay.Usage]
}

// WrapUsage puts a cache in front of s.
func WrapUsage(s relay.UsageStore, ttl time.Duration, now func() time.Time) *Usage {
	return &Usage{store: s, table: newTable[string, relay.Usage](ttl, maxAccounts, now)}
}

// Usage returns what is kept of an account, up to ttl old.
func (u *Usage) Usage(ctx context.Context, account string) (relay.Usage, error) {
	return u.table.value(ctx, account, u.store.Usage)
}
