package dispatcher_test

import (
	"fmt"
	"testing"
	"time"

	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

func once(c *dispatcher.Config) { c.Schedule = relay.Schedule{0} }

// cancel cancels a replay as its owner would.
func (r *rig) cancel(id string) {
	r.Helper()
	state := r.replayState(id)
	state.Status, state.FinishedAt = relay.ReplayCancelled, r.clock.Now()
	r.check(r.store.UpdateReplay(r.Context(), state))
}

// outcomes counts the latest runs of n events at whend_a by how they stand.
func (r *rig) outcomes(n int) map[string]int {
	r.Helper()
	got := map[string]int{}
	for i := range n {
		d, _ := r.deliveries(fmt.Sprint("evt_", i))
		if d["whend_a"].Run > 0 {
			got[string(d["whend_a"].Status)]++
		}
	}
	return got
}

func TestReplaysOfAnEndpointKeepOnePaceTogether(t *testing.T) {
	eachStore(t, func(t *testing.T, newRig func(testing.TB, ...func(*dispatcher.Config)) *rig) {
		r := newRig(t, once)
		r.endpoint("a")
		r.failAll(60)
		r.dest.always(200)
		r.clock.Advance(time.Minute)
		before := r.dest.count()
		var replays []relay.Replay
		for range 4 {
			replays = append(replays, r.replay("bad", 2), r.replay("all", 2))
		}
		r.run(5 * time.Minute)
		calls := r.dest.to("a")[before:]
		// 60 that failed, 61 of which "all" runs again what ended after it was asked for
		// no more; what was chosen by one is not by another.
		if most := perSecond(calls); most > 2 || len(calls) < 61 || len(calls) > 122 {
			t.Errorf("got %d calls, up to %d in a second", len(calls), most)
		}
		for _, rep := range replays {
			if got := r.replayState(rep.ID); got.Status != relay.ReplayCompleted {
				t.Errorf("replay: %+v", got)
			}
		}
	})
}

func TestACancelledReplayStopsAtOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, newRig func(testing.TB, ...func(*dispatcher.Config)) *rig) {
		r := newRig(t, once)
		r.endpoint("a")
		r.failAll(60)
		r.dest.always(200)
		r.clock.Advance(time.Minute)
		before := r.dest.count()
		rep := r.replay("bad", 2)
		r.run(3500 * time.Millisecond)
		made := r.dest.count() - before
		r.cancel(rep.ID)
		r.run(10 * time.Minute)
		if got := r.dest.count() - before; got != made || made < 6 || made > 8 {
			t.Errorf("%d calls before the cancel and %d after it", made, got-made)
		}
		got := r.replayState(rep.ID)
		outcomes := r.outcomes(60)
		if got.Status != relay.ReplayCancelled || outcomes["succeeded"] != made || outcomes["skipped"] != got.Started-made || outcomes["pending"]+outcomes["retrying"] != 0 {
			t.Errorf("%+v, runs %v", got, outcomes)
		}
		for _, a := range r.attempts("whend_a") {
			if a.Run == 1 && a.Status == relay.AttemptSkipped && a.ErrorCode != relay.CodeCancelled {
				t.Errorf("skipped with %q", a.ErrorCode)
			}
		}
		// They can be replayed.
		again := r.replay("skipped", 100)
		r.run(time.Minute)
		if got := r.replayState(again.ID); got.Started != outcomes["skipped"] || got.Succeeded != got.Started || got.Status != relay.ReplayCompleted {
			t.Errorf("the next replay: %+v, want %d", got, outcomes["skipped"])
		}
	})
}

func TestARunThatHasMadeACallGoesOnAfterACancel(t *testing.T) {
	r := newRig(t, func(c *dispatcher.Config) { c.Schedule = relay.Schedule{0, time.Minute} })
	r.endpoint("a")
	r.dest.always(500)
	r.accept("evt_0")
	r.run(10 * time.Minute)
	rep := r.replay("bad", 2)
	r.run(30 * time.Second)
	r.cancel(rep.ID)
	r.dest.always(200)
	r.run(10 * time.Minute)
	if d, _ := r.deliveries("evt_0"); d["whend_a"].Status != relay.DeliverySucceeded || d["whend_a"].Attempts != 2 {
		t.Errorf("%+v", d["whend_a"])
	}
}

func TestAReplayIsCompletedOnceItsRunsHaveEnded(t *testing.T) {
	eachStore(t, func(t *testing.T, newRig func(testing.TB, ...func(*dispatcher.Config)) *rig) {
		r := newRig(t, func(c *dispatcher.Config) { c.Schedule = relay.Schedule{0, 5 * time.Minute} })
		r.endpoint("a")
		r.dest.always(500)
		for i := range 30 {
			r.accept(fmt.Sprint("evt_", i))
		}
		r.run(10 * time.Minute)
		r.dest.answers(func(c call) reply { // some succeed at once, some later, some never
			switch id := c.header.Get("Rivya-Webhook-Id"); {
			case id < "evt_15":
				return reply{status: 200}
			case id < "evt_2" && c.header.Get("Rivya-Webhook-Attempt") == "2":
				return reply{status: 200}
			}
			return reply{status: 500}
		})
		rep := r.replay("bad", 10)
		r.run(time.Minute)
		got := r.replayState(rep.ID)
		if got.Status != relay.ReplayDraining || got.Started != 30 || got.Open == 0 || got.CountedAt.IsZero() || got.Succeeded+got.Failed+got.Skipped+got.Open != 30 {
			t.Errorf("after a minute: %+v", got)
		}
		r.run(20 * time.Minute)
		got = r.replayState(rep.ID)
		outcomes := r.outcomes(30)
		if got.Status != relay.ReplayCompleted || got.Open != 0 || got.Succeeded != outcomes["succeeded"] || got.Failed != outcomes["failed"] || got.Succeeded+got.Failed != 30 || got.Failed == 0 {
			t.Errorf("at the end: %+v, runs %v", got, outcomes)
		}
		if n := len(r.leftOnRetries()); n != 0 {
			t.Errorf("%d messages are left", n)
		}
	})
}

