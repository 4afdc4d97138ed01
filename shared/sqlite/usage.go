package sqlite

import (
	"context"

	"hookferry/shared/relay"
)

// Usage implements relay.UsageStore. Triggers on the table of events keep the
// sums, in the transaction of whatever puts or purges one.
func (db *DB) Usage(ctx context.Context, account string) (u relay.Usage, err error) {
	err = db.read(ctx, func(c *conn) error {
		_, err := c.first("SELECT events, bytes FROM usage WHERE account = ?", func(r row) error {
			u = relay.Usage{Events: r.int(0), Bytes: r.int(1)}
			return nil
		}, account)
		return err
	})
	return u, wrap(err, "usage of %s", account)
}
