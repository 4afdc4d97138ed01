// Package cache keeps for some seconds what every call and every message asks
// the store for: keys by their hash, sources, and an account's live endpoints.
//
// It is of our own making because it has to take its clock from outside: the
// caches of the usual libraries read time.Now, and with them neither the promise
// that an edit bites within 10 s nor the schedule could be tested.
package cache

import (
	"context"
	"errors"
	"slices"
	"time"

	"hookferry/shared/relay"
)

// TTL is how old an answer may be by default (contract section 1).
const TTL = 5 * time.Second

// How many answers are kept of each kind, at most. An account's endpoints are up
// to a hundred.
const (
	maxKeys     = 10_000
	maxSources  = 10_000
	maxAccounts = 1_000
)

// A Store is a relay.Store whose KeyByHash, IngestSource and LiveEndpoints may
// answer from memory what the store said up to ttl ago. Calls for the same thing
// at the same time share one question to the store. A write through it is seen by
// the next read through it; a write elsewhere after ttl. Only answers are kept:
// an error, ErrNotFound among them, is never given twice. It is safe for
// concurrent use; what it returns is shared and must not be changed in depth.
type Store struct {
	relay.Store
	keys      *table[relay.KeyHash, relay.Key]
	sources   *table[string, relay.Source]
	endpoints *table[string, []relay.Endpoint]
}

// Wrap puts a cache in front of s.
func Wrap(s relay.Store, ttl time.Duration, now func() time.Time) *Store {
	return &Store{
		Store:     s,
		keys:      newTable[relay.KeyHash, relay.Key](ttl, maxKeys, now),
		sources:   newTable[string, relay.Source](ttl, maxSources, now),
		endpoints: newTable[string, []relay.Endpoint](ttl, maxAccounts, now),
	}
}

// KeyByHash returns a key, up to ttl old.
func (s *Store) KeyByHash(ctx context.Context, h relay.KeyHash) (relay.Key, error) {
	return s.keys.value(ctx, h, s.Store.KeyByHash)
}

// IngestSource returns a source, up to ttl old.
func (s *Store) IngestSource(ctx context.Context, id string) (relay.Source, error) {
	return s.sources.value(ctx, id, s.Store.IngestSource)
}

// LiveEndpoints returns an account's endpoints, up to ttl old. The slice is the
// caller's own.
func (s *Store) LiveEndpoints(ctx context.Context, account string) ([]relay.Endpoint, error) {
	eps, err := s.endpoints.value(ctx, account, s.Store.LiveEndpoints)
	return slices.Clone(eps), err
}

// CreateEndpoint creates an endpoint and forgets the account's list. So do the
// other writes with what they change, also when they fail: they may have taken
// effect.
func (s *Store) CreateEndpoint(ctx context.Context, e relay.Endpoint, limit int) error {
	defer s.endpoints.drop(e.Account)
	return s.Store.CreateEndpoint(ctx, e, limit)
}

// UpdateEndpoint updates an endpoint.
func (s *Store) UpdateEndpoint(ctx context.Context, e relay.Endpoint) error {
	defer s.endpoints.drop(e.Account)
	return s.Store.UpdateEndpoint(ctx, e)
}

// RevokeKey revokes a key.
func (s *Store) RevokeKey(ctx context.Context, account, id string, at time.Time, keep relay.Scope) (relay.Key, error) {
	k, err := s.Store.RevokeKey(ctx, account, id, at, keep)
	switch {
	case err == nil:
		s.keys.drop(k.Hash)
	case errors.Is(err, relay.ErrNotFound), errors.Is(err, relay.ErrLastKey):
		// Nothing has changed.
	default:
		// It may have taken effect all the same, and the hash is not known.
		s.keys.dropWhere(func(k relay.Key) bool { return k.Account == account && k.ID == id })
	}
	return k, err
}

// UpdateSource updates a source.
func (s *Store) UpdateSource(ctx context.Context, src relay.Source) error {
	defer s.sources.drop(src.ID)
	return s.Store.UpdateSource(ctx, src)
}

// DeleteSource deletes a source.
func (s *Store) DeleteSource(ctx context.Context, account, id string) error {
	defer s.sources.drop(id)
	return s.Store.DeleteSource(ctx, account, id)
}
