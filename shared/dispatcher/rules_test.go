package dispatcher_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

// The rules of "At least once, duplicates rare", by number. Each test fails when
// its rule is taken out.

func TestRule1TheMIDSurvivesHopsAndRedrives(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.dest.always(500)
	r.accept("evt_1")
	r.settleNow()
	mid := func() string {
		t.Helper()
		ms := r.onQueue(r.retries)
		if len(ms) != 1 {
			t.Fatalf("got %d messages", len(ms))
		}
		return ms[0].MID
	}
	first := mid()
	r.run(time.Minute + time.Second) // attempt 2, which leaves attempt 3
	second := mid()
	if first == second {
		t.Error("two attempts share a MID")
	}
	r.run(5*time.Minute + time.Second)
	third := mid() // 30 minutes away: two hops
	r.run(16 * time.Minute)
	if got := mid(); got != third {
		t.Errorf("a hop changed the MID from %s to %s", third, got)
	}
	r.run(20 * time.Minute)
	if as := r.attempts("whend_a"); len(as) != 4 || as[1].MID != first || as[2].MID != second || as[3].MID != third {
		t.Errorf("attempts do not carry the MIDs of their messages: %+v", as)
	}
}

func TestRule1ARedeliveryUsesTheMatchesOfThePut(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.store.fail("RecordAttempt")
	r.retries.fail("Send")
	r.accept("evt_1")
	if _, failed := r.handle(r.events); failed != 1 {
		t.Fatal("the message did not fail")
	}
	r.store.heal()
	r.retries.heal()
	r.endpoint("b") // made after the event: not its business
	r.run(10 * time.Minute)
	if got := len(r.dest.to("b")); got != 0 {
		t.Errorf("an endpoint made later got %d calls", got)
	}
	if as := r.attempts("whend_a"); len(as) != 1 || as[0].Status != relay.AttemptSucceeded {
		t.Errorf("attempts: %+v", as)
	}
}

func TestRule2AnotherMIDIsTheProvidersDuplicate(t *testing.T) {
	eachStore(t, func(t *testing.T, newRig func(testing.TB, ...func(*dispatcher.Config)) *rig) {
		r := newRig(t)
		r.endpoint("a")
		r.accept("evt_1")
		r.settleNow()
		r.accept("evt_1")
		r.run(time.Hour)
		if got := len(r.dest.to("a")); got != 1 {
			t.Errorf("got %d calls, want 1", got)
		}
		if !strings.Contains(r.log.String(), `"duplicates":1`) {
			t.Error("the duplicate is not counted")
		}
	})
}

func TestRule2ARedeliveryWorksOnWhatHasNoAttemptOnRecord(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.endpoint("b")
	recorded := make(chan struct{})
	r.store.set(nil, func(op string) error {
		if op == "RecordAttempt" {
			close(recorded)
		}
		return nil
	})
	r.dest.answers(func(c call) reply {
		if c.name == "b" {
			<-recorded // a is on record
			// From here on nothing can be written down: neither the outcome, nor that
			// there is one.
			r.store.fail("RecordAttempt", "ListEvent")
			r.retries.fail("Send")
		}
		return reply{status: 200}
	})
	r.accept("evt_1")
	if _, failed := r.handle(r.events); failed != 1 {
		t.Fatal("the message did not fail")
	}
	r.store.heal()
	r.retries.heal()
	r.dest.always(200)
	r.run(10 * time.Minute)
	if a, b := len(r.dest.to("a")), len(r.dest.to("b")); a != 1 || b != 2 {
		t.Errorf("got %d calls to a and %d to b, want 1 and 2", a, b)
	}
	if got := r.status("evt_1"); got != relay.EventDelivered {
		t.Errorf("event is %s", got)
	}
}

