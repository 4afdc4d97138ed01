package dispatcher_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

func (r *rig) counters(endpoint string) relay.Counters {
	r.Helper()
	cs, err := r.store.Counters(r.Context(), endpoint)
	r.check(err)
	return cs[endpoint]
}

func TestRule5CountersAreWrittenAtMostEvery5Seconds(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.endpoint("b", func(ep *relay.Endpoint) { ep.EventTypes = []string{"other"} })
	r.dest.always(500)
	for i := range 12 { // one a second
		r.accept(fmt.Sprint("evt_", i))
		r.settleNow()
		r.clock.Advance(time.Second)
	}
	// At 0, 5 and 10 s; the twelfth outcome is pending.
	if got := r.store.seen()["AddOutcomes"]; got != 3 {
		t.Errorf("got %d writes, want 3", got)
	}
	if c := r.counters("whend_a"); c.FailureCount != 11 {
		t.Errorf("got %+v, want 11 failures", c)
	}
	r.d.Settle(t.Context())
	if got := r.store.seen()["AddOutcomes"]; got != 3 {
		t.Errorf("Settle wrote before 5 s had passed")
	}
	r.d.Flush(t.Context())
	if c := r.counters("whend_a"); c.FailureCount != 12 {
		t.Errorf("after Flush: %+v, want 12 failures", c)
	}
	r.d.Flush(t.Context())
	if got := r.store.seen()["AddOutcomes"]; got != 4 {
		t.Errorf("got %d writes, want 4", got)
	}
}

func TestRule5CountersNeverFailAMessage(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.store.fail("AddOutcomes")
	r.accept("evt_1")
	if got, failed := r.handle(r.events); got != 1 || failed != 0 {
		t.Errorf("got %d messages, %d failed", got, failed)
	}
	r.store.heal()
	r.clock.Advance(5 * time.Second)
	r.d.Settle(t.Context())
	if c := r.counters("whend_a"); c.LastSuccessAt.IsZero() {
		t.Error("the outcome was lost")
	}
}

func TestRule6AtMost128CallsAreInFlight(t *testing.T) {
	r := newRig(t)
	for i := range 20 {
		r.endpoint(fmt.Sprint("e", i))
	}
	r.dest.answers(func(call) reply { return reply{status: 200, hold: 150 * time.Millisecond} })
	for i := range 10 {
		r.accept(fmt.Sprint("evt_", i))
	}
	if got, failed := r.handle(r.events); got != 10 || failed != 0 {
		t.Fatalf("%d messages, %d failed", got, failed)
	}
	if got := r.dest.count(); got != 200 {
		t.Errorf("got %d calls, want 200", got)
	}
	// One account has two thirds of them.
	if r.dest.most > 128 || r.dest.most < 64 {
		t.Errorf("got %d calls at once, want at most 128 and at least half of them", r.dest.most)
	}
}

func TestCallsInFlightAreBoundedOverAllInvocations(t *testing.T) {
	r := newRig(t, func(cfg *dispatcher.Config) { cfg.MaxCalls = 5 })
	for i := range 10 {
		r.endpoint(fmt.Sprint("e", i))
	}
	r.dest.answers(func(call) reply { return reply{status: 200, hold: 20 * time.Millisecond} })
	for i := range 4 {
		r.accept(fmt.Sprint("evt_", i))
	}
	var batches [][]relay.Received
	for range 4 {
		batch, err := r.events.Receive(t.Context(), 1, 0, time.Minute)
		if err != nil || len(batch) != 1 {
			t.Fatalf("receive: %v %v", batch, err)
		}
		batches = append(batches, batch)
	}
	var wg sync.WaitGroup
	for _, batch := range batches {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if failed := r.d.Handle(ctx, r.events, batch); len(failed) > 0 {
				t.Errorf("%v failed", failed)
			}
		})
	}
	wg.Wait()
	if got := r.dest.count(); got != 40 {
		t.Errorf("got %d calls, want 40", got)
	}
	if r.dest.most > 5 || r.dest.most < 2 {
		t.Errorf("got %d calls at once, want 2 to 5", r.dest.most)
	}
}

