package dispatcher_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hookferry/shared/dispatcher"
	"hookferry/shared/egress"
	"hookferry/shared/relay"
)

// shortOf makes looking up names fail as it does in a process that has run out
// of something, until the returned switch is turned off.
func shortOf(err error) (edit func(*dispatcher.Config), short *atomic.Bool) {
	short = &atomic.Bool{}
	short.Store(true)
	return func(c *dispatcher.Config) {
		c.Client = egress.New(egress.Config{Policy: egress.Policy{AllowPrivate: true}, Resolver: func(context.Context, string) ([]netip.Addr, error) {
			if short.Load() {
				return nil, err
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}})
	}, short
}

func byName(r *rig) func(*relay.Endpoint) {
	return func(ep *relay.Endpoint) { ep.URL = strings.Replace(ep.URL, "127.0.0.1", "receiver.example", 1) }
}

func TestAShortageOfOursUsesUpNoAttempt(t *testing.T) {
	for _, err := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		t.Run(err.Error(), func(t *testing.T) {
			edit, short := shortOf(err)
			r := newRig(t, edit)
			for _, name := range []string{"a", "b", "c"} {
				r.endpoint(name, byName(r))
			}
			m := r.accept("evt_1")
			r.run(10 * time.Minute)
			for _, ep := range []string{"whend_a", "whend_b", "whend_c"} {
				if as := r.attempts(ep); len(as) != 0 {
					t.Fatalf("%s has attempts on record that were never made: %+v", ep, as)
				}
				if c, err := r.store.Counters(t.Context(), ep); err != nil || c[ep].FailureCount != 0 {
					t.Errorf("%s has %d failures, %v: a step towards being disabled", ep, c[ep].FailureCount, err)
				}
			}
			if n := strings.Count(r.log.String(), "calls wait for files"); n == 0 || n > 65 {
				t.Errorf("%d lines about it in ten minutes, want one for each burst of ten seconds at most", n)
			}
			if n := r.events.seen()["Hide"] + r.retries.seen()["Hide"]; n != 0 {
				t.Errorf("%d messages used up a receive", n)
			}
			short.Store(false)
			r.run(time.Minute)
			for _, ep := range []string{"whend_a", "whend_b", "whend_c"} {
				as := r.attempts(ep)
				if len(as) != 1 || as[0].Number != 1 || as[0].Status != relay.AttemptSucceeded || !as[0].DueAt.Equal(m.Event.CreatedAt) {
					t.Errorf("%s: once there is room again: %+v", ep, as)
				}
			}
			if dead, err := r.retries.DeadCount(t.Context()); dead != 0 || err != nil {
				t.Errorf("%d dead letters, %v", dead, err)
			}
		})
	}
}

func TestAPayloadThatCannotBeOpenedEndsItsDeliveries(t *testing.T) {
	for name, damaged := range map[string]relay.Payload{
		"damaged":   relay.PayloadFromDeflated([]byte("no deflated text")),
		"cut short": relay.PayloadFromDeflated(relay.NewPayload([]byte(strings.Repeat("cut", 99))).Deflated()[:5]),
		"a bomb":    relay.NewPayload(make([]byte, relay.MaxPayload+1)),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.endpoint("a")
			// The event was put when its body was whole.
			ev := r.newEvent("evt_1", func(ev *relay.Event) { ev.Payload = damaged })
			_, err := r.store.PutEvent(t.Context(), relay.EventRecord{Event: ev, MID: "m", Matched: []string{"whend_a"}})
			r.check(err)
			r.check(r.store.ListEvent(t.Context(), ev, []relay.Delivery{{EndpointID: "whend_a", Status: relay.DeliveryPending, NextAttemptAt: ev.CreatedAt}}))
			r.clock.Advance(time.Hour)
			for walk := range 3 {
				n, err := r.d.Repair(t.Context())
				if want := max(1-walk, 0); n != want || err != nil {
					t.Errorf("walk %d found %d, %v, want %d", walk, n, err, want)
				}
				r.settleNow()
			}
			as := r.attempts("whend_a")
			if len(as) != 1 || !as[0].Final || as[0].Status != relay.AttemptFailed || as[0].ErrorCode != relay.CodePayloadUnreadable {
				t.Errorf("on record: %+v", as)
			}
			if st := r.status("evt_1"); st != relay.EventFailed {
				t.Errorf("the event is %q", st)
			}
			if dead, err := r.retries.DeadCount(t.Context()); dead != 0 || err != nil {
				t.Errorf("%d dead letters, %v", dead, err)
			}
		})
	}
}

// The store refuses what concerns one endpoint for a passing reason, while the
// body cannot be translated for another, ever.
func TestWhatFailsForAPassingReasonIsNotBuriedWithAPoison(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.endpoint("b", func(ep *relay.Endpoint) { ep.Format = relay.FormatSivi })
	r.accept("evt_1", func(ev *relay.Event) {
		ev.Format, ev.Payload = relay.FormatSivi, relay.NewPayload([]byte(`no JSON`))
	})
	r.store.fail("RecordAttempt")
	r.retries.fail("Send")
	if got, failed := r.handle(r.events); got != 1 || failed != 1 {
		t.Fatalf("%d messages, %d of them come again; want the one", got, failed)
	}
	r.store.heal()
	r.retries.heal()
	r.run(time.Hour)
	if dead, err := r.events.DeadCount(t.Context()); dead != 0 || err != nil {
		t.Errorf("%d dead letters, %v", dead, err)
	}
	if as := r.attempts("whend_a"); len(as) != 1 || as[0].ErrorCode != relay.CodePayloadUnreadable {
		t.Errorf("the endpoint that cannot be served: %+v", as)
	}
	if as := r.attempts("whend_b"); len(as) == 0 || as[len(as)-1].Status != relay.AttemptSucceeded {
		t.Errorf("the other endpoint: %+v", as)
	}
}

// Bookkeeping that hangs ends before the invocation does, so that what failed is
// said and comes again; killed, the process could say nothing.
func TestBookkeepingThatHangsEndsBeforeTheInvocation(t *testing.T) {
	for _, hanging := range [][]string{{"RecordAttempt", "Send"}, {"Send"}, {"ListEvent", "AddOutcomes", "Hide"}} {
		t.Run(strings.Join(hanging, " "), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *dispatcher.Config) { c.DeliveryTimeout = 300 * time.Millisecond })
			r.endpoint("a")
			r.dest.always(500)
			r.accept("evt_1")
			ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
			defer cancel()
			hang := func(op string) error {
				if slices.Contains(hanging, op) {
					<-ctx.Done() // longer than any bound of a single step
					return errors.New("no answer")
				}
				return nil
			}
			r.store.hang(hang)
			r.retries.hang(hang)
			r.events.hang(hang)
			batch, err := r.events.Receive(t.Context(), 10, 0, time.Minute)
			r.check(err)
			done := make(chan struct{})
			go func() {
				defer close(done)
				r.d.Handle(ctx, r.events, batch)
			}()
			select {
			case <-done:
			case <-ctx.Done():
				t.Error("the invocation ended first")
			}
		})
	}
}
