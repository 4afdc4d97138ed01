package sqlite

import (
	"context"

	"hookferry/shared/relay"
)

const replayColumns = `id, account, version, endpoint, since, until, selected, max_per_second, status, started, after,
	created_at, updated_at, finished_at,
	succeeded, failed, skipped, open, counted_at`

func putReplay(c *conn, r relay.Replay, version int64, or string) (int64, error) {
	return c.exec("INSERT OR "+or+" INTO replays ("+replayColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		r.ID, r.Account, version, r.EndpointID, r.Since, r.Until, r.Select, r.MaxPerSecond, string(r.Status), r.Started,
		r.After, r.CreatedAt, r.UpdatedAt, r.FinishedAt, r.Succeeded, r.Failed, r.Skipped, r.Open, r.CountedAt)
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
			func(row row) error {
				r = relay.Replay{
					ID: row.text(0), Account: row.text(1), Version: row.int(2), EndpointID: row.text(3),
					Since: row.time(4), Until: row.time(5), Select: row.text(6), MaxPerSecond: int(row.int(7)),
					Status: relay.ReplayStatus(row.text(8)), Started: int(row.int(9)), After: row.text(10),
					CreatedAt: row.time(11), UpdatedAt: row.time(12), FinishedAt: row.time(13),
					Succeeded: int(row.int(14)), Failed: int(row.int(15)), Skipped: int(row.int(16)), Open: int(row.int(17)),
					CountedAt: row.time(18),
				}
				return nil
			}, id, account, db.cutoff()))
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
