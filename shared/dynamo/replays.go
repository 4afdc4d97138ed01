package dynamo

import (
	"context"
	"fmt"

	"hookferry/shared/relay"
)

func replayKey(account, id string) key { return key{"Y#" + account + "#" + id, "Y"} }

func (s *Store) replayItem(r relay.Replay) item {
	it := newItem(replayKey(r.Account, r.ID))
	it.setString("i", r.EndpointID)
	it.setTime("b", r.Since)
	it.setTime("u", r.Until)
	it.setString("q", r.Select)
	it.setInt("r", int64(r.MaxPerSecond))
	it.setString("s", string(r.Status))
	it.setInt("n", int64(r.Started))
	it.setString("p", r.After)
	it.setTime("c", r.CreatedAt)
	it.setTime("m", r.UpdatedAt)
	it.setTime("f", r.FinishedAt)
	it.setInt("n1", int64(r.Succeeded))
	it.setInt("n2", int64(r.Failed))
	it.setInt("n3", int64(r.Skipped))
	it.setInt("n4", int64(r.Open))
	it.setTime("nc", r.CountedAt)
	it.setInt("v", r.Version)
	it.setExpiry(r.CreatedAt.Add(s.retention))
	return it
}

// CreateReplay implements relay.Store.
func (s *Store) CreateReplay(ctx context.Context, r relay.Replay) error {
	r.Version = 1
	_, ok, err := s.putMarked(ctx, s.replayItem(r), s.absentOrExpired())
	if err != nil {
		return fmt.Errorf("create replay %s: %w", r.ID, err)
	}
	if !ok {
		return fmt.Errorf("create replay %s: %w", r.ID, relay.ErrExists)
	}
	return nil
}

// Replay implements relay.Store.
func (s *Store) Replay(ctx context.Context, account, id string) (relay.Replay, error) {
	it, err := s.item(ctx, replayKey(account, id), true)
	if err != nil {
		return relay.Replay{}, fmt.Errorf("read replay %s: %w", id, err)
	}
	if s.expired(it) {
		return relay.Replay{}, fmt.Errorf("replay %s: %w", id, relay.ErrNotFound)
	}
	return relay.Replay{
		ID: id, Account: account, EndpointID: it.string("i"), Since: it.time("b"), Until: it.time("u"),
		Select: it.string("q"), MaxPerSecond: int(it.int("r")), Status: relay.ReplayStatus(it.string("s")),
		Started: int(it.int("n")), After: it.string("p"), CreatedAt: it.time("c"), UpdatedAt: it.time("m"),
		FinishedAt: it.time("f"), Succeeded: int(it.int("n1")), Failed: int(it.int("n2")),
		Skipped: int(it.int("n3")), Open: int(it.int("n4")), CountedAt: it.time("nc"), Version: it.int("v"),
	}, nil
}

// UpdateReplay implements relay.Store.
func (s *Store) UpdateReplay(ctx context.Context, r relay.Replay) error {
	unchanged := atVersion(r.Version)
	unchanged.expr = "(" + unchanged.expr + ") AND c > :cut"
	unchanged.values[":cut"] = numberValue(s.cutoff())
	r.Version++
	there, ok, err := s.putMarked(ctx, s.replayItem(r), unchanged)
	switch {
	case err != nil:
		return fmt.Errorf("update replay %s: %w", r.ID, err)
	case ok:
		return nil
	case s.expired(there):
		return fmt.Errorf("update replay %s: %w", r.ID, relay.ErrNotFound)
	}
	return fmt.Errorf("update replay %s: %w", r.ID, relay.ErrConflict)
}
