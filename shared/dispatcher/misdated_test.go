package dispatcher_test

import (
	"net/http"
	"testing"
	"time"

	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
)

// What was accepted, tried or claimed while the clock was ahead goes on as soon as
// the clock is right.
func TestAClockThatWasAheadHoldsNothingUp(t *testing.T) {
	for _, ahead := range []time.Duration{24 * time.Hour, 400 * 24 * time.Hour} {
		t.Run("an event that was accepted then", func(t *testing.T) {
			r := newRig(t)
			r.endpoint("a")
			r.clock.Advance(ahead)
			m := r.accept("evt_1")
			r.clock.Advance(-ahead)
			r.send(r.events, m) // as the queue's own clock makes it visible
			r.clock.Advance(relay.MaxDelay)
			r.settleNow()
			if got := r.status("evt_1"); got != relay.EventDelivered {
				t.Errorf("%v ahead: status %q, want delivered at the first look", ahead, got)
			}
		})
		t.Run("a retry that was planned then", func(t *testing.T) {
			r := newRig(t, func(cfg *dispatcher.Config) {
				cfg.Schedule = relay.Schedule{0, time.Minute}
			})
			r.endpoint("a")
			r.dest.answer = func(call) reply { return reply{status: http.StatusInternalServerError} }
			r.clock.Advance(ahead)
			r.accept("evt_1")
			r.settleNow()
			planned := r.onQueue(r.retries)
			if len(planned) != 1 {
				t.Fatalf("%d messages on the retries lane, want 1", len(planned))
			}
			r.dest.answer = nil
			r.clock.Advance(-ahead)
			r.send(r.retries, planned[0])
			r.clock.Advance(relay.MaxDelay)
			r.settleNow()
			if got := r.status("evt_1"); got != relay.EventDelivered {
				t.Errorf("%v ahead: status %q, want delivered at the first look", ahead, got)
			}
		})
		t.Run("an event that was claimed then", func(t *testing.T) {
			r := newRig(t)
			ep := r.endpoint("a")
			m := relay.NewEventMessage(r.newEvent("evt_1"))
			_, err := r.store.PutEvent(t.Context(), relay.EventRecord{
				Event: *m.Event, MID: m.MID, Matched: []string{ep.ID}, ClaimedUntil: relay.Millis(r.clock.Now().Add(ahead + time.Minute)),
			})
			r.check(err)
			r.send(r.events, m)
			r.settleNow()
			if got := r.status("evt_1"); got != relay.EventDelivered {
				t.Errorf("%v ahead: status %q, want delivered at once", ahead, got)
			}
		})
	}
}
