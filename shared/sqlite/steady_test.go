package sqlite

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

// A wrongClock is a wall clock that is set about, beside the time that has passed.
type wrongClock struct {
	passed time.Duration
	off    time.Duration
}

func (w *wrongClock) now() time.Time { return relaytest.Start.Add(w.passed + w.off) }

// on makes the clock that of an open file.
func (w *wrongClock) on(db *DB) *DB {
	db.steady.passed = func(time.Time) time.Duration { return w.passed }
	return db
}

func TestWhatIsHiddenComesInTimeWhateverTheClockDoes(t *testing.T) {
	for name, hide := range map[string]func(t *testing.T, q *Queue){
		"delayed": func(t *testing.T, q *Queue) {
			if err := q.Send(t.Context(), relay.Outgoing{Body: []byte("x"), Delay: time.Minute}); err != nil {
				t.Fatal(err)
			}
		},
		"received": func(t *testing.T, q *Queue) {
			if err := q.Send(t.Context(), message("x")); err != nil {
				t.Fatal(err)
			}
			receive(t, q, time.Minute)
		},
		"hidden": func(t *testing.T, q *Queue) {
			if err := q.Send(t.Context(), message("x")); err != nil {
				t.Fatal(err)
			}
			if err := q.Hide(t.Context(), receive(t, q, time.Hour)[0], time.Minute); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, ahead := range []time.Duration{time.Hour, 24 * time.Hour, 10 * 365 * 24 * time.Hour} {
				clock := &wrongClock{}
				q := clock.on(open(t, Config{Now: clock.now, Exclusive: true})).Queue("events")
				receive(t, q, time.Minute)
				clock.off = ahead
				hide(t, q)
				clock.off = 0
				clock.passed += 59 * time.Second
				if got := received(t, q); len(got) > 0 {
					t.Errorf("%v ahead: received a second before its time", ahead)
				}
				clock.passed += time.Second
				if got := received(t, q); !slices.Equal(got, []string{"x"}) {
					t.Errorf("%v ahead: received %q a minute later, want it", ahead, got)
				}
			}
		})
	}
}

// A restart knows no more than what the last process left, at its end or within the
// minute before it was killed.
func TestWhatAWrongClockHasHiddenComesAfterARestart(t *testing.T) {
	for name, killed := range map[string]bool{"stopped": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			clock := &wrongClock{off: 24 * time.Hour}
			path := filepath.Join(t.TempDir(), "hookferry.db")
			db, err := Open(t.Context(), Config{Path: path, Now: clock.now, Exclusive: true})
			if err != nil {
				t.Fatal(err)
			}
			q := clock.on(db).Queue("events")
			if err := q.Send(t.Context(), relay.Outgoing{Body: []byte("delayed"), Delay: 10 * time.Minute}, message("hidden")); err != nil {
				t.Fatal(err)
			}
			if err := q.Hide(t.Context(), receive(t, q, time.Hour)[0], 5*time.Minute); err != nil {
				t.Fatal(err)
			}
			if killed {
				left := filepath.Join(t.TempDir(), "hookferry.db")
				for _, ending := range []string{"", "-wal"} {
					b, err := os.ReadFile(path + ending)
					if err == nil {
						err = os.WriteFile(left+ending, b, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				path = left
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			clock.off = 0
			q = clock.on(open(t, Config{Path: path, Now: clock.now, Exclusive: true})).Queue("events")
			if got := received(t, q); len(got) > 0 {
				t.Errorf("received %q at once", got)
			}
			clock.passed += 5 * time.Minute
			if got := received(t, q); !slices.Equal(got, []string{"hidden"}) {
				t.Errorf("received %q after 5 minutes, want what was hidden for 5", got)
			}
			clock.passed += 5 * time.Minute
			if got := received(t, q); !slices.Equal(got, []string{"delayed"}) {
				t.Errorf("received %q after 10 minutes, want what was delayed for 10", got)
			}
		})
	}
}

// A file from before the clock was kept, or one that another program has changed.
func TestWhatNothingCanHaveHiddenIsMadeVisible(t *testing.T) {
	clock := &wrongClock{}
	path := filepath.Join(t.TempDir(), "hookferry.db")
	spoil := func(db *DB) {
		t.Helper()
		if err := db.Queue("events").Send(t.Context(), message("x")); err != nil {
			t.Fatal(err)
		}
		if err := db.w.do(t.Context(), func(c *conn) error {
			_, err := c.exec("UPDATE messages SET visible_at = ?, in_flight = 0", clock.now().Add(24*time.Hour))
			if err == nil {
				_, err = c.exec("DELETE FROM meta WHERE name = 'clock'")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	db := clock.on(open(t, Config{Path: path, Now: clock.now}))
	spoil(db)
	if n, err := db.Revive(t.Context()); n != 1 || err != nil {
		t.Errorf("revived %d, %v; want 1", n, err)
	}
	if n, err := db.Revive(t.Context()); n != 0 || err != nil {
		t.Errorf("revived %d more, %v", n, err)
	}
	if got := received(t, db.Queue("events")); len(got) != 1 {
		t.Errorf("received %q after Revive, want it", got)
	}
	spoil(db)
	if got := received(t, clock.on(open(t, Config{Path: path, Now: clock.now, Exclusive: true})).Queue("events")); len(got) == 0 {
		t.Error("not received after a start")
	}
}
