package dispatcher_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
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
