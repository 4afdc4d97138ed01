package dynamo

import (
	"context"
	"errors"
	"fmt"

	"hookferry/shared/relay"
)

// A source is an item of its own, so that the receiver reads it by its ID
// alone; under A#account is a pointer to it.
func sourceKey(id string) key              { return key{"S#" + id, "S"} }
func sourcePointer(account, id string) key { return accountKey(account, "S#"+id) }
func ofAccount(account string, v int64) condition {
	return condition{expr: "a = :a AND v = :v", values: item{":a": stringValue(account), ":v": numberValue(v)}}
}

// errAgain: another writer came between; begin again.
var errAgain = errors.New("changed in between")

func sourceItem(src relay.Source) item {
	it := newItem(sourceKey(src.ID))
	it.setString("a", src.Account)
	it.setString("p", string(src.Provider))
	it.setString("n", src.Name)
	it.setString("s", string(src.Status))
	it.setTime("c", src.CreatedAt)
	it.setTime("m", src.UpdatedAt)
	it.setString("k1", string(src.Secret))
	it.setString("k0", string(src.OldSecret))
	it.setTime("ku", src.OldSecretUntil)
	if src.TokenHash != (relay.KeyHash{}) {
		it.setBytes("h1", src.TokenHash[:])
	}
	if src.OldTokenHash != (relay.KeyHash{}) {
		it.setBytes("h0", src.OldTokenHash[:])
	}
	it.setTime("hu", src.OldTokenUntil)
	it.setString("t", string(src.Token))
	it.setString("ak", string(src.APIKey))
	it.setString("ap", src.API)
	it.setString("q", string(src.Confirm))
	it.setString("rc", src.Recipe)
	setStrings(it, "pk8", src.PublicKeys)
	it.setInt("v", src.Version)
	return it
}

func sourceOf(id string, it item) relay.Source {
	src := relay.Source{
		ID: id, Account: it.string("a"), Provider: relay.Provider(it.string("p")), Name: it.string("n"),
		Status: relay.Status(it.string("s")), CreatedAt: it.time("c"), UpdatedAt: it.time("m"),
		Secret: relay.Sealed(it.string("k1")), OldSecret: relay.Sealed(it.string("k0")), OldSecretUntil: it.time("ku"),
		OldTokenUntil: it.time("hu"), Token: relay.Sealed(it.string("t")),
		APIKey: relay.Sealed(it.string("ak")), API: it.string("ap"), Confirm: relay.Confirm(it.string("q")),
		Version: it.int("v"), Recipe: it.string("rc"), PublicKeys: stringsOf[string](it, "pk8"),
	}
	copy(src.TokenHash[:], it.bytes("h1"))
	copy(src.OldTokenHash[:], it.bytes("h0"))
	return src
}

// CreateSource implements relay.Store.
func (s *Store) CreateSource(ctx context.Context, src relay.Source, limit int) error {
	if limit <= 0 {
		return fmt.Errorf("create source %s: %w", src.ID, relay.ErrLimit)
	}
	src.Version = 1
	err := s.transactAll(ctx, []txWrite{
		{s.transactUpdate(sourceCount(src.Account), addOne, under(limit)), relay.ErrLimit},
		{s.transactPut(sourceItem(src), absent), relay.ErrExists},
		{s.transactPut(newItem(sourcePointer(src.Account, src.ID)), condition{}), nil},
	})
	if err != nil {
		return fmt.Errorf("create source %s: %w", src.ID, err)
	}
	return nil
}

// UpdateSource implements relay.Store.
func (s *Store) UpdateSource(ctx context.Context, src relay.Source) error {
	unchanged := ofAccount(src.Account, src.Version)
	src.Version++
	there, ok, err := s.putMarked(ctx, sourceItem(src), unchanged)
	switch {
	case err != nil:
		return fmt.Errorf("update source %s: %w", src.ID, err)
	case ok:
		return nil
	case there.string("a") != src.Account:
		return fmt.Errorf("update source %s: %w", src.ID, relay.ErrNotFound)
	}
	return fmt.Errorf("update source %s: %w", src.ID, relay.ErrConflict)
}

// DeleteSource implements relay.Store. What is expected of the source goes
// first, so that a call that failed half-way can be repeated.
func (s *Store) DeleteSource(ctx context.Context, account, id string) error {
	for round := range maxRounds {
		if err := pause(ctx, round); err != nil {
			return fmt.Errorf("delete source %s: %w", id, err)
		}
		src, err := s.Source(ctx, account, id)
		if err != nil {
			return fmt.Errorf("delete source: %w", err)
		}
		if err := s.dropExpectations(ctx, id); err != nil {
			return fmt.Errorf("delete source %s: %w", id, err)
		}
		err = s.transactAll(ctx, []txWrite{
			{s.transactDelete(sourceKey(id), ofAccount(account, src.Version)), errAgain},
			{s.transactDelete(sourcePointer(account, id), condition{}), nil},
			{s.transactUpdate(sourceCount(account), addOne, less()), nil},
		})
		if err == nil {
			return nil
		}
		if !errors.Is(err, errAgain) {
			return fmt.Errorf("delete source %s: %w", id, err)
		}
	}
	return fmt.Errorf("delete source %s: it kept changing", id)
}

// Source implements relay.Store.
func (s *Store) Source(ctx context.Context, account, id string) (relay.Source, error) {
	it, err := s.item(ctx, sourceKey(id), true)
	if err != nil {
		return relay.Source{}, fmt.Errorf("read source %s: %w", id, err)
	}
	if it == nil || it.string("a") != account {
		return relay.Source{}, fmt.Errorf("source %s: %w", id, relay.ErrNotFound)
	}
	return sourceOf(id, it), nil
}

// IngestSource implements relay.Store.
func (s *Store) IngestSource(ctx context.Context, id string) (relay.Source, error) {
	it, err := s.item(ctx, sourceKey(id), false)
	if err != nil {
		return relay.Source{}, fmt.Errorf("read source %s: %w", id, err)
	}
	if it == nil {
		return relay.Source{}, fmt.Errorf("source %s: %w", id, relay.ErrNotFound)
	}
	return sourceOf(id, it), nil
}

// Sources implements relay.Store. The order is that of the identifiers, which
// begin with the time of their making.
func (s *Store) Sources(ctx context.Context, account string, p relay.Page) ([]relay.Source, string, error) {
	after, err := position("s:", p.After)
	if err != nil {
		return nil, "", err
	}
	r := keyRange{pk: accountKey(account, "").pk, low: "S#", high: "S$", after: after, newest: true}
	var keys []key
	next, err := page(ctx, s.rows(r, p.Limit, false), p.Limit, "s:", func(it item) bool {
		keys = append(keys, sourceKey(it.string("sk")[len("S#"):]))
		return true
	})
	if err != nil {
		return nil, "", fmt.Errorf("list sources of %s: %w", account, err)
	}
	found, err := s.items(ctx, keys, false)
	if err != nil {
		return nil, "", fmt.Errorf("list sources of %s: %w", account, err)
	}
	var sources []relay.Source
	for _, k := range keys {
		if it, ok := found[k]; ok {
			sources = append(sources, sourceOf(k.pk[len("S#"):], it))
		}
	}
	return sources, next, nil
}
