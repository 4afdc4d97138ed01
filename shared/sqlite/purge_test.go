package sqlite

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

func TestPurgeDeletesWhatHasExpiredAndNothingElse(t *testing.T) {
	clock := relaytest.NewClock()
	db := open(t, Config{Now: clock.Now, Retention: 24 * time.Hour})
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const n = purgeBatch + 50
	fill := func(day string) {
		for i := range n {
			ev := relay.Event{ID: fmt.Sprintf("%s-%03d", day, i), Account: "acct_1", CreatedAt: clock.Now()}
			_, err := db.PutEvent(ctx, relay.EventRecord{Event: ev, Matched: []string{"whend_1"}})
			must(err)
			a := relay.Attempt{
				ID: relay.AttemptID("acct_1", ev.ID, "whend_1", 0, 1, clock.Now()), Account: "acct_1",
				EndpointID: "whend_1", EventID: ev.ID, Number: 1, Status: relay.AttemptFailed, Final: true,
				DueAt: clock.Now(), CreatedAt: clock.Now(),
			}
			_, err = db.RecordAttempt(ctx, a)
			must(err)
			must(db.ListEvent(ctx, ev, []relay.Delivery{a.Delivery()}))
			if i%10 == 0 {
				_, err = db.StartRun(ctx, "acct_1", ev.ID, "whend_1", "token", clock.Now())
				must(err)
				_, err := db.PutIdempotency(ctx, relay.Idempotency{
					Account: "acct_1", Key: relay.HashSecret(relay.Secret(ev.ID)),
					EventID: ev.ID, CreatedAt: clock.Now(), ExpiresAt: clock.Now().Add(24 * time.Hour),
				})
				must(err)
				_, err = db.PutExpectation(ctx, relay.Expectation{Account: "acct_1", SourceID: "src_1", RequestID: ev.ID, CreatedAt: clock.Now()}, 1e6)
				must(err)
			}
		}
		must(db.CreateReplay(ctx, relay.Replay{ID: day, Account: "acct_1", CreatedAt: clock.Now()}))
	}
	rows := func() map[string]int64 {
		counts := map[string]int64{}
		must(db.read(ctx, func(c *conn) error {
			for _, table := range []string{"events", "listed", "deliveries", "runs", "attempts", "idempotency", "expectations", "replays"} {
				n, err := c.number("SELECT count(*) FROM " + table)
				if err != nil {
					return err
				}
				counts[table] = n
			}
			return nil
		}))
		return counts
	}
	purge := func() (rounds int) {
		for {
			n, err := db.purge(ctx)
			must(err)
			if n == 0 {
				return rounds
			}
			rounds++
		}
	}

	fill("old")
	clock.Advance(12 * time.Hour)
	one := rows()
	fill("new")
	both := rows()
	if purge(); !cmp.Equal(both, rows()) {
		t.Errorf("purged what has not expired: %s", cmp.Diff(both, rows()))
	}
	clock.Advance(12*time.Hour + time.Second)
	if rounds := purge(); rounds < 2 {
		t.Errorf("purged %d rows in %d round, want batches of %d", n, rounds, purgeBatch)
	}
	if diff := cmp.Diff(one, rows()); diff != "" {
		t.Errorf("left after the first day: %s", diff)
	}
	if _, err := db.Event(ctx, "acct_1", "new-000", true); err != nil {
		t.Error(err)
	}
	clock.Advance(24 * time.Hour)
	purge()
	for table, n := range rows() {
		if n != 0 {
			t.Errorf("%d rows of %s are left", n, table)
		}
	}
}
