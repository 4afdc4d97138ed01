package dispatcher_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
)

// replay starts a replay of whend_a over everything until now.
func (r *rig) replay(sel string, perSecond int) relay.Replay {
	r.Helper()
	now := relay.Millis(r.clock.Now())
	rep := relay.Replay{
		ID: relay.NewID(relay.ReplayPrefix, now), Account: account, EndpointID: "whend_a", Since: now.Add(-240 * time.Hour), Until: now,
		Select: sel, MaxPerSecond: perSecond, Status: relay.ReplayRunning, CreatedAt: now, UpdatedAt: now,
	}
	r.check(r.store.CreateReplay(r.Context(), rep))
	r.send(r.retries, relay.Message{
		Kind: relay.MessageReplay, MID: relay.NewMID(), Account: account, ReplayID: rep.ID,
		EndpointID: "whend_a", Step: 1, DueAt: now, GiveUpAt: now.Add(relay.GiveUpAfter),
	})
	return rep
}

func (r *rig) replayState(id string) relay.Replay {
	r.Helper()
	rep, err := r.store.Replay(r.Context(), account, id)
	r.check(err)
	return rep
}

// perSecond returns the most calls in any second of the clock.
func perSecond(calls []call) (most int) {
	in := map[int64]int{}
	for _, c := range calls {
		in[c.at.Unix()]++
		most = max(most, in[c.at.Unix()])
	}
	return most
}

// failAll has n events fail at whend_a to the end, and one more succeed.
func (r *rig) failAll(n int) {
	r.Helper()
	r.dest.answers(func(c call) reply {
		if c.header.Get("Rivya-Webhook-Id") == "evt_good" {
			return reply{status: 200}
		}
		return reply{status: 500}
	})
	for i := range n {
		r.accept(fmt.Sprint("evt_", i))
	}
	r.accept("evt_good")
	r.settleNow()
}

func TestAReplayDeliversWhatFailedAtItsPace(t *testing.T) {
	eachStore(t, func(t *testing.T, newRig func(testing.TB, ...func(*dispatcher.Config)) *rig) {
		r := newRig(t, func(c *dispatcher.Config) { c.Schedule = relay.Schedule{0} })
		r.endpoint("a")
		r.failAll(45)
		r.dest.always(200)
		before := r.dest.count()
		r.clock.Advance(time.Minute)
		rep := r.replay("bad", 2)
		r.run(2 * time.Minute)
		calls := r.dest.to("a")[before:]
		if len(calls) != 45 {
			t.Errorf("got %d calls, want 45", len(calls))
		}
		if most := perSecond(calls); most > 2 {
			t.Errorf("got %d calls in a second, want at most 2", most)
		}
		if took := calls[len(calls)-1].at.Sub(calls[0].at); took < 21*time.Second || took > 35*time.Second {
			t.Errorf("took %v, want about 22 s", took)
		}
		end := r.replayState(rep.ID)
		if end.Status != relay.ReplayCompleted || end.Started != 45 || end.FinishedAt.IsZero() {
			t.Errorf("replay: %+v", end)
		}
		for i := range 45 {
			if d, _ := r.deliveries(fmt.Sprint("evt_", i)); d["whend_a"].Status != relay.DeliverySucceeded || d["whend_a"].Run != 1 {
				t.Fatalf("evt_%d: %+v", i, d)
			}
		}
		// Nothing is left to do for a second one.
		again := r.replay("bad", 100)
		r.run(time.Minute)
		if got := r.replayState(again.ID); got.Status != relay.ReplayCompleted || got.Started != 0 {
			t.Errorf("second replay: %+v", got)
		}
	})
}

