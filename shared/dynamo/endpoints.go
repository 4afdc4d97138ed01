package dynamo

import (
	"context"
	"fmt"
	"time"

	"hookferry/shared/relay"
)

// Endpoints that are not deleted are under A#account, so that one query gives
// them all; a deleted one moves to V#account, with the same sort key.
func liveEndpointKey(account, id string) key    { return accountKey(account, "W#"+id) }
func deletedEndpointKey(account, id string) key { return key{"V#" + account, "W#" + id} }

// endpointCount counts the live ones, sourceCount the sources.
func endpointCount(account string) key { return accountKey(account, "M#endpoints") }
func sourceCount(account string) key   { return accountKey(account, "M#sources") }

// holderKey is held by the one live endpoint that has this KeyID.
func holderKey(account, keyID string) key { return accountKey(account, "Q#"+keyID) }

func endpointItem(k key, e relay.Endpoint, retention time.Duration) item {
	it := newItem(k)
	it.setString("i", e.ID)
	it.setString("a", e.Account)
	it.setString("n", e.Name)
	it.setString("u", e.URL)
	setStrings(it, "t", e.EventTypes)
	setStrings(it, "o", e.SourceIDs)
	it.setString("f", string(e.Format))
	setStrings(it, "g", e.Signatures)
	it.setString("s", string(e.Status))
	it.setString("k1", string(e.Secret))
	it.setString("kp", e.SecretPreview)
	it.setString("k0", string(e.OldSecret))
	it.setTime("ku", e.OldSecretUntil)
	it.setTime("c", e.CreatedAt)
	it.setTime("m", e.UpdatedAt)
	it.setTime("d", e.DisabledAt)
	it.setString("dr", string(e.DisabledReason))
	it.setTime("r", e.RevokedAt)
	it.setString("q", e.KeyID)
	it.setString("fp", e.Filter)
	it.setInt("ms", int64(e.MaxPerSecond))
	it.setInt("mf", int64(e.MaxInFlight))
	it.setInt("ro", int64(e.Rotations))
	it.setInt("v", e.Version)
	if e.Deleted() {
		it.setExpiry(e.RevokedAt.Add(retention))
	}
	return it
}

func endpointOf(it item) relay.Endpoint {
	return relay.Endpoint{
		ID: it.string("i"), Account: it.string("a"), Name: it.string("n"), URL: it.string("u"),
		EventTypes: stringsOf[string](it, "t"), SourceIDs: stringsOf[string](it, "o"),
		Format: relay.Format(it.string("f")), Signatures: stringsOf[relay.Scheme](it, "g"),
		Status: relay.Status(it.string("s")),
		Secret: relay.Sealed(it.string("k1")), SecretPreview: it.string("kp"),
		OldSecret: relay.Sealed(it.string("k0")), OldSecretUntil: it.time("ku"),
		CreatedAt: it.time("c"), UpdatedAt: it.time("m"), DisabledAt: it.time("d"),
		DisabledReason: relay.DisabledReason(it.string("dr")), RevokedAt: it.time("r"),
		KeyID: it.string("q"), Version: it.int("v"), Filter: it.string("fp"),
		MaxPerSecond: int(it.int("ms")), MaxInFlight: int(it.int("mf")), Rotations: int(it.int("ro")),
	}
}

// one adds 1 to a count that is under limit; less takes 1 off.
const addOne = "ADD n :one"

func under(limit int) condition {
	return condition{
		expr:   "attribute_not_exists(n) OR n < :limit",
		values: item{":one": numberValue(1), ":limit": numberValue(int64(limit))},
	}
}

func less() condition { return condition{values: item{":one": numberValue(-1)}} }

func atVersion(v int64) condition {
	return condition{expr: "v = :v", values: item{":v": numberValue(v)}}
}

// CreateEndpoint implements relay.Store.
func (s *Store) CreateEndpoint(ctx context.Context, e relay.Endpoint, limit int) error {
	if limit <= 0 {
		return fmt.Errorf("create endpoint %s: %w", e.ID, relay.ErrLimit)
	}
	e.Version = 1
	if e.Deleted() {
		_, ok, err := s.putMarked(ctx, endpointItem(deletedEndpointKey(e.Account, e.ID), e, s.retention), absent)
		if err == nil && !ok {
			err = relay.ErrExists
		}
		if err != nil {
			return fmt.Errorf("create endpoint %s: %w", e.ID, err)
		}
		return nil
	}
	writes := []txWrite{
		{s.transactUpdate(endpointCount(e.Account), addOne, under(limit)), relay.ErrLimit},
		{s.transactPut(endpointItem(liveEndpointKey(e.Account, e.ID), e, s.retention), absent), relay.ErrExists},
		// A deleted one has its ID for as long as it is kept. Deleting nothing is the
		// check of it that the function's role allows.
		{s.transactDelete(deletedEndpointKey(e.Account, e.ID), absent), relay.ErrExists},
	}
	if e.KeyID != "" {
		writes = append(writes, s.hold(e))
	}
	if err := s.transactAll(ctx, writes); err != nil {
		return fmt.Errorf("create endpoint %s: %w", e.ID, err)
	}
	return nil
}

