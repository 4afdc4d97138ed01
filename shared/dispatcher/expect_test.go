package dispatcher_test

import (
	"fmt"
	"testing"
	"time"

	"hookferry/shared/relay"
)

func TestAMissedTerminalCallIsFoundAndRelayedOnce(t *testing.T) {
	r, s := newSiviRig(t, relay.ConfirmOff)
	s.says("processing")
	r.siviCall("processing", "")
	r.settleNow()
	start := r.clock.Now()
	if got := len(r.dest.to("a")); got != 1 { // the call itself is an event too
		t.Fatalf("got %d calls", got)
	}
	r.run(2 * time.Hour)
	// 10 minutes, then 20, 40 and 80 after the one before.
	want := []string{}
	for _, m := range []int{10, 30, 70} {
		want = append(want, relay.FormatTime(start.Add(time.Duration(m)*time.Minute)))
	}
	if fmt.Sprint(s.asked) != fmt.Sprint(want) {
		t.Errorf("asked at %v, want %v", s.asked, want)
	}
	s.says("complete")
	r.run(3 * time.Hour)
	calls := r.dest.to("a")
	if len(calls) != 2 || calls[1].body != siviBody("complete") {
		t.Fatalf("calls: %+v", calls)
	}
	found, err := r.store.Event(t.Context(), account, calls[1].header.Get("Rivya-Webhook-Id"), true)
	r.check(err)
	if found.VerifiedBy != relay.VerifiedByFetch || found.Type != "generation.succeeded" {
		t.Errorf("event: %+v", found.Event)
	}
	x, err := r.store.Expectation(t.Context(), "src_1", "r1")
	r.check(err)
	if x.EventID != found.ID || x.GaveUp {
		t.Errorf("expectation: %+v", x)
	}
	// The real call comes late: a duplicate.
	asked := s.count()
	r.siviCall("complete", "")
	r.siviCall("complete", relay.ConfirmRequire)
	r.run(24 * time.Hour)
	if got := len(r.dest.to("a")); got != 2 || s.count() != asked {
		t.Errorf("after the late call: %d calls, asked %d more times", got, s.count()-asked)
	}
}

func TestATerminalCallEndsTheAsking(t *testing.T) {
	for _, order := range [][]string{{"processing", "complete"}, {"complete", "processing"}, {"processing", "pending", "complete"}} {
		r, s := newSiviRig(t, relay.ConfirmOff)
		for _, status := range order {
			r.siviCall(status, "")
			r.settleNow()
		}
		r.run(25 * time.Hour)
		if got := len(r.dest.to("a")); got != len(order) || s.count() != 0 {
			t.Errorf("%v: %d calls, asked %d times", order, got, s.count())
		}
	}
}

// A call that is not confirmed ends no asking: what is true is still found.
func TestAForgedCallDoesNotEndTheAsking(t *testing.T) {
	r, s := newSiviRig(t, relay.ConfirmRequire)
	s.says("failed")
	r.siviCall("processing", "")
	r.settleNow()
	forged := r.siviCall("complete", relay.ConfirmRequire)
	r.run(time.Hour)
	calls := r.dest.to("a")
	if len(calls) != 2 || calls[1].body != siviBody("failed") || r.status(forged.ID) != relay.EventRejected {
		t.Errorf("calls %+v, the forged event is %q", calls, r.status(forged.ID))
	}
}

func TestWhatNeverComesIsGivenUp(t *testing.T) {
	r, s := newSiviRig(t, relay.ConfirmOff)
	s.says("404")
	r.siviCall("pending", "")
	r.run(30 * time.Hour)
	x, err := r.store.Expectation(t.Context(), "src_1", "r1")
	r.check(err)
	if !x.GaveUp || !x.NextAt.IsZero() || x.Asked != s.count() || s.count() < 5 || s.count() > 10 {
		t.Errorf("asked %d times, expectation %+v", s.count(), x)
	}
	if left := append(r.onQueue(r.events), r.onQueue(r.retries)...); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

func TestACancelledExpectationIsNotAskedFor(t *testing.T) {
	r, s := newSiviRig(t, relay.ConfirmOff)
	r.siviCall("pending", "")
	r.settleNow()
	r.check(r.store.DeleteExpectation(t.Context(), "src_1", "r1"))
	r.run(2 * time.Hour)
	if s.count() != 0 || len(r.dest.to("a")) != 1 {
		t.Errorf("asked %d times, %d calls", s.count(), len(r.dest.to("a")))
	}
}

// The asking dies between any two of its steps; the event is still relayed once.
func TestAnExpectationSurvivesCrashes(t *testing.T) {
	for _, step := range []string{"learnt", "asked", "found"} {
		t.Run(step, func(t *testing.T) {
			r, s := newSiviRig(t, relay.ConfirmOff)
			s.says("processing")
			r.siviCall("processing", "")
			if step == "learnt" {
				r.retries.fail("Send")
			}
			r.handle(r.events)
			r.retries.heal()
			r.run(9 * time.Minute)
			if step == "found" {
				s.says("complete")
			}
			r.clock.Advance(time.Minute)
			if step == "asked" {
				r.retries.fail("Send")
			}
			if step == "found" {
				r.events.fail("Send")
			}
			r.handle(r.retries)
			r.retries.heal()
			r.events.heal()
			r.run(time.Minute)
			s.says("complete")
			r.run(2 * time.Hour)
			complete := 0
			for _, c := range r.dest.to("a") {
				if c.body == siviBody("complete") {
					complete++
				}
			}
			if complete != 1 {
				t.Errorf("the found event was relayed %d times", complete)
			}
			if left := append(r.onQueue(r.events), r.onQueue(r.retries)...); len(left) != 0 {
				t.Errorf("left: %+v", left)
			}
		})
	}
}
