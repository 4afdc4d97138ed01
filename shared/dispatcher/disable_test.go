package dispatcher_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
)

func (r *rig) get(id string) relay.Endpoint {
	r.Helper()
	ep, err := r.store.Endpoint(r.Context(), account, id)
	r.check(err)
	return ep
}

func TestGoneAtTheLastAttemptDisables(t *testing.T) {
	eachStore(t, func(t *testing.T, newRig func(testing.TB, ...func(*dispatcher.Config)) *rig) {
		r := newRig(t)
		r.endpoint("a")
		r.endpoint("watch", func(ep *relay.Endpoint) { ep.EventTypes = []string{"endpoint.disabled"} })
		r.dest.answers(func(c call) reply {
			if c.name == "a" {
				return reply{status: 410}
			}
			return reply{status: 200}
		})
		r.accept("evt_1")
		r.run(time.Hour)
		if ep := r.get("whend_a"); ep.Status != relay.Active {
			t.Fatalf("disabled after %d attempts", len(r.attempts("whend_a")))
		}
		r.run(3 * time.Hour)
		ep := r.get("whend_a")
		if ep.Status != relay.Disabled || ep.DisabledReason != relay.DisabledGone || ep.DisabledAt.IsZero() {
			t.Errorf("got %+v", ep)
		}
		told := r.dest.to("watch")
		if len(told) != 1 || !strings.Contains(told[0].body, `"endpoint.disabled"`) || !strings.Contains(told[0].body, "whend_a") ||
			!strings.Contains(told[0].body, `"gone"`) {
			t.Errorf("told: %+v", told)
		}
		r.accept("evt_2")
		r.settleNow()
		if got := len(r.dest.to("a")); got != 5 {
			t.Errorf("got %d calls, want 5", got)
		}
	})
}

func TestAnEndpointEditedSinceItsLastCallIsNotGone(t *testing.T) {
	r := newRig(t, func(c *dispatcher.Config) { c.Schedule = relay.Schedule{0} })
	r.endpoint("a")
	r.dest.answers(func(call) reply {
		r.clock.Advance(time.Second)
		r.edit("whend_a", func(ep *relay.Endpoint) { ep.URL = r.dest.url + "/moved" })
		return reply{status: 410}
	})
	r.accept("evt_1")
	r.settleNow()
	if ep := r.get("whend_a"); ep.Status != relay.Active {
		t.Error("the new URL was disabled for what the old one answered")
	}
}

// A crash between the disabling and telling of it: the message comes again and
// tells, once.
func TestTheAccountIsToldEvenAfterACrash(t *testing.T) {
	r := newRig(t, func(c *dispatcher.Config) { c.Schedule = relay.Schedule{0} })
	r.endpoint("a")
	r.endpoint("watch", func(ep *relay.Endpoint) { ep.EventTypes = []string{"endpoint.disabled"} })
	r.dest.answers(func(c call) reply {
		if c.name == "a" {
			r.events.fail("Send")
			return reply{status: 410}
		}
		return reply{status: 200}
	})
	r.accept("evt_1")
	if _, failed := r.handle(r.events); failed != 1 {
		t.Fatal("the message did not fail")
	}
	r.events.heal()
	r.run(5 * time.Minute)
	if a, w := len(r.dest.to("a")), len(r.dest.to("watch")); a != 1 || w != 1 {
		t.Errorf("%d calls and told %d times, want 1 and 1", a, w)
	}
}

// Five days of nothing but failures, an event every six hours, on the real
// schedule: end to end with the clock moved by hand.
func TestFiveDaysOfNothingButFailuresDisable(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.endpoint("watch", func(ep *relay.Endpoint) { ep.EventTypes = []string{"endpoint.disabled"} })
	r.dest.answers(func(c call) reply {
		if c.name == "a" {
			return reply{status: 500}
		}
		return reply{status: 200}
	})
	start := r.clock.Now()
	for i := 0; r.clock.Now().Sub(start) < 119*time.Hour; i++ {
		r.accept(fmt.Sprint("evt_", i))
		r.run(6 * time.Hour)
		if ep := r.get("whend_a"); ep.Status != relay.Active && r.clock.Now().Sub(start) < 120*time.Hour {
			t.Fatalf("disabled early, after %v", r.clock.Now().Sub(start))
		}
	}
	r.accept("evt_last")
	r.run(time.Hour)
	ep := r.get("whend_a")
	if ep.Status != relay.Disabled || ep.DisabledReason != relay.DisabledFailing {
		t.Errorf("after %v: %s %s", r.clock.Now().Sub(start), ep.Status, ep.DisabledReason)
	}
	if since := ep.DisabledAt.Sub(start); since < 120*time.Hour || since > 122*time.Hour {
		t.Errorf("disabled after %v, want about 120h", since)
	}
	if told := r.dest.to("watch"); len(told) != 1 || !strings.Contains(told[0].body, `"failing"`) {
		t.Errorf("told: %+v", told)
	}
}

func TestOneSuccessStartsTheFiveDaysAgain(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.dest.always(500)
	start := r.clock.Now()
	for i := 0; r.clock.Now().Sub(start) < 160*time.Hour; i++ {
		ok := i == 18 // at 108 h
		r.dest.answers(func(call) reply {
			if ok {
				return reply{status: 200}
			}
			return reply{status: 500}
		})
		r.accept(fmt.Sprint("evt_", i))
		r.run(6 * time.Hour)
	}
	if ep := r.get("whend_a"); ep.Status != relay.Active {
		t.Errorf("disabled at %v in spite of a success at 108 h", ep.DisabledAt.Sub(start))
	}
	for i := 100; r.get("whend_a").Status == relay.Active && i < 130; i++ {
		r.accept(fmt.Sprint("evt_", i))
		r.run(6 * time.Hour)
	}
	// It began to fail again at 114 h.
	if since := r.get("whend_a").DisabledAt.Sub(start); since < 228*time.Hour || since > 242*time.Hour {
		t.Errorf("disabled after %v, want about 234h", since)
	}
}

// Counters are best effort. A success that they have missed, because the process
// ended first, still counts.
func TestASuccessThatTheCountersMissedStillCounts(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.dest.always(500)
	r.accept("evt_0")
	r.settleNow()
	r.clock.Advance(time.Second)
	r.dest.always(200)
	r.accept("evt_1") // succeeds within 5 s of the last write
	r.settleNow()
	r.restart() // and the process ends with that
	r.dest.always(500)
	r.clock.Advance(121 * time.Hour)
	r.accept("evt_2")
	r.handle(r.events)
	if ep := r.get("whend_a"); ep.Status != relay.Active {
		t.Error("disabled in spite of a success on record")
	}
	if c := r.counters("whend_a"); c.LastSuccessAt.IsZero() {
		t.Errorf("the counters were not put right: %+v", c)
	}
}