func (s *Store) hold(e relay.Endpoint) txWrite {
	it := newItem(holderKey(e.Account, e.KeyID))
	it.setString("i", e.ID)
	return txWrite{s.transactPut(it, absent), relay.ErrExists}
}

func (s *Store) release(e relay.Endpoint) txWrite {
	return txWrite{s.transactDelete(holderKey(e.Account, e.KeyID),
		condition{expr: "i = :i", values: item{":i": stringValue(e.ID)}}), relay.ErrConflict}
}

// UpdateEndpoint implements relay.Store. A deleted endpoint stays deleted.
func (s *Store) UpdateEndpoint(ctx context.Context, e relay.Endpoint) error {
	was, err := s.Endpoint(ctx, e.Account, e.ID)
	if err != nil {
		return fmt.Errorf("update endpoint: %w", err)
	}
	if was.Version != e.Version {
		return fmt.Errorf("update endpoint %s: %w", e.ID, relay.ErrConflict)
	}
	if was.Deleted() && !e.Deleted() {
		return fmt.Errorf("update endpoint %s: it has been deleted for good", e.ID)
	}
	unchanged := atVersion(e.Version)
	e.Version++
	at := liveEndpointKey(e.Account, e.ID)
	if e.Deleted() {
		at = deletedEndpointKey(e.Account, e.ID)
	}
	moved := e.Deleted() && !was.Deleted()
	var writes []txWrite
	if !was.Deleted() && was.KeyID != "" && (moved || was.KeyID != e.KeyID) {
		writes = append(writes, s.release(was))
	}
	if !e.Deleted() && e.KeyID != "" && was.KeyID != e.KeyID {
		writes = append(writes, s.hold(e))
	}
	if moved {
		writes = append(writes,
			txWrite{s.transactDelete(liveEndpointKey(e.Account, e.ID), unchanged), relay.ErrConflict},
			txWrite{s.transactPut(endpointItem(at, e, s.retention), absent), relay.ErrConflict},
			txWrite{s.transactUpdate(endpointCount(e.Account), addOne, less()), nil})
	} else if len(writes) > 0 {
		writes = append(writes, txWrite{s.transactPut(endpointItem(at, e, s.retention), unchanged), relay.ErrConflict})
	}
	if len(writes) > 0 {
		if err := s.transactAll(ctx, writes); err != nil {
			return fmt.Errorf("update endpoint %s: %w", e.ID, err)
		}
		return nil
	}
	_, ok, err := s.putMarked(ctx, endpointItem(at, e, s.retention), unchanged)
	if err != nil {
		return fmt.Errorf("update endpoint %s: %w", e.ID, err)
	}
	if !ok {
		return fmt.Errorf("update endpoint %s: %w", e.ID, relay.ErrConflict)
	}
	return nil
}

// Endpoint implements relay.Store.
func (s *Store) Endpoint(ctx context.Context, account, id string) (relay.Endpoint, error) {
	// In this order a deletion between the two reads cannot hide it.
	for _, k := range []key{liveEndpointKey(account, id), deletedEndpointKey(account, id)} {
		it, err := s.item(ctx, k, true)
		if err != nil {
			return relay.Endpoint{}, fmt.Errorf("read endpoint %s: %w", id, err)
		}
		if it != nil && s.keeps(it.time("r")) {
			return endpointOf(it), nil
		}
	}
	return relay.Endpoint{}, fmt.Errorf("endpoint %s: %w", id, relay.ErrNotFound)
}

// Endpoints implements relay.Store. The order is that of the identifiers, which
// begin with the time of their making.
func (s *Store) Endpoints(ctx context.Context, account string, p relay.Page) ([]relay.Endpoint, string, error) {
	after, err := position("w:", p.After)
	if err != nil {
		return nil, "", err
	}
	r := keyRange{low: "W#", high: "W$", after: after, newest: true}
	rows := &rows{store: s, newest: true}
	for _, k := range []key{liveEndpointKey(account, ""), deletedEndpointKey(account, "")} {
		r.pk = k.pk
		rows.parts = append(rows.parts, s.part(r, p.Limit, false))
	}
	var endpoints []relay.Endpoint
	next, err := page(ctx, rows, p.Limit, "w:", func(it item) bool {
		if !s.keeps(it.time("r")) {
			return false
		}
		endpoints = append(endpoints, endpointOf(it))
		return true
	})
	if err != nil {
		return nil, "", fmt.Errorf("list endpoints of %s: %w", account, err)
	}
	return endpoints, next, nil
}

// LiveEndpoints implements relay.Store.
func (s *Store) LiveEndpoints(ctx context.Context, account string) ([]relay.Endpoint, error) {
	rows := s.rows(keyRange{pk: liveEndpointKey(account, "").pk, low: "W#", high: "W$"}, 0, false)
	var endpoints []relay.Endpoint
	for {
		it, err := rows.next(ctx)
		if err != nil {
			return nil, fmt.Errorf("list live endpoints of %s: %w", account, err)
		}
		if it == nil {
			return endpoints, nil
		}
		endpoints = append(endpoints, endpointOf(it))
	}
}

// keeps reports whether something ended within the retention time, or never.
func (s *Store) keeps(end time.Time) bool {
	return end.IsZero() || unixMillis(end) >= s.cutoff()
}
