package dispatcher_test

import (
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

// Whoever may call one source may choose an ID there, also the one that another
// source will send, and the very millisecond: it keeps nothing of the other's.
func TestEventsOfOneIDFromTwoSourcesAreBothDelivered(t *testing.T) {
	for name, ids := range map[string][2]string{
		"the same id":                      {"gen_1", "gen_1"},
		"an id that looks like a key":      {"gen_1@src_2", "gen_1"},
		"an id that ends like the other's": {"gen_1@src_1", "gen_1@src_1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.endpoint("whend_1", func(ep *relay.Endpoint) { ep.Signatures = append(ep.Signatures, relay.SchemeStandard) })
			for i, source := range []string{"src_1", "src_2"} {
				r.accept(ids[i], func(ev *relay.Event) {
					ev.SourceID, ev.Key = source, relay.EventKey(source, ids[i])
				})
			}
			r.settleNow()
			got := map[string]string{}
			for _, call := range r.dest.calls {
				got[call.header.Get("Rivya-Webhook-Source-Id")] = call.header.Get("Rivya-Webhook-Id")
				key := relay.EventKey(call.header.Get("Rivya-Webhook-Source-Id"), call.header.Get("Rivya-Webhook-Id"))
				if id := call.header.Get("webhook-id"); id != signature.WebhookID(key) {
					t.Errorf("webhook-id is %s, want that of %s", id, key)
				}
			}
			if len(r.dest.calls) != 2 || got["src_1"] != ids[0] || got["src_2"] != ids[1] {
				t.Errorf("%d calls, by source: %v; want one call for each of %v", len(r.dest.calls), got, ids)
			}
			for i, source := range []string{"src_1", "src_2"} {
				if ds, listed := r.deliveries(relay.EventKey(source, ids[i])); !listed || relay.StatusOf([]relay.Delivery{ds["whend_whend_1"]}) != relay.EventDelivered {
					t.Errorf("the event of %s is %v, listed %t", source, ds, listed)
				}
			}
		})
	}
}

// A message of the version before names its event by the ID alone.
func TestAMessageWithoutAKeyFindsItsEvent(t *testing.T) {
	r := newRig(t)
	r.endpoint("whend_1")
	n := 0
	r.dest.answers(func(call) reply {
		if n++; n == 1 {
			return reply{status: 500}
		}
		return reply{status: 200}
	})
	r.accept("gen_1", func(ev *relay.Event) { ev.SourceID = "src_1" })
	r.run(2 * time.Minute)
	if st := r.status("gen_1"); st != relay.EventDelivered {
		t.Errorf("the event is %s", st)
	}
}