func TestRule6EndpointsBeyond20GoThroughTheRetriesQueue(t *testing.T) {
	r := newRig(t)
	for i := range 33 {
		r.endpoint(fmt.Sprint("e", i))
	}
	r.accept("evt_1")
	r.handle(r.events)
	if got := r.dest.count(); got != 20 {
		t.Errorf("got %d calls, want 20", got)
	}
	ms := r.onQueue(r.retries)
	if len(ms) != 13 || len(r.retries.sent) != 1 {
		t.Fatalf("got %d messages in %v, want 13 in one request", len(ms), r.retries.sent)
	}
	for _, m := range ms {
		if m.Kind != relay.MessageAttempt || m.Number != 1 || m.Run != 0 {
			t.Errorf("got %+v", m)
		}
	}
	if got := r.status("evt_1"); got != relay.EventPending {
		t.Errorf("event is %s, want pending", got)
	}
	r.settleNow()
	if got := r.dest.count(); got != 33 {
		t.Errorf("got %d calls, want 33", got)
	}
	if got := r.status("evt_1"); got != relay.EventDelivered {
		t.Errorf("event is %s, want delivered", got)
	}
}

func TestRule6NothingIsStartedTooLate(t *testing.T) {
	r := newRig(t, func(c *dispatcher.Config) { c.DeliveryTimeout = 2 * time.Second })
	r.endpoint("a")
	r.dest.always(500)
	r.invocation = 6 * time.Second // less than 2 s and 5 s
	r.accept("evt_1")
	if _, failed := r.handle(r.events); failed != 0 {
		t.Fatal("the message failed")
	}
	ms := r.onQueue(r.retries)
	if r.dest.count() != 0 || len(ms) != 1 || ms[0].Kind != relay.MessageAttempt || ms[0].Number != 1 {
		t.Fatalf("%d calls, on the queue %+v", r.dest.count(), ms)
	}
	if got := r.status("evt_1"); got != relay.EventPending {
		t.Errorf("event is %q, want pending", got)
	}
	mid := ms[0].MID
	// Too late once more: the message is moved on as it is, with no delay.
	if got, failed := r.handle(r.retries); got != 1 || failed != 0 {
		t.Fatalf("%d messages, %d failed", got, failed)
	}
	if ms = r.onQueue(r.retries); r.dest.count() != 0 || len(ms) != 1 || ms[0].MID != mid {
		t.Fatalf("%d calls, on the queue %+v", r.dest.count(), ms)
	}
	r.invocation = time.Minute
	r.handle(r.retries)
	if got := r.dest.count(); got != 1 {
		t.Errorf("got %d calls, want 1", got)
	}
}

func TestRule7FailuresComeBackJittered(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.store.fail("PutEvent")
	for i := range 10 {
		r.accept(fmt.Sprint("evt_", i))
	}
	if _, failed := r.handle(r.events); failed != 10 {
		t.Fatalf("%d failed", failed)
	}
	different := map[time.Duration]bool{}
	for _, d := range r.events.hides {
		if d < time.Second || d > 5*time.Second {
			t.Errorf("hidden for %v, want 1 to 5 s", d)
		}
		different[d] = true
	}
	if len(r.events.hides) != 10 || len(different) < 8 {
		t.Errorf("hidden for %v: not jittered", r.events.hides)
	}
	r.store.heal()
	r.run(10 * time.Second)
	if got := r.dest.count(); got != 10 {
		t.Errorf("got %d calls, want 10", got)
	}
}

func TestRule7WhatAlwaysFailsEndsInTheDeadLetterQueue(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.store.fail("PutEvent")
	m := r.accept("evt_1")
	r.run(12 * time.Hour)
	dead, err := r.events.Dead(t.Context(), "", 10)
	if err != nil || len(dead) != 1 || dead[0].Receives != relay.MaxReceives {
		t.Fatalf("dead: %+v, %v", dead, err)
	}
	r.store.heal()
	if err := r.events.Redrive(t.Context(), dead[0]); err != nil {
		t.Fatal(err)
	}
	r.settleNow()
	if as := r.attempts("whend_a"); len(as) != 1 || as[0].MID != m.MID {
		t.Errorf("after the redrive: %+v", as)
	}
}

func TestRule7WhatCannotBeDecodedIsBuriedAtOnce(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	damaged := relay.NewEventMessage(r.newEvent("evt_1", func(ev *relay.Event) { ev.Payload = relay.PayloadFromDeflated([]byte("no flate")) })).Encode()
	for _, c := range []struct{ body, reason string }{
		{"not json", "decode message"},
		{`{"v":0,"k":"event"}`, "version 0"},
		{`{"v":1,"mid":"m","acc":"a"}`, `no kind`},
		{string(damaged), "inflate payload"},
	} {
		if err := r.events.Send(t.Context(), relay.Outgoing{Body: []byte(c.body)}); err != nil {
			t.Fatal(err)
		}
		if _, failed := r.handle(r.events); failed != 0 {
			t.Errorf("%s: failed, want buried", c.reason)
		}
		dead, err := r.events.Dead(t.Context(), "", 10)
		if err != nil || len(dead) != 1 || !strings.Contains(dead[0].Reason, c.reason) {
			t.Fatalf("%s: dead %+v, %v", c.reason, dead, err)
		}
		if err := r.events.Drop(t.Context(), dead[0]); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.onQueue(r.events)) != 0 || r.dest.count() != 0 {
		t.Error("something is left on the lane, or was called")
	}
	// A dead-letter queue that is out of reach loses nothing.
	r.events.fail("Bury")
	if err := r.events.Send(t.Context(), relay.Outgoing{Body: []byte("not json")}); err != nil {
		t.Fatal(err)
	}
	if _, failed := r.handle(r.events); failed != 1 {
		t.Error("a message that could not be buried was dropped")
	}
}