func TestAReplaySelects(t *testing.T) {
	for sel, want := range map[string][]string{
		"failed": {"evt_f"}, "skipped": {"evt_s"}, "bad": {"evt_f", "evt_s"}, "all": {"evt_f", "evt_ok", "evt_open", "evt_s"}, "open": {"evt_open"},
	} {
		t.Run(sel, func(t *testing.T) {
			r := newRig(t, func(c *dispatcher.Config) { c.Schedule = relay.Schedule{0, time.Hour} })
			r.endpoint("a")
			r.accept("evt_ok")
			r.settleNow()
			r.dest.always(500)
			r.accept("evt_f")
			r.run(2 * time.Hour)
			r.accept("evt_open") // its run has not ended
			r.settleNow()
			r.edit("whend_a", func(ep *relay.Endpoint) { ep.Disable(relay.DisabledManual, r.clock.Now()) })
			r.accept("evt_s")
			r.settleNow()
			r.edit("whend_a", func(ep *relay.Endpoint) { ep.Status = relay.Active })
			r.dest.always(200)
			before := r.dest.count()
			r.clock.Advance(time.Second)
			r.replay(sel, 100)
			r.run(time.Minute)
			got := map[string]bool{}
			for _, c := range r.dest.to("a")[before:] {
				got[c.header.Get("Rivya-Webhook-Id")] = true
			}
			wanted := map[string]bool{}
			for _, id := range want {
				wanted[id] = true
			}
			if diff := cmp.Diff(wanted, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatALaterRunDeliveredIsNotReplayed(t *testing.T) {
	r := newRig(t, func(c *dispatcher.Config) { c.Schedule = relay.Schedule{0} })
	r.endpoint("a")
	r.failAll(1)
	r.dest.always(200)
	r.clock.Advance(time.Minute)
	r.replay("bad", 10)
	r.run(time.Minute)
	before := r.dest.count()
	second := r.replay("bad", 10) // run 0 failed, run 1 succeeded
	r.run(time.Minute)
	if got := r.dest.count() - before; got != 0 || r.replayState(second.ID).Started != 0 {
		t.Errorf("got %d calls, replay %+v", got, r.replayState(second.ID))
	}
}

func TestAReplayOfADeletedEndpointEnds(t *testing.T) {
	r := newRig(t, func(c *dispatcher.Config) { c.Schedule = relay.Schedule{0} })
	r.endpoint("a")
	r.failAll(3)
	r.edit("whend_a", func(ep *relay.Endpoint) { ep.RevokedAt = r.clock.Now() })
	rep := r.replay("bad", 1)
	r.run(time.Minute)
	if got := r.replayState(rep.ID); got.Status != relay.ReplayCancelled || got.Started != 0 {
		t.Errorf("replay: %+v", got)
	}
}

// A step that dies anywhere comes again and starts no run twice.
func TestAReplayStepCanBeRepeated(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(r *rig)
	}{
		{"runs begun, messages not sent", func(r *rig) { r.retries.fail("Send") }},
		{"messages sent, next step not", func(r *rig) {
			n := 0
			r.retries.set(func(op string) error {
				if op == "Send" {
					if n++; n == 2 {
						return fmt.Errorf("lost")
					}
				}
				return nil
			}, nil)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(c *dispatcher.Config) { c.Schedule = relay.Schedule{0} })
			r.endpoint("a")
			r.failAll(25)
			r.dest.always(200)
			r.clock.Advance(time.Minute)
			before := r.dest.count()
			rep := r.replay("bad", 1)
			c.set(r)
			if _, failed := r.handle(r.retries); failed != 1 {
				t.Fatal("the step did not fail")
			}
			r.retries.heal()
			r.run(5 * time.Minute)
			for i := range 25 {
				if d, _ := r.deliveries(fmt.Sprint("evt_", i)); d["whend_a"].Run != 1 || d["whend_a"].Status != relay.DeliverySucceeded {
					t.Errorf("evt_%d: %+v", i, d)
				}
			}
			if got := r.dest.count() - before; got != 25 {
				t.Errorf("got %d calls, want 25", got)
			}
			if got := r.replayState(rep.ID); got.Status != relay.ReplayCompleted || got.Started != 25 {
				t.Errorf("replay: %+v", got)
			}
		})
	}
}

// Two copies of a step do not make two replays.
func TestACopyOfAReplayStepEnds(t *testing.T) {
	r := newRig(t, func(c *dispatcher.Config) { c.Schedule = relay.Schedule{0} })
	r.endpoint("a")
	r.failAll(35)
	r.dest.always(200)
	r.clock.Advance(time.Minute)
	before := r.dest.count()
	rep := r.replay("bad", 1)
	r.send(r.retries, r.onQueue(r.retries)[0])
	r.run(5 * time.Minute)
	calls := r.dest.to("a")[before:]
	if len(calls) != 35 || perSecond(calls) > 2 {
		t.Errorf("got %d calls, up to %d in a second", len(calls), perSecond(calls))
	}
	if got := r.replayState(rep.ID); got.Started != 35 || got.Status != relay.ReplayCompleted {
		t.Errorf("replay: %+v", got)
	}
}

// A step's message that comes again after its step is over ends.
func TestAnOldReplayStepEnds(t *testing.T) {
	r := newRig(t, func(c *dispatcher.Config) { c.Schedule = relay.Schedule{0} })
	r.endpoint("a")
	r.failAll(55)
	r.dest.always(200)
	r.clock.Advance(time.Minute)
	before := r.dest.count()
	rep := r.replay("bad", 1)
	first := r.onQueue(r.retries)[0]
	r.run(15 * time.Second)
	r.send(r.retries, first)
	r.run(5 * time.Minute)
	calls := r.dest.to("a")[before:]
	if len(calls) != 55 || perSecond(calls) > 1 {
		t.Errorf("got %d calls, up to %d in a second, want 55 and 1", len(calls), perSecond(calls))
	}
	if got := r.replayState(rep.ID); got.Started != 55 || got.Status != relay.ReplayCompleted {
		t.Errorf("replay: %+v", got)
	}
}
