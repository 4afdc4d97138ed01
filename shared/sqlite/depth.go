package sqlite

import (
	"context"
	"time"
)

// OldestDue is how long the message of the lane has been due that has been due for
// the longest; 0 if none is.
func (q *Queue) OldestDue(ctx context.Context) (age time.Duration, err error) {
	err = q.db.read(ctx, func(c *conn) error {
		_, err := c.first("SELECT count(*), coalesce(min(visible_at), 0) FROM messages WHERE lane = ?", func(r row) error {
			if r.int(0) > 0 {
				age = max(0, q.db.steady.now().Sub(r.time(1)))
			}
			return nil
		}, q.name)
		return err
	})
	return age, wrap(err, "age of %s", q.name)
}
