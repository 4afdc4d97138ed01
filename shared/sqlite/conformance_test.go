package sqlite

import (
	"path/filepath"
	"testing"

	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

// open opens a data file on the clock and closes it when the test ends.
func open(t testing.TB, cfg Config) *DB {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "hookferry.db")
	}
	db, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return db
}

func TestStore(t *testing.T) {
	relaytest.TestStore(t, func(t testing.TB, clock *relaytest.Clock) relay.Store {
		return open(t, Config{Now: clock.Now, Retention: relaytest.Retention, Exclusive: true})
	})
}

// The suite asks for no more consistency than the port promises, so it holds on
// a store whose reads are made stale and short.
func TestStoreKeepsItsPromisesOnStaleReadsAndShortPages(t *testing.T) {
	relaytest.TestStore(t, func(t testing.TB, clock *relaytest.Clock) relay.Store {
		db := open(t, Config{Now: clock.Now, Retention: relaytest.Retention, Exclusive: true})
		return relaytest.FaultyStore(db, relaytest.NewDice(1), relaytest.Weak(), clock.Now)
	})
}

func TestHistories(t *testing.T) {
	relaytest.TestHistories(t, func(t testing.TB, clock *relaytest.Clock) relay.Store {
		return open(t, Config{Now: clock.Now, Retention: relaytest.Retention, Exclusive: true})
	})
}

func TestQueue(t *testing.T) {
	relaytest.TestQueue(t, func(t testing.TB, clock *relaytest.Clock) relaytest.Lane {
		return open(t, Config{Now: clock.Now, Exclusive: true}).Queue("events")
	}, relaytest.QueueOptions{})
}
