package dispatcher_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hookferry/events"
	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
)

// hanging makes a rig whose destination times out on the path "bad" while down is
// set.
func hanging(t *testing.T, edits ...func(*dispatcher.Config)) (r *rig, down *atomic.Bool) {
	short := func(cfg *dispatcher.Config) { cfg.DeliveryTimeout = 80 * time.Millisecond }
	r = newRig(t, append(edits, short)...)
	down = &atomic.Bool{}
	down.Store(true)
	r.dest.answers(func(c call) reply {
		if c.name == "bad" && down.Load() {
			return reply{hold: time.Second}
		}
		return reply{status: 200}
	})
	return r, down
}

func (r *rig) health(endpoint string) relay.Health {
	return r.counters(endpoint).Health(120 * time.Hour)
}

func TestADegradedEndpointGetsFewCallsAndLosesNothing(t *testing.T) {
	r, down := hanging(t)
	r.endpoint("bad")
	good := r.endpoint("good")
	const n = 60
	var ids []string
	for i := range n {
		id := fmt.Sprint("evt_", i)
		r.accept(id)
		ids = append(ids, id)
	}
	r.run(20 * time.Second)
	if got := r.health("whend_bad"); got != relay.Degraded {
		t.Fatalf("after timeouts the endpoint is %s", got)
	}
	for _, id := range ids {
		if ds, listed := r.deliveries(id); !listed || ds[good.ID].Status == relay.DeliveryPending {
			t.Errorf("%s has not been tried at the other endpoint: %+v", id, ds)
		}
	}
	before := len(r.dest.to("bad"))
	r.run(10 * time.Minute)
	calls := len(r.dest.to("bad")) - before
	// The time between two grows from 1 s to a minute: 13 in ten minutes of failing,
	// where the schedule of 60 events has 120.
	if calls < 5 || calls > 40 {
		t.Errorf("%d calls in ten minutes of failing", calls)
	}
	for _, id := range ids {
		ds, _ := r.deliveries(id)
		if d := ds["whend_bad"]; !d.Open() {
			t.Fatalf("%s has ended as %s while its attempts were held back", id, d.Status)
		}
	}
	down.Store(false)
	r.run(30 * time.Minute)
	if got := r.health("whend_bad"); got != relay.Healthy {
		t.Errorf("after a success the endpoint is %s", got)
	}
	for _, id := range ids {
		if ds, _ := r.deliveries(id); ds["whend_bad"].Status != relay.DeliverySucceeded {
			t.Errorf("%s: %+v half an hour after the endpoint was well", id, ds["whend_bad"])
		}
	}
	if left := len(r.onQueue(r.retries)) + len(r.onQueue(r.events)); left > 0 {
		t.Errorf("%d messages are left", left)
	}
}

func TestWhatIsHeldBackIsNotOverdue(t *testing.T) {
	r, _ := hanging(t)
	r.endpoint("bad")
	for i := range 30 {
		r.accept(fmt.Sprint("evt_", i))
	}
	for range 12 {
		r.run(5 * time.Minute)
		sent := len(r.retries.sent)
		if n, err := r.d.Repair(t.Context()); err != nil || n > 0 || len(r.retries.sent) > sent {
			t.Fatalf("repair takes %d deliveries that are held back for lost, %v", n, err)
		}
	}
}

func TestOneProbeAtATimeOverAllProcesses(t *testing.T) {
	r, _ := hanging(t)
	r.endpoint("bad")
	for i := range 30 {
		r.accept(fmt.Sprint("evt_", i))
	}
	r.run(time.Minute)
	if r.health("whend_bad") != relay.Degraded {
		t.Fatal("not degraded")
	}
	// Another process, which has learned the same, finds the lease taken.
	lease := r.clock.Now().Add(relay.ProbeLease)
	if ok, err := r.store.TakeMark(t.Context(), "whend_bad", relay.MarkProbe, r.clock.Now().Add(time.Hour), lease); err != nil || !ok {
		t.Fatal(ok, err)
	}
	before := len(r.dest.to("bad"))
	r.run(relay.ProbeLease - time.Second)
	if got := len(r.dest.to("bad")) - before; got > 0 {
		t.Errorf("%d calls while another process had the one call", got)
	}
	r.run(2 * time.Minute)
	if got := len(r.dest.to("bad")) - before; got == 0 {
		t.Error("no call after the other process's lease had ended")
	}
}

func TestAnEndpointThatAnswersWithFailuresIsNotHeldBack(t *testing.T) {
	r := newRig(t)
	r.endpoint("bad")
	r.dest.always(500)
	for i := range 8 {
		r.accept(fmt.Sprint("evt_", i))
	}
	r.run(3 * time.Hour)
	if got := r.dest.count(); got != 8*5 {
		t.Errorf("%d calls, want those of the schedule, 40", got)
	}
	if got := r.health("whend_bad"); got != relay.Degraded {
		t.Errorf("the endpoint is %s", got)
	}
}

func TestAnAccountIsToldOfAnEndpointsHealth(t *testing.T) {
	r, down := hanging(t, func(cfg *dispatcher.Config) { cfg.FailingAfter = 10 * time.Hour })
	r.endpoint("bad", func(e *relay.Endpoint) {
		e.EventTypes = []string{"*", events.TypeDegraded, events.TypeRecovered, events.TypeFailing}
	})
	r.endpoint("told", func(e *relay.Endpoint) {
		e.EventTypes = []string{events.TypeDegraded, events.TypeRecovered, events.TypeFailing}
	})
	r.endpoint("all") // "*" does not name them
	told := func() (types []string) {
		for _, c := range r.dest.to("told") {
			_, rest, _ := strings.Cut(c.body, `"type":"`)
			typ, _, _ := strings.Cut(rest, `"`)
			types = append(types, typ)
			if !strings.Contains(c.body, "whend_bad") || strings.Contains(c.body, r.dest.url) {
				t.Errorf("told %s", c.body)
			}
		}
		return types
	}
	n := 0
	more := func() {
		for range 4 {
			n++
			r.accept(fmt.Sprint("evt_", n))
		}
	}
	flap := func(up bool) {
		down.Store(!up)
		more()
		r.run(8 * time.Minute)
		r.d.Settle(t.Context())
		r.settleNow()
	}
	flap(false)
	if got, want := told(), []string{events.TypeDegraded}; !slices.Equal(got, want) {
		t.Fatalf("told %v, want %v", got, want)
	}
	flap(true)
	if got, want := told(), []string{events.TypeDegraded, events.TypeRecovered}; !slices.Equal(got, want) {
		t.Fatalf("told %v, want %v", got, want)
	}
	for range 3 { // within the hour
		flap(false)
		flap(true)
	}
	if got := told(); len(got) > 2 {
		t.Errorf("told %v within an hour", got)
	}
	r.run(time.Hour)
	flap(false)
	if got := told(); len(got) != 3 || got[2] != events.TypeDegraded {
		t.Errorf("told %v, want that it is degraded again, after an hour", got)
	}
	for range 6 {
		more()
		r.run(time.Hour)
	}
	if got := told(); len(got) != 4 || got[3] != events.TypeFailing {
		t.Errorf("told %v, want that it is failing, once", got)
	}
	for _, c := range append(r.dest.to("all"), r.dest.to("bad")...) {
		if strings.Contains(c.body, `"type":"endpoint.`) {
			t.Errorf("%s was told %s", c.name, c.body)
		}
	}
}
