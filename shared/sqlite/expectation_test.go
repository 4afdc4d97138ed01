package sqlite

import (
	"errors"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

// Counting reads every expectation of a source while nobody else can write, so
// that an account that registers many would hold up all others.
func TestExpectationsAreNotCountedForEachOne(t *testing.T) {
	const limit = 3
	clock := relaytest.NewClock()
	path := filepath.Join(t.TempDir(), "hookferry.db")
	db, other := open(t, Config{Path: path, Now: clock.Now, Exclusive: true}), open(t, Config{Path: path, Now: clock.Now})
	next := 0
	put := func(db *DB) error {
		next++
		_, err := db.PutExpectation(t.Context(), relay.Expectation{
			Account: "acct_1", SourceID: "src_1",
			RequestID: strconv.Itoa(next), CreatedAt: clock.Now(), GiveUpAt: clock.Now().Add(time.Hour),
		}, limit)
		return err
	}
	// Another process fills the source behind the count.
	for i, on := range []*DB{db, other, other, db} {
		if err := put(on); err != nil {
			t.Fatalf("number %d: %v", i, err)
		}
	}
	clock.Advance(countFor)
	if err := put(db); !errors.Is(err, relay.ErrLimit) {
		t.Errorf("over the limit, once the count is old: %v", err)
	}
	if _, err := db.ResolveExpectation(t.Context(), "src_1", "1", "evt_1"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ResolveExpectation(t.Context(), "src_1", "2", "evt_2"); err != nil {
		t.Fatal(err)
	}
	clock.Advance(countFor)
	if err := put(db); err != nil {
		t.Errorf("after two were resolved: %v", err)
	}
}