// leftOnRetries returns the messages that are on the retries lane, if it can be looked
// into.
func (r *rig) leftOnRetries() []relay.Message {
	if _, ok := r.nextVisible(); !ok {
		return nil
	}
	return r.onQueue(r.retries)
}

func TestWhatIsOpenIsSentNowAndOnlyOnce(t *testing.T) {
	for _, sel := range []string{"open", "all"} {
		eachStore(t, func(t *testing.T, newRig func(testing.TB, ...func(*dispatcher.Config)) *rig) {
			r := newRig(t, func(c *dispatcher.Config) { c.Schedule = relay.Schedule{0, time.Hour, time.Hour} })
			r.endpoint("a")
			r.dest.always(500)
			for i := range 12 {
				r.accept(fmt.Sprint("evt_", i))
			}
			r.settleNow()
			r.dest.always(200)
			r.clock.Advance(time.Minute)
			before := r.dest.count()
			rep := r.replay(sel, 2)
			r.run(time.Minute)
			calls := r.dest.to("a")[before:]
			if len(calls) != 12 || perSecond(calls) > 2 {
				t.Errorf("%s: %d calls, up to %d in a second, want 12 and 2", sel, len(calls), perSecond(calls))
			}
			if got := r.replayState(rep.ID); got.Status != relay.ReplayCompleted || got.Started != 12 || got.Open != 12 {
				t.Errorf("%s: %+v", sel, got)
			}
			r.run(5 * time.Hour) // the messages of the attempts' own times come
			if n := r.dest.count() - before; n != 12 {
				t.Errorf("%s: %d calls in the end", sel, n)
			}
			for i := range 12 {
				if d, _ := r.deliveries(fmt.Sprint("evt_", i)); d["whend_a"].Run != 0 || d["whend_a"].Attempts != 2 || d["whend_a"].Status != relay.DeliverySucceeded {
					t.Errorf("%s: evt_%d: %+v", sel, i, d["whend_a"])
				}
			}
		})
	}
}

func TestCancellingAReplayOfWhatIsOpenLosesNothing(t *testing.T) {
	r := newRig(t, func(c *dispatcher.Config) { c.Schedule = relay.Schedule{0, time.Hour} })
	r.endpoint("a")
	r.dest.always(500)
	for i := range 40 {
		r.accept(fmt.Sprint("evt_", i))
	}
	r.settleNow()
	r.dest.always(200)
	rep := r.replay("open", 1)
	r.run(5 * time.Second)
	r.cancel(rep.ID)
	r.run(3 * time.Hour)
	for i := range 40 {
		if d, _ := r.deliveries(fmt.Sprint("evt_", i)); d["whend_a"].Status != relay.DeliverySucceeded || d["whend_a"].Attempts != 2 {
			t.Errorf("evt_%d: %+v", i, d["whend_a"])
		}
	}
}

// Repair finds a replay whose message was lost, in each of its phases: after it
// was put on record, while it starts runs, and while they are counted.
func TestRepairFindsAReplayWhoseMessageIsLost(t *testing.T) {
	for name, after := range map[string]time.Duration{"at its beginning": 0, "while it starts runs": 15 * time.Second, "while it drains": 50 * time.Second} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *dispatcher.Config) { c.Schedule = relay.Schedule{0, 3 * time.Minute} })
			r.endpoint("a")
			r.dest.always(500)
			for i := range 30 {
				r.accept(fmt.Sprint("evt_", i))
			}
			r.run(10 * time.Minute)
			rep := r.replay("bad", 1)
			r.run(after)
			lost := r.loseReplays()
			if lost == 0 {
				t.Fatal("there was no message to lose")
			}
			r.run(9 * time.Minute)
			if n, err := r.d.Repair(t.Context()); n != 0 || err != nil {
				t.Fatalf("repair: %d, %v", n, err)
			}
			r.run(11 * time.Minute)
			if got := r.replayState(rep.ID); !got.Unfinished() {
				t.Fatalf("it went on without its message: %+v", got)
			}
			if _, err := r.d.Repair(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, err := r.d.Repair(t.Context()) // two copies do no harm
			r.check(err)
			r.run(20 * time.Minute)
			if got := r.replayState(rep.ID); got.Status != relay.ReplayCompleted || got.Started != 30 || got.Failed != 30 {
				t.Errorf("replay: %+v", got)
			}
		})
	}
}

// loseReplays removes the messages of replays from the retries lane.
func (r *rig) loseReplays() int {
	return r.retries.Lane.(*relaytest.MemoryQueue).Lose(func(body []byte) bool {
		m, err := relay.DecodeMessage(body)
		return err == nil && m.Kind == relay.MessageReplay
	})
}
