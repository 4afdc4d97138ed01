package sqlite

import (
	"context"
	"sync"
	"time"
)

// A steadyClock says how late it is on the queues. It never goes back: while the
// process runs it goes on by time that has passed, whatever becomes of the wall
// clock, and where that is ahead it follows. So a message that was hidden for a
// minute while the wall clock was a day ahead is hidden for a minute, also when the
// clock is right again. It is safe for concurrent use.
//
// From one process to the next it is kept in the file, see settleClock.
type steadyClock struct {
	wall func() time.Time
	// passed tells how much time has passed since the process began, at a time that
	// wall has returned.
	passed func(time.Time) time.Duration

	mu   sync.Mutex
	at   time.Time     // the latest that now has returned
	when time.Duration // what passed said then
}

// newSteadyClock returns one that begins at the wall clock's time. The times of
// time.Now know how much time has passed between them; those of a clock that a
// test moves are believed.
func newSteadyClock(wall func() time.Time) *steadyClock {
	start := wall()
	return &steadyClock{wall: wall, passed: func(t time.Time) time.Duration { return t.Sub(start) }}
}

func (s *steadyClock) now() time.Time {
	wall := s.wall()
	s.mu.Lock()
	defer s.mu.Unlock()
	passed := s.passed(wall)
	at := wall
	if on := s.at.Add(passed - s.when); on.After(at) {
		at = on
	}
	s.at, s.when = at, passed
	return at
}

// settleClock compares the clock with what the last process left in the file, and
// is for the one process that works on the queues. If it has gone back since, what
// is hidden is hidden for as much less: the time between two processes is not known
// then, and counts as none. No message stays hidden for longer than any can be.
func settleClock(c *conn, now time.Time) error {
	at := millis(now)
	last, err := c.number("SELECT value FROM meta WHERE name = 'clock'")
	if err != nil {
		return err
	}
	if last > at {
		if _, err := c.exec("UPDATE messages SET visible_at = visible_at - ? WHERE visible_at > ?", last-at, at); err != nil {
			return err
		}
	}
	if _, err := reviveHidden(c, now); err != nil {
		return err
	}
	return noteClock(c, now)
}

func noteClock(c *conn, now time.Time) error {
	_, err := c.exec("INSERT INTO meta VALUES ('clock', ?) ON CONFLICT DO UPDATE SET value = excluded.value", now)
	return err
}

// reviveHidden makes the messages visible that are hidden for longer than any
// message can be: a clock that was wrong has hidden them.
func reviveHidden(c *conn, now time.Time) (int64, error) {
	return c.exec("UPDATE messages SET visible_at = ? WHERE visible_at > ?", now, now.Add(maxHide+time.Minute))
}

// Revive makes messages visible that a clock which was wrong has hidden on any
// lane for longer than a message can be, and returns how many those were. The
// process that works on the queues does this by itself.
func (db *DB) Revive(ctx context.Context) (n int, err error) {
	err = db.w.do(ctx, func(c *conn) error {
		revived, err := reviveHidden(c, db.steady.now())
		n = int(revived)
		return err
	})
	return n, wrap(err, "revive messages")
}