// TestRule7WhatANewerProgramWroteComesAgain: during a deployment old and new
// dispatchers receive from one queue.
func TestRule7WhatANewerProgramWroteComesAgain(t *testing.T) {
	r := newRig(t)
	for _, body := range []string{
		`{"v":9,"k":"event"}`,
		`{"v":2,"k":["event"],"mid":{}}`,
		`{"v":1,"k":"dance","mid":"m","acc":"a"}`,
	} {
		if err := r.events.Send(t.Context(), relay.Outgoing{Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if _, failed := r.handle(r.events); failed != 3 {
			t.Errorf("%d came again, want 3", failed)
		}
		r.clock.Set(r.clock.Now().Add(3 * time.Minute))
	}
	if dead, err := r.events.Dead(t.Context(), "", 10); err != nil || len(dead) != 0 {
		t.Errorf("buried: %+v, %v", dead, err)
	}
}

func TestRule8RepairSendsAgainWhatIsOverdue(t *testing.T) {
	eachStore(t, func(t *testing.T, newRig func(testing.TB, ...func(*dispatcher.Config)) *rig) {
		r := newRig(t)
		r.endpoint("a")
		r.dest.always(500)
		r.accept("evt_1")
		r.settleNow()
		r.clock.Advance(time.Minute)
		// The message for attempt 2 is lost.
		batch, err := r.retries.Receive(t.Context(), 10, 0, time.Minute)
		if err != nil || len(batch) != 1 {
			t.Fatal(len(batch), err)
		}
		if err := r.retries.Delete(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
		r.run(9 * time.Minute)
		if n, err := r.d.Repair(t.Context()); n != 0 || err != nil {
			t.Fatalf("after 9 minutes: %d, %v", n, err)
		}
		r.run(2 * time.Minute)
		n, err := r.d.Repair(t.Context())
		if n != 1 || err != nil {
			t.Fatalf("after 11 minutes: %d, %v", n, err)
		}
		r.run(time.Second)
		as := r.attempts("whend_a")
		if len(as) != 2 || as[1].Number != 2 || !as[1].DueAt.Equal(as[0].NextAttemptAt) {
			t.Fatalf("got %+v", as)
		}
		if n, err := r.d.Repair(t.Context()); n != 0 || err != nil {
			t.Errorf("after the repair: %d, %v", n, err)
		}
		r.run(5 * time.Hour)
		if got := len(r.attempts("whend_a")); got != 5 {
			t.Errorf("the chain did not go on: %d attempts", got)
		}
	})
}

// A message that was only slow makes no second attempt when repair sends it too,
// and a delivery whose state was left behind is brought up to its record.
func TestRule8RepairRepeatsNothing(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.dest.always(500)
	r.accept("evt_1")
	r.settleNow()
	r.clock.Advance(15 * time.Minute)
	if n, err := r.d.Repair(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	r.invokeOne(r.retries)
	r.invokeOne(r.retries)
	if got := len(r.dest.to("a")); got != 2 {
		t.Errorf("got %d calls, want 2", got)
	}
	if ms := r.onQueue(r.retries); len(ms) != 1 {
		t.Errorf("two chains: %+v", ms)
	}

	// The delivery's state is lost after attempt 3, and with it the message.
	r.store.fail("SaveDelivery")
	r.clock.Advance(6 * time.Minute)
	r.handle(r.retries)
	r.retries.Lane = relaytest.NewMemoryQueue(r.clock.Now)
	r.cfg.Retries = r.retries
	r.restart()
	r.store.heal()
	r.clock.Advance(time.Hour)
	for range 2 { // the state first, then the attempt that follows
		if n, err := r.d.Repair(t.Context()); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		r.settleNow()
	}
	if as := r.attempts("whend_a"); len(as) != 4 {
		t.Errorf("got %d attempts, want 4", len(as))
	}
	if got := len(r.dest.to("a")); got != 4 {
		t.Errorf("got %d calls, want 4", got)
	}
}
