package sqlite

import (
	"fmt"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// What is kept of an account is what its rows add up to, whatever puts, replaces
// and purges them, and also in a file of an earlier version.
func TestUsageIsWhatTheRowsAddUpTo(t *testing.T) {
	now := time.Date(2026, 5, 11, 9, 30, 0, 0, time.UTC)
	db := open(t, Config{Now: func() time.Time { return now }, Retention: time.Hour})
	check := func(what string) {
		t.Helper()
		for _, account := range []string{"acct_1", "acct_2", "acct_none"} {
			var want relay.Usage
			if err := db.read(t.Context(), func(c *conn) error {
				_, err := c.first("SELECT count(*), coalesce(sum(length(payload)), 0) FROM events WHERE account = ?", func(r row) error {
					want = relay.Usage{Events: r.int(0), Bytes: r.int(1)}
					return nil
				}, account)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if got, err := db.Usage(t.Context(), account); err != nil || got != want {
				t.Errorf("%s, %s: %+v, %v, want %+v", what, account, got, err, want)
			}
		}
	}
	event := func(i int, account string) relay.EventRecord {
		return relay.EventRecord{MID: fmt.Sprint("mid ", i), ClaimedUntil: now.Add(time.Minute), Event: relay.Event{
			ID: fmt.Sprint("evt_", i), Account: account, Type: "a.b", CreatedAt: now, Payload: relay.NewPayload(fmt.Appendf(nil, `{"n":%d,"account":%q}`, i, account)),
		}}
	}
	put := func(r relay.EventRecord) {
		t.Helper()
		if _, err := db.PutEvent(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		put(event(i, fmt.Sprint("acct_", 1+i%2)))
	}
	check("after 20 events")
	put(event(3, "acct_2"))
	check("after one that was there")
	now = now.Add(2 * time.Hour)
	put(event(4, "acct_1")) // in place of one that has expired
	check("after one in place of another")
	for n := int64(1); n > 0; {
		var err error
		if n, err = db.purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	check("after the others were purged")
	if u, err := db.Usage(t.Context(), "acct_1"); err != nil || u.Events != 1 {
		t.Errorf("at the end: %+v, %v", u, err)
	}
}
