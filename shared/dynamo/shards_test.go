package dynamo_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/awstest"
	"hookferry/shared/dynamo"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

func TestEverythingIsFoundAfterTheShardsWereDoubled(t *testing.T) {
	t.Parallel()
	url, clock := newTable(t), relaytest.NewClock()
	ctx, now := t.Context(), clock.Now()
	sharded := func(n int) *dynamo.Store {
		return dynamo.New(awstest.DynamoDB(url), dynamo.Config{Table: table, Shards: n, Now: clock.Now})
	}
	before, after := sharded(8), sharded(20) // raised to 32
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	const events = 40
	due := now.Add(time.Minute)
	var want []string
	var records []relay.EventRecord
	var attempts []relay.Attempt
	for i := range 2 * events {
		s := before
		if i >= events {
			s = after
		}
		r := relay.EventRecord{Event: relay.Event{
			ID: fmt.Sprintf("evt_%03d", i), Account: "acct_1", Type: "a.b",
			CreatedAt: now.Add(time.Duration(i) * time.Millisecond),
		}, MID: "m", Matched: []string{"whend_1"}}
		_, err := s.PutEvent(ctx, r)
		must(err)
		a := attempt(r, "whend_1", r.CreatedAt, true)
		a.NextAttemptAt = due
		_, err = s.RecordAttempt(ctx, a)
		must(err)
		must(s.ListEvent(ctx, r.Event, []relay.Delivery{a.Delivery()}))
		records, attempts, want = append(records, r), append(attempts, a), append(want, r.ID)
	}
	slices.Reverse(want)

	for _, statuses := range [][]relay.EventStatus{nil, {relay.EventPending}} {
		var got []string
		for p := (relay.Page{Limit: 7}); ; {
			page, next, err := after.Events(ctx, "acct_1", relay.EventFilter{Statuses: statuses}, p)
			must(err)
			for _, ev := range page {
				got = append(got, ev.ID)
			}
			if p.After = next; next == "" {
				break
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("events by status %q (-want +got):\n%s", statuses, d)
		}
	}
	for i, a := range attempts {
		if _, err := after.Attempt(ctx, a.Account, a.EndpointID, a.ID); err != nil {
			t.Errorf("attempt %d: %v", i, err)
		}
	}

	// What was opened before is closed, run again and listed again where it is,
	// so nothing of it stays overdue.
	for i, r := range records {
		d := relay.Delivery{EndpointID: "whend_1", Attempts: 2, Status: relay.DeliverySucceeded}
		must(after.ListEvent(ctx, r.Event, []relay.Delivery{attempts[i].Delivery()}))
		must(after.SaveDelivery(ctx, r.Ref(), d))
		if i%3 == 0 {
			run, err := after.StartRun(ctx, "acct_1", r.ID, "whend_1", "token", due)
			must(err)
			d = relay.Delivery{EndpointID: "whend_1", Run: run.Number, Attempts: 1, Status: relay.DeliverySkipped}
			must(after.SaveDelivery(ctx, r.Ref(), d))
		}
		must(after.ListEvent(ctx, r.Event, []relay.Delivery{attempts[i].Delivery()}))
		got, listed, err := after.Deliveries(ctx, r)
		must(err)
		if !listed || !cmp.Equal(got, []relay.Delivery{d}) {
			t.Errorf("deliveries of event %d: %v, listed %v, want %v", i, got, listed, d)
		}
	}
	for p := (relay.Page{Limit: 100}); ; {
		late, next, err := after.Overdue(ctx, due.Add(time.Hour), p)
		must(err)
		for _, o := range late {
			t.Errorf("%s is still overdue: %+v", o.Event.ID, o.Delivery)
		}
		if p.After = next; next == "" {
			break
		}
	}
}
