package api

import (
	"context"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// outcomes writes an endpoint's counters with activity, as the dispatcher would.
func (w *world) outcomes(endpoint string, o relay.Outcomes, tallies ...relay.Tally) {
	w.t.Helper()
	o.Activity = tallies
	if _, err := w.Store.AddOutcomes(context.Background(), endpoint, o); err != nil {
		w.t.Fatal(err)
	}
}

// series returns a series of an answer.
func series(a *reply, path string) []int {
	a.t.Helper()
	list, ok := a.at(path).([]any)
	if !ok {
		a.t.Fatalf("%s is %v in %s", path, a.at(path), a.raw)
	}
	out := make([]int, len(list))
	for i, v := range list {
		out[i] = int(v.(float64))
	}
	return out
}

func TestStatsShowWhatHappenedLately(t *testing.T) {
	w := newWorld(t)
	w.call("GET", "/api/v1/stats", "").is(200).equal(map[string]any{
		"window": "hour", "step_seconds": 60, "endpoints": []any{}, "sources": []any{}, "account.waiting": 0, "account.p50_ms": nil,
	})
	ep, src := w.createEndpoint(), w.call("POST", "/api/v1/sources", `{"provider":"rivya","name":"s"}`).is(201).text("id")
	now := w.clock.Now().UTC()
	minute := now.Truncate(time.Minute)
	w.outcomes(ep, relay.Outcomes{LastSuccessAt: now}, relay.Tally{At: minute, Delivered: 3, Failed: 1},
		relay.Tally{At: minute, SourceID: src, Accepted: 4, LastAt: now}, relay.Tally{At: minute, Accepted: 2},
		relay.Tally{At: minute.Add(-59 * time.Minute), Delivered: 7}, relay.Tally{At: minute.Add(-60 * time.Minute), Delivered: 100})
	w.record("evt_1", ep, relay.AttemptSucceeded, 0)
	a := w.call("GET", "/api/v1/stats", "").is(200).equal(map[string]any{
		"from": relay.FormatTime(minute.Add(-59 * time.Minute)), "endpoints.0.endpoint_id": ep, "sources.0.source_id": src,
		"sources.0.last_call_at": relay.FormatTime(now), "endpoints.0.p50_ms": 12, "account.p99_ms": 12,
	})
	for path, want := range map[string][3]int{ // the first, the last and the sum
		"account.accepted": {0, 6, 6}, "account.delivered": {7, 3, 10}, "account.failed": {0, 1, 1},
		"endpoints.0.delivered": {7, 3, 10}, "endpoints.0.failed": {0, 1, 1}, "sources.0.accepted": {0, 4, 4},
	} {
		line := series(a, path)
		if len(line) != 60 || line[0] != want[0] || line[59] != want[1] || sum(line) != want[2] {
			t.Errorf("%s: %v", path, line)
		}
	}
	day := w.call("GET", "/api/v1/stats?window=day", "").is(200).equal(map[string]any{"step_seconds": 900})
	if line := series(day, "account.delivered"); len(line) != 96 || sum(line) != 110 {
		t.Errorf("by the day: %v", line)
	}
	one := w.call("GET", "/api/v1/stats?endpoint_id="+ep, "").is(200).equal(map[string]any{"account": nil, "sources": []any{}})
	if sum(series(one, "endpoints.0.delivered")) != 10 {
		t.Error(one.raw)
	}
	// A deleted endpoint is not shown, and its past stays the account's.
	w.call("DELETE", "/api/v1/webhooks/"+ep, "").is(200)
	gone := w.call("GET", "/api/v1/stats", "").is(200).equal(map[string]any{"endpoints": []any{}})
	if sum(series(gone, "account.delivered")) != 10 {
		t.Error(gone.raw)
	}
	w.call("GET", "/api/v1/stats?window=week", "").refused(relay.KindValidation, "window")
	w.call("GET", "/api/v1/stats?endpoint_id=x", "").refused(relay.KindValidation, "endpoint_id")
	_, _, w.key = w.newAccount("second")
	w.call("GET", "/api/v1/stats?endpoint_id="+ep, "").refused(relay.KindNotFound, "")
	w.call("GET", "/api/v1/stats", "").is(200).equal(map[string]any{"endpoints": []any{}, "sources": []any{}})
}

func TestStatsCountWhatWaits(t *testing.T) {
	w := newWorld(t)
	ep, ctx, first := w.createEndpoint(), context.Background(), w.clock.Now()
	for i, id := range []string{"evt_1", "evt_2", "evt_3"} {
		now := w.clock.Now()
		ev := relay.Event{
			ID: id, Account: w.account, Type: "order.paid", Format: relay.FormatRivya, VerifiedBy: relay.VerifiedByKey,
			CreatedAt: now, Payload: relay.NewPayload([]byte(`{}`)),
		}
		a := relay.Attempt{
			ID: relay.AttemptID(w.account, id, ep, 0, 1, now), Account: w.account, EventID: id, EventType: ev.Type, EndpointID: ep,
			Number: 1, Status: relay.AttemptFailed, Final: i == 2, ErrorCode: relay.CodeTimeout, DueAt: now, CreatedAt: now,
			MID: relay.NewMID(), EventCreatedAt: now,
		}
		if i != 2 {
			a.NextAttemptAt = now.Add(time.Minute)
		}
		_, err1 := w.Store.PutEvent(ctx, relay.EventRecord{Event: ev, MID: a.MID, Matched: []string{ep}})
		_, err2 := w.Store.RecordAttempt(ctx, a)
		err3 := w.Store.ListEvent(ctx, ev, []relay.Delivery{a.Delivery()})
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatal(err1, err2, err3)
		}
		w.outcomes(ep, relay.Outcomes{LastFailureAt: now, FailuresAfter: 1, FailingSince: now})
		w.clock.Advance(time.Second)
	}
	w.call("GET", "/api/v1/stats", "").is(200).equal(map[string]any{
		"endpoints.0.waiting": 2, "endpoints.0.oldest_waiting_at": relay.FormatTime(first), "endpoints.0.failing_since": relay.FormatTime(first),
		"account.waiting": 2, "account.oldest_waiting_at": relay.FormatTime(first),
	})
}

func TestPercentilesAreValuesThatWere(t *testing.T) {
	for n, want := range map[int][2]int64{1: {1, 1}, 2: {1, 2}, 100: {50, 99}, 101: {51, 100}} {
		var ms []int64
		for i := range n {
			ms = append(ms, int64(n-i))
		}
		if p50, p99 := percentiles(ms); *p50 != want[0] || *p99 != want[1] {
			t.Errorf("of 1 to %d: %d and %d, want %v", n, *p50, *p99, want)
		}
	}
}
