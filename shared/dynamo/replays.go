package dynamo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hookferry/shared/relay"
)

func replayKey(account, id string) key { return key{"Y#" + account, id} }

// unfinished is the partition that names the replays of all accounts that have
// steps to come.
const unfinished = "YO"

func unfinishedKey(account, id string) key { return key{unfinished, account + "#" + id} }

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
	it.setTime("nx", r.NextAt)
	it.setInt("v", r.Version)
	it.setExpiry(r.CreatedAt.Add(s.retention))
	return it
}

// CreateReplay implements relay.Store.
func (s *Store) CreateReplay(ctx context.Context, r relay.Replay) error {
	r.Version = 1
	// First what finds it: a crash between leaves a row of nothing, which
	// is passed over and expires.
	row := newItem(unfinishedKey(r.Account, r.ID))
	row.setExpiry(r.CreatedAt.Add(s.retention))
	if r.Unfinished() {
		if _, _, err := s.put(ctx, row, condition{}); err != nil {
			return fmt.Errorf("create replay %s: %w", r.ID, err)
		}
	}
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
	return replayOf(account, it), nil
}

func replayOf(account string, it item) relay.Replay {
	return relay.Replay{
		ID: it.string("sk"), Account: account, EndpointID: it.string("i"), Since: it.time("b"), Until: it.time("u"),
		Select: it.string("q"), MaxPerSecond: int(it.int("r")), Status: relay.ReplayStatus(it.string("s")),
		Started: int(it.int("n")), After: it.string("p"), CreatedAt: it.time("c"), UpdatedAt: it.time("m"),
		FinishedAt: it.time("f"), Succeeded: int(it.int("n1")), Failed: int(it.int("n2")),
		Skipped: int(it.int("n3")), Open: int(it.int("n4")), CountedAt: it.time("nc"), NextAt: it.time("nx"), Version: it.int("v"),
	}
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
	case ok && !r.Unfinished():
		// Best effort: a row that stays is passed over, and expires with the replay.
		_ = s.remove(ctx, unfinishedKey(r.Account, r.ID))
		return nil
	case ok:
		return nil
	case s.expired(there):
		return fmt.Errorf("update replay %s: %w", r.ID, relay.ErrNotFound)
	}
	return fmt.Errorf("update replay %s: %w", r.ID, relay.ErrConflict)
}

// remove deletes an item, whether it is there or not.
func (s *Store) remove(ctx context.Context, k key) error {
	_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: s.table, Key: k.attributes()})
	return err
}

// Replays implements relay.Store.
func (s *Store) Replays(ctx context.Context, account string, p relay.Page) ([]relay.Replay, string, error) {
	r := keyRange{pk: replayKey(account, "").pk, newest: true, consistent: true}
	var err error
	if r.after, err = position("y:", p.After); err != nil {
		return nil, "", err
	}
	var replays []relay.Replay
	next, err := page(ctx, s.rows(r, p.Limit, false), p.Limit, "y:", func(it item) bool {
		if s.expired(it) {
			return false
		}
		replays = append(replays, replayOf(account, it))
		return true
	})
	if err != nil {
		return nil, "", fmt.Errorf("list replays of %s: %w", account, err)
	}
	return replays, next, nil
}

// UnfinishedReplays implements relay.Store.
func (s *Store) UnfinishedReplays(ctx context.Context, p relay.Page) ([]relay.Replay, string, error) {
	r := keyRange{pk: unfinished}
	var err error
	if r.after, err = position("u:", p.After); err != nil {
		return nil, "", err
	}
	var keys []key
	next, err := page(ctx, s.rows(r, p.Limit, false), p.Limit, "u:", func(it item) bool {
		account, id, _ := strings.Cut(it.string("sk"), "#")
		keys = append(keys, replayKey(account, id))
		return true
	})
	if err != nil {
		return nil, "", fmt.Errorf("list unfinished replays: %w", err)
	}
	// They are few, and the repair walk, whose alone this is, may only query.
	var replays []relay.Replay
	for _, k := range keys {
		it, err := s.rows(keyRange{pk: k.pk, low: k.sk, high: k.sk, consistent: true}, 1, false).next(ctx)
		if err != nil {
			return nil, "", fmt.Errorf("read unfinished replays: %w", err)
		}
		account := strings.TrimPrefix(k.pk, "Y#")
		r := replayOf(account, it)
		if !s.expired(it) && r.Unfinished() {
			replays = append(replays, r)
		}
	}
	return replays, next, nil
}

// ReplaySlot implements relay.Store.
func (s *Store) ReplaySlot(ctx context.Context, endpoint string, now time.Time, long time.Duration) (time.Time, bool, error) {
	k := key{"C#" + endpoint, "R"}
	if long <= 0 {
		it, err := s.item(ctx, k, true)
		if err != nil {
			return time.Time{}, false, fmt.Errorf("read replay slot of %s: %w", endpoint, err)
		}
		if free := it.time("f"); free.After(now) {
			return free, false, nil
		}
		return now, true, nil
	}
	cond := condition{expr: "attribute_not_exists(f) OR f <= :now", values: item{":now": numberValue(unixMillis(now)), ":f": numberValue(unixMillis(now.Add(long)))}}
	cond.values[":x"] = numberValue(now.Add(long + s.retention).Unix())
	cond.values.setBytes(":w", fresh())
	there, ok, err := s.update(ctx, k, "SET f = :f, w = :w, "+ttlAttribute+" = :x", cond, returnNothing)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("take replay slot of %s: %w", endpoint, err)
	}
	if !ok && !marked(there, cond.values.bytes(":w")) {
		return there.time("f"), false, nil
	}
	return now, true, nil
}
