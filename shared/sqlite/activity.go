package sqlite

import (
	"context"
	"time"

	"hookferry/shared/relay"
)

// addActivity counts what came with an endpoint's outcomes, in both steps, and
// drops what is too old to be asked for.
func (db *DB) addActivity(c *conn, endpoint string, tallies []relay.Tally) error {
	for _, t := range tallies {
		for _, step := range []time.Duration{relay.ActivityMinute, relay.ActivityQuarter} {
			if _, err := c.exec(`INSERT INTO activity (endpoint, step, at, source, accepted, delivered, failed) VALUES (?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT DO UPDATE SET accepted = accepted + excluded.accepted, delivered = delivered + excluded.delivered,
				failed = failed + excluded.failed`,
				endpoint, step.Milliseconds(), t.At.Truncate(step), t.SourceID, t.Accepted, t.Delivered, t.Failed); err != nil {
				return err
			}
		}
		if t.SourceID != "" {
			if _, err := c.exec(`INSERT INTO calls (endpoint, source, at) VALUES (?, ?, ?)
				ON CONFLICT DO UPDATE SET at = max(at, excluded.at)`, endpoint, t.SourceID, t.LastAt); err != nil {
				return err
			}
		}
	}
	if len(tallies) == 0 {
		return nil
	}
	for step, kept := range map[time.Duration]time.Duration{
		relay.ActivityMinute: relay.MinutesKept, relay.ActivityQuarter: relay.QuartersKept,
	} {
		if _, err := c.exec("DELETE FROM activity WHERE endpoint = ? AND step = ? AND at < ?",
			endpoint, step.Milliseconds(), db.now().Add(-kept-step)); err != nil {
			return err
		}
	}
	return nil
}

// Activity implements relay.Store.
func (db *DB) Activity(ctx context.Context, step time.Duration, since time.Time, endpoints ...string) (map[string]relay.Activity, error) {
	all := make(map[string]relay.Activity, len(endpoints))
	err := db.read(ctx, func(c *conn) error {
		for _, id := range endpoints {
			a := relay.Activity{LastCalls: map[string]time.Time{}}
			err := c.each("SELECT at, source, accepted, delivered, failed FROM activity WHERE endpoint = ? AND step = ? AND at >= ?", func(r row) error {
				a.Tallies = append(a.Tallies, relay.Tally{
					At: r.time(0), SourceID: r.text(1), Accepted: int(r.int(2)), Delivered: int(r.int(3)), Failed: int(r.int(4)),
				})
				return nil
			}, id, step.Milliseconds(), since)
			if err != nil {
				return err
			}
			if err := c.each("SELECT source, at FROM calls WHERE endpoint = ?", func(r row) error {
				a.LastCalls[r.text(0)] = r.time(1)
				return nil
			}, id); err != nil {
				return err
			}
			all[id] = a
		}
		return nil
	})
	return all, wrap(err, "activity")
}
