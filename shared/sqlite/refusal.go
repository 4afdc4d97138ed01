package sqlite

import (
	"context"

	"hookferry/shared/relay"
)

var refusalList = list{name: "refusals", keys: "it", desc: true}

// AddRefusals implements relay.Store. A count that a power cut undoes is not
// missed.
func (db *DB) AddRefusals(ctx context.Context, r relay.Refusal) error {
	return wrap(db.w.relaxed(ctx, func(c *conn) error {
		_, err := c.exec(`INSERT INTO refusals (source, hour, reason, count, last_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET count = count + excluded.count, last_at = max(last_at, excluded.last_at)`,
			r.SourceID, r.Hour, r.Reason, r.Count, r.LastAt)
		return err
	}), "count refusals of %s", r.SourceID)
}

// Refusals implements relay.Store.
func (db *DB) Refusals(ctx context.Context, source string, p relay.Page) (refusals []relay.Refusal, next string, err error) {
	next, err = db.page(ctx, refusalList, p, `SELECT hour, reason, count, last_at FROM refusals
		WHERE source = ? AND hour > ? AND (hour, reason) < (?, ?) ORDER BY hour DESC, reason DESC`, []any{source, db.cutoff()},
		func(r row) (bool, error) {
			refusals = append(refusals, relay.Refusal{
				SourceID: source, Hour: r.time(0), Reason: r.text(1), Count: int(r.int(2)), LastAt: r.time(3),
			})
			return true, nil
		})
	return refusals, next, wrap(err, "refusals of %s", source)
}