func TestRule2ACopyWithinTheClaimIsPutBackUntilItEnds(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	m := r.accept("evt_1")
	var once bool
	r.dest.answers(func(call) reply {
		if !once {
			once = true
			// The same message again, while its first receive is at work.
			r.send(r.events, m)
			r.handle(r.events)
		}
		return reply{status: 200}
	})
	r.handle(r.events)
	if got := len(r.dest.to("a")); got != 1 {
		t.Fatalf("got %d calls, want 1", got)
	}
	ms := r.onQueue(r.events)
	if len(ms) != 1 || ms[0].MID != m.MID {
		t.Fatalf("on the queue: %+v, want the copy", ms)
	}
	if wait := ms[0].DueAt.Sub(r.clock.Now()); wait < 55*time.Second || wait > r.invocation {
		t.Errorf("the copy waits %v, want until the invocation's end", wait)
	}
	r.run(2 * time.Minute)
	if got := len(r.dest.to("a")); got != 1 || len(r.onQueue(r.events)) != 0 {
		t.Errorf("after the claim: %d calls, %d messages", got, len(r.onQueue(r.events)))
	}
}

// A claim whose holder is gone is taken over by one copy.
func TestRule2AClaimIsTakenOverOnce(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	m := r.accept("evt_1")
	rec := relay.EventRecord{Event: *m.Event, MID: m.MID, ClaimedUntil: r.clock.Now().Add(-time.Second), Matched: []string{"whend_a"}}
	if _, err := r.store.PutEvent(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	r.store.set(func(op string) error {
		if op == "ClaimEvent" {
			r.store.heal()
			// Another copy is quicker.
			return r.store.Store.ClaimEvent(t.Context(), rec.Ref(), rec.ClaimedUntil, r.clock.Now().Add(time.Minute))
		}
		return nil
	}, nil)
	r.handle(r.events)
	if got := len(r.dest.to("a")); got != 0 {
		t.Errorf("got %d calls from the slower copy", got)
	}
	r.run(2 * time.Minute)
	if got := len(r.dest.to("a")); got != 1 {
		t.Errorf("got %d calls, want 1", got)
	}
}

func TestRule3TheRecordComesBeforeTheSuccessor(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.dest.always(500)
	r.retries.set(func(op string) error {
		if as := r.attempts("whend_a"); op == "Send" && len(as) != 1 {
			t.Errorf("the successor is sent with %d attempts on record, want 1", len(as))
		}
		return nil
	}, nil)
	r.accept("evt_1")
	r.handle(r.events)
	if got := len(r.onQueue(r.retries)); got != 1 {
		t.Errorf("got %d successors", got)
	}
}

// A crash between record and successor: the message comes again, makes no second
// call, and the successor is due when it would have been.
func TestRule3ACrashBetweenRecordAndSuccessorHeals(t *testing.T) {
	eachStore(t, func(t *testing.T, newRig func(testing.TB, ...func(*dispatcher.Config)) *rig) {
		for _, number := range []int{1, 2} {
			r := newRig(t)
			r.endpoint("a")
			r.dest.always(500)
			r.accept("evt_1")
			lane := r.events
			if number == 2 {
				r.settleNow()
				r.clock.Advance(61 * time.Second)
				lane = r.retries
			}
			r.retries.fail("Send")
			if _, failed := r.handle(lane); failed != 1 {
				t.Fatal("the message did not fail")
			}
			r.retries.heal()
			as := r.attempts("whend_a")
			if len(as) != number {
				t.Fatalf("got %d attempts on record, want %d", len(as), number)
			}
			r.run(30 * time.Second)
			if got := len(r.dest.to("a")); got != number {
				t.Errorf("got %d calls, want %d: the call was repeated", got, number)
			}
			r.run(6 * time.Minute)
			again := r.attempts("whend_a")
			if len(again) <= number || !again[number].DueAt.Equal(as[number-1].NextAttemptAt) {
				t.Errorf("after attempt %d: attempts %+v, want one due %v", number, again, as[number-1].NextAttemptAt)
			}
		}
	})
}

func TestRule3AnAttemptThatAnotherMessageRecordedEndsTheMessage(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.dest.always(500)
	r.accept("evt_1")
	r.settleNow()
	m := r.onQueue(r.retries)[0]
	twin := m
	twin.MID = relay.NewMID()
	r.send(r.retries, twin)
	r.clock.Advance(2 * time.Minute)
	r.invokeOne(r.retries)
	r.invokeOne(r.retries)
	if got := len(r.dest.to("a")); got != 2 {
		t.Errorf("got %d calls, want 2", got)
	}
	if ms := r.onQueue(r.retries); len(ms) != 1 || ms[0].Number != 3 {
		t.Errorf("on the queue: %+v, want one message for attempt 3", ms)
	}
}

// invokeOne handles a batch of one.
func (r *rig) invokeOne(lane *faultyLane) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), r.invocation)
	defer cancel()
	batch, err := lane.Receive(ctx, 1, 0, 6*time.Minute)
	r.check(err)
	if len(batch) != 1 {
		r.Fatal("nothing to receive")
	}
	if failed := r.d.Handle(ctx, lane, batch); len(failed) == 0 {
		r.check(lane.Delete(ctx, batch...))
	}
}

