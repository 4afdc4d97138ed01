package dispatcher_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/dispatcher"
	"hookferry/shared/filter"
	"hookferry/shared/relay"
)

// filtered creates an endpoint with a filter.
func (r *rig) filtered(name, pattern string, edits ...func(*relay.Endpoint)) {
	r.Helper()
	p, err := filter.Parse([]byte(pattern))
	r.check(err)
	r.endpoint(name, append(edits, func(ep *relay.Endpoint) { ep.Filter = p.String() })...)
}

// reasons returns why an event went nowhere else.
func (r *rig) reasons(event string) map[string]relay.Mismatch {
	r.Helper()
	rec, err := r.store.Event(r.Context(), account, event, true)
	r.check(err)
	got := map[string]relay.Mismatch{}
	for _, u := range rec.Unmatched {
		got[u.EndpointID] = u.Reason
	}
	return got
}

func TestAFilterDecidesOnTheBodyThatTheEndpointWouldGet(t *testing.T) {
	eachStore(t, func(t *testing.T, newRig func(testing.TB, ...func(*dispatcher.Config)) *rig) {
		r := newRig(t)
		r.filtered("a", `{"id":["evt_1"]}`)
		r.filtered("bb", `{"id":["evt_2"]}`)
		r.filtered("ccc", `{"data":{"generation":{"status":["succeeded"]}}}`)                                                          // a translated one
		r.filtered("dddd", `{"body":{"status":["complete"]}}`, func(ep *relay.Endpoint) { ep.Format = relay.FormatSivi })              // Sivi's own
		r.filtered("eeeee", `{"body":{"requestId":["r1"]}}`, func(ep *relay.Endpoint) { ep.Format = relay.FormatVerbatim })            // as it came
		r.filtered("ffffff", `{"id":[{"exists":true}]}`, func(ep *relay.Endpoint) { ep.Disable(relay.DisabledManual, r.clock.Now()) }) // skipped, for a replay
		r.filtered("ggggggg", `{"id":["evt_x"]}`, func(ep *relay.Endpoint) { ep.Disable(relay.DisabledManual, r.clock.Now()) })        // not even that
		r.filtered("hhhhhhhh", `{"id":["evt_1"]}`, func(ep *relay.Endpoint) { ep.EventTypes = []string{"order.paid"} })
		r.accept("evt_1")
		r.settleNow()
		want := map[string]relay.Mismatch{
			"whend_bb": relay.MismatchFilter, "whend_ccc": relay.MismatchFilter, "whend_dddd": relay.MismatchFormat, "whend_eeeee": relay.MismatchFilter,
			"whend_ffffff": relay.MismatchDisabled, "whend_ggggggg": relay.MismatchFilter, "whend_hhhhhhhh": relay.MismatchType,
		}
		if d := cmp.Diff(want, r.reasons("evt_1")); d != "" {
			t.Errorf("of a Rivya event (-want +got):\n%s", d)
		}
		if n := len(r.dest.to("a")); n != 1 || r.dest.count() != 1 {
			t.Errorf("%d calls to a, %d in all", n, r.dest.count())
		}
		if d, _ := r.deliveries("evt_1"); d["whend_ffffff"].Status != relay.DeliverySkipped {
			t.Errorf("of a disabled one: %+v", d)
		}
		ev := r.siviCall("complete", relay.ConfirmOff)
		r.settleNow()
		delete(want, "whend_ccc")
		delete(want, "whend_dddd")
		delete(want, "whend_eeeee")
		want["whend_a"] = relay.MismatchFilter
		if d := cmp.Diff(want, r.reasons(ev.ID)); d != "" {
			t.Errorf("of a Sivi event (-want +got):\n%s", d)
		}
	})
}

func TestATestIsNotFiltered(t *testing.T) {
	r := newRig(t)
	r.filtered("a", `{"id":["never"]}`)
	r.accept("evt_test", func(ev *relay.Event) { ev.Type, ev.Test, ev.Only = relay.TypeTest, true, "whend_a" })
	r.settleNow()
	if r.dest.count() != 1 {
		t.Errorf("%d calls", r.dest.count())
	}
}

func TestWhatIsNoObjectIsLetThroughByNoFilter(t *testing.T) {
	r := newRig(t)
	r.filtered("a", `{"id":[{"exists":false}]}`)
	r.endpoint("bb")
	r.accept("evt_1", func(ev *relay.Event) { ev.Payload = relay.NewPayload([]byte(`[{"id":1}]`)) })
	r.settleNow()
	if d := cmp.Diff(map[string]relay.Mismatch{"whend_a": relay.MismatchFilter}, r.reasons("evt_1")); d != "" || len(r.dest.to("bb")) != 1 {
		t.Errorf("%s, %d calls", d, len(r.dest.to("bb")))
	}
}

// A filter of a newer version is no reason to lose an event or to send it where
// it is not wanted.
func TestAFilterThatThisVersionDoesNotKnowKeepsTheMessage(t *testing.T) {
	r := newRig(t)
	r.endpoint("a", func(ep *relay.Endpoint) { ep.Filter = `{"id":[{"newer-rule":1}]}` })
	r.accept("evt_1")
	if got, failed := r.handle(r.events); got != 1 || failed != 1 || r.dest.count() != 0 {
		t.Fatalf("handled %d, failed %d, %d calls", got, failed, r.dest.count())
	}
	r.edit("whend_a", func(ep *relay.Endpoint) { ep.Filter = `{"id":["evt_1"]}` })
	r.run(10 * time.Minute)
	if r.dest.count() != 1 {
		t.Errorf("%d calls once the filter is known", r.dest.count())
	}
}

// BenchmarkAHundredFilters is the whole way of an event to a hundred endpoints, of
// which none lets it through: one reading of the body.
func BenchmarkAHundredFilters(b *testing.B) {
	r := newRig(b)
	for i := range 100 {
		r.filtered(fmt.Sprint("e", i), fmt.Sprintf(`{"data":{"n":[%d]},"id":[{"prefix":"evt_"}]}`, i))
	}
	body := relay.NewPayload([]byte(`{"data":{"n":-1,"text":"` + strings.Repeat("x", 900) + `"},"id":"evt_1"}`))
	n := 0
	for b.Loop() {
		n++
		r.accept(fmt.Sprint("evt_", n), func(ev *relay.Event) { ev.Payload = body })
		r.handle(r.events)
	}
}
