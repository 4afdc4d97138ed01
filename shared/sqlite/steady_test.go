package sqlite

import (
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

// A wrongClock is a wall clock that is set about, beside the time that has passed.
type wrongClock struct{ passed, off atomic.Int64 }

func (w *wrongClock) now() time.Time {
	return relaytest.Start.Add(time.Duration(w.passed.Load() + w.off.Load()))
}

func (w *wrongClock) pass(d time.Duration) { w.passed.Add(int64(d)) }

func (w *wrongClock) set(off time.Duration) { w.off.Store(int64(off)) }

// on makes the clock that of an open file.
func (w *wrongClock) on(db *DB) *DB {
	db.steady.mu.Lock()
	defer db.steady.mu.Unlock()
	db.steady.passed = func(time.Time) time.Duration { return time.Duration(w.passed.Load()) }
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
				clock.set(ahead)
				hide(t, q)
				clock.set(0)
				clock.pass(59 * time.Second)
				if got := received(t, q); len(got) > 0 {
					t.Errorf("%v ahead: received a second before its time", ahead)
				}
				clock.pass(time.Second)
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
			clock := &wrongClock{}
			clock.set(24 * time.Hour)
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
			clock.set(0)
			q = clock.on(open(t, Config{Path: path, Now: clock.now, Exclusive: true})).Queue("events")
			if got := received(t, q); len(got) > 0 {
				t.Errorf("received %q at once", got)
			}
			clock.pass(5 * time.Minute)
			if got := received(t, q); !slices.Equal(got, []string{"hidden"}) {
				t.Errorf("received %q after 5 minutes, want what was hidden for 5", got)
			}
			clock.pass(5 * time.Minute)
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