func TestRule4AThrottledRecordDoesNotRepeatTheCall(t *testing.T) {
	for _, after := range []bool{false, true} {
		for _, number := range []int{1, 2} {
			t.Run(fmt.Sprintf("attempt %d, took effect %v", number, after), func(t *testing.T) {
				r := newRig(t)
				r.endpoint("a")
				r.dest.always(500)
				r.accept("evt_1")
				lane := r.events
				if number == 2 {
					r.settleNow()
					r.clock.Advance(61 * time.Second)
					lane = r.retries
				}
				fault := func(op string) error {
					if slices.Contains([]string{"RecordAttempt", "ListEvent", "SaveDelivery"}, op) {
						return fmt.Errorf("%s: throttled", op)
					}
					return nil
				}
				if after {
					r.store.set(nil, fault)
				} else {
					r.store.set(fault, nil)
				}
				if _, failed := r.handle(lane); failed != 0 {
					t.Fatal("the message failed: it will call again")
				}
				ms := r.onQueue(r.retries)
				if len(ms) != 1 || ms[0].Kind != relay.MessageRecord || ms[0].Attempt.HTTPStatus != 500 {
					t.Fatalf("on the queue: %+v, want a record-only message", ms)
				}
				r.run(3 * time.Second) // the table is throttled for a while
				r.store.heal()
				r.run(40 * time.Second)
				if got := len(r.dest.to("a")); got != number {
					t.Errorf("got %d calls, want %d", got, number)
				}
				as := r.attempts("whend_a")
				if len(as) != number || as[number-1].HTTPStatus != 500 {
					t.Fatalf("on record: %+v", as)
				}
				if got := r.status("evt_1"); got != relay.EventPending {
					t.Errorf("event is %q, want pending", got)
				}
				r.run(10 * time.Minute)
				if again := r.attempts("whend_a"); len(again) <= number || !again[number].DueAt.Equal(as[number-1].NextAttemptAt) {
					t.Errorf("the successor is missing: %+v", again)
				}
			})
		}
	}
}

// While an outcome is on its way to the record, nothing says that the attempt has
// been made: repair must not go on from an outcome that another may replace.
func TestRule4AnOutcomeOnItsWayIsNotYetAState(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.dest.always(500)
	r.store.fail("RecordAttempt")
	m := r.accept("evt_1")
	r.handle(r.events)
	d, listed := r.deliveries("evt_1")
	want := relay.Delivery{EndpointID: "whend_a", Status: relay.DeliveryPending, NextAttemptAt: m.Event.CreatedAt}
	if !listed || d["whend_a"] != want {
		t.Errorf("listed %v, got %+v, want %+v", listed, d["whend_a"], want)
	}
}

func TestRule4OnlyWhenNothingCanBeWrittenTheItemFails(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.store.fail("RecordAttempt")
	r.retries.fail("Send")
	r.accept("evt_1")
	if _, failed := r.handle(r.events); failed != 1 {
		t.Errorf("got %d failed, want 1", failed)
	}
	if strings.Count(r.log.String(), "message failed") != 1 {
		t.Error("the failed item has not left one line")
	}
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

func (r *rig) counters(endpoint string) relay.Counters {
	r.Helper()
	cs, err := r.store.Counters(r.Context(), endpoint)
	r.check(err)
	return cs[endpoint]
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
