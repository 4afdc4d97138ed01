package sqlite

import (
	"context"
	"time"

	"hookferry/shared/relay"
)

const replayColumns = `id, account, version, endpoint, since, until, selected, max_per_second, status, started, after,
	created_at, updated_at, finished_at,
	succeeded, failed, skipped, open, counted_at, next_at`

func putReplay(c *conn, r relay.Replay, version int64, or string) (int64, error) {
	return c.exec("INSERT OR "+or+" INTO replays ("+replayColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		r.ID, r.Account, version, r.EndpointID, r.Since, r.Until, r.Select, r.MaxPerSecond, string(r.Status), r.Started,
		r.After, r.CreatedAt, r.UpdatedAt, r.FinishedAt, r.Succeeded, r.Failed, r.Skipped, r.Open, r.CountedAt, r.NextAt)
}

func readReplay(r row) relay.Replay {
	return relay.Replay{
		ID: r.text(0), Account: r.text(1), Version: r.int(2), EndpointID: r.text(3),
		Since: r.time(4), Until: r.time(5), Select: r.text(6), MaxPerSecond: int(r.int(7)),
		Status: relay.ReplayStatus(r.text(8)), Started: int(r.int(9)), After: r.text(10),
		CreatedAt: r.time(11), UpdatedAt: r.time(12), FinishedAt: r.time(13),
		Succeeded: int(r.int(14)), Failed: int(r.int(15)), Skipped: int(r.int(16)), Open: int(r.int(17)),
		CountedAt: r.time(18), NextAt: r.time(19),
	}
}

// CreateReplay implements relay.Store. It returns ErrExists for an ID that is
// taken.
func (db *DB) CreateReplay(ctx context.Context, r relay.Replay) error {
	return wrap(db.w.do(ctx, func(c *conn) error {
		if _, err := c.exec("DELETE FROM replays WHERE id = ? AND created_at < ?", r.ID, db.cutoff()); err != nil {
			return err
		}
		n, err := putReplay(c, r, 1, "IGNORE")
		if err == nil && n == 0 {
			err = relay.ErrExists
		}
		return err
	}), "create replay %s", r.ID)
}

// Replay implements relay.Store.
func (db *DB) Replay(ctx context.Context, account, id string) (r relay.Replay, err error) {
	err = db.read(ctx, func(c *conn) error {
		return one(c.first("SELECT "+replayColumns+" FROM replays WHERE id = ? AND account = ? AND created_at >= ?",
			func(row row) error { r = readReplay(row); return nil }, id, account, db.cutoff()))
	})
	return r, wrap(err, "replay %s", id)
}

// UpdateReplay implements relay.Store.
func (db *DB) UpdateReplay(ctx context.Context, r relay.Replay) error {
	return wrap(db.w.do(ctx, func(c *conn) error {
		err := sameVersion(c, "SELECT version FROM replays WHERE id = ? AND account = ? AND created_at >= ?",
			r.Version, r.ID, r.Account, db.cutoff())
		if err != nil {
			return err
		}
		_, err = putReplay(c, r, r.Version+1, "REPLACE")
		return err
	}), "update replay %s", r.ID)
}

var (
	replayList     = list{name: "replays", keys: "t", desc: true}
	unfinishedList = list{name: "unfinished replays", keys: "t"}
)

// Replays implements relay.Store.
func (db *DB) Replays(ctx context.Context, account string, p relay.Page) ([]relay.Replay, string, error) {
	replays, next, err := db.replays(ctx, replayList, p, "account = ? AND created_at >= ? AND id < ? ORDER BY id DESC", account, db.cutoff())
	return replays, next, wrap(err, "replays of %s", account)
}

// UnfinishedReplays implements relay.Store.
func (db *DB) UnfinishedReplays(ctx context.Context, p relay.Page) ([]relay.Replay, string, error) {
	replays, next, err := db.replays(ctx, unfinishedList, p, "status IN ('running', 'draining') AND created_at >= ? AND id > ? ORDER BY id", db.cutoff())
	return replays, next, wrap(err, "unfinished replays")
}

func (db *DB) replays(ctx context.Context, l list, p relay.Page, where string, args ...any) (replays []relay.Replay, next string, err error) {
	next, err = db.page(ctx, l, p, "SELECT "+replayColumns+" FROM replays WHERE "+where, args, func(r row) (bool, error) {
		replays = append(replays, readReplay(r))
		return true, nil
	})
	return replays, next, err
}

// ReplaySlot implements relay.Store.
func (db *DB) ReplaySlot(ctx context.Context, endpoint string, now time.Time, long time.Duration) (free time.Time, taken bool, err error) {
	until := func(c *conn) error {
		free, taken = now, true
		_, err := c.first("SELECT taken_until FROM replay_slots WHERE endpoint = ? AND taken_until > ?", func(r row) error {
			free, taken = r.time(0), false
			return nil
		}, endpoint, now)
		return err
	}
	if long <= 0 {
		err = db.read(ctx, until)
		return free, taken, wrap(err, "replay slot of %s", endpoint)
	}
	err = db.w.do(ctx, func(c *conn) error {
		if err := until(c); err != nil || !taken {
			return err
		}
		_, err := c.exec("INSERT OR REPLACE INTO replay_slots (endpoint, taken_until) VALUES (?, ?)", endpoint, now.Add(long))
		return err
	})
	return free, taken, wrap(err, "replay slot of %s", endpoint)
}
