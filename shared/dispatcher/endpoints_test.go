package dispatcher_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/events"
	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

func TestEditsBetweenAttemptsTakeEffect(t *testing.T) {
	r := newRig(t)
	ep := r.endpoint("a", func(ep *relay.Endpoint) { ep.Format = relay.FormatSivi })
	r.endpoint("b", func(ep *relay.Endpoint) { ep.EventTypes = []string{"none.such"} })
	r.dest.always(500)
	body := `{"status":200,"body":{"status":"complete","requestId":"r1","result":null}}`
	r.accept("evt_1", func(ev *relay.Event) { ev.Format, ev.Payload = relay.FormatSivi, relay.NewPayload([]byte(body)) })
	r.settleNow()
	newSecret := relay.Secret("whsec_" + strings.Repeat("Z", 32))
	r.edit(ep.ID, func(ep *relay.Endpoint) {
		ep.URL = r.dest.url + "/a2"
		ep.Format = relay.FormatRivya
		ep.Secret = r.seal(*ep, "signing_secret", newSecret)
		ep.EventTypes = []string{"another.type"} // matched is matched
	})
	r.run(61 * time.Second)
	first, second := r.dest.to("a"), r.dest.to("a2")
	if len(first) != 1 || len(second) != 1 {
		t.Fatalf("got %d and %d calls", len(first), len(second))
	}
	if first[0].body != body {
		t.Errorf("first body: %s", first[0].body)
	}
	if !strings.Contains(second[0].body, `"api_version"`) || !strings.Contains(second[0].body, `"id":"r1"`) {
		t.Errorf("second body: %s", second[0].body)
	}
	h := second[0].header
	if err := signature.VerifyRivya(h.Get("Rivya-Webhook-Signature"), h.Get("Rivya-Webhook-Timestamp"), []byte(second[0].body), r.clock.Now(), newSecret); err != nil {
		t.Error(err)
	}
	if h.Get("Rivya-Webhook-Attempt") != "2" {
		t.Errorf("attempt %s", h.Get("Rivya-Webhook-Attempt"))
	}
}

func TestRotationOrderAlternatesWhileTheOldSecretHolds(t *testing.T) {
	r := newRig(t)
	oldSecret := relay.Secret("whsec_" + strings.Repeat("O", 32))
	start := r.clock.Now()
	r.endpoint("a", func(ep *relay.Endpoint) {
		ep.OldSecret = r.seal(*ep, "old_signing_secret", oldSecret)
		ep.OldSecretUntil = start.Add(10 * time.Minute) // over before attempt 4
	})
	r.dest.always(500)
	r.accept("evt_1")
	r.run(4 * time.Hour)
	calls := r.dest.to("a")
	if len(calls) != 5 {
		t.Fatalf("got %d calls", len(calls))
	}
	for i, c := range calls {
		var got []string
		for _, part := range strings.Split(c.header.Get("Rivya-Webhook-Signature"), ",") {
			ts := c.header.Get("Rivya-Webhook-Timestamp")
			switch {
			case signature.VerifyRivya(part, ts, []byte(c.body), c.at, secretOf("a")) == nil:
				got = append(got, "new")
			case signature.VerifyRivya(part, ts, []byte(c.body), c.at, oldSecret) == nil:
				got = append(got, "old")
			}
		}
		want := [][]string{{"new", "old"}, {"old", "new"}, {"new", "old"}, {"new"}, {"new"}}[i]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("attempt %d: %s", i+1, diff)
		}
	}
}

func TestADisabledEndpointIsSkippedAndSaidSo(t *testing.T) {
	r := newRig(t)
	r.endpoint("a", func(ep *relay.Endpoint) { ep.Disable(relay.DisabledManual, r.clock.Now()) })
	r.accept("evt_1")
	r.settleNow()
	as := r.attempts("whend_a")
	if len(as) != 1 || as[0].Status != relay.AttemptSkipped || !as[0].Final || as[0].ErrorCode != relay.CodeEndpointDisabled || as[0].Number != 1 {
		t.Fatalf("got %+v", as)
	}
	if r.status("evt_1") != relay.EventSkipped || r.dest.count() != 0 {
		t.Errorf("event is %s, %d calls", r.status("evt_1"), r.dest.count())
	}
	rec, err := r.store.Event(t.Context(), account, "evt_1", true)
	r.check(err)
	if diff := cmp.Diff([]relay.Unmatched{{EndpointID: "whend_a", Reason: relay.MismatchDisabled}}, rec.Unmatched); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"whend_a"}, rec.Matched); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsDisabledOrDeletedBetweenAttemptsIsSkippedOnce(t *testing.T) {
	for name, end := range map[string]func(*relay.Endpoint, time.Time){
		"disabled": func(ep *relay.Endpoint, at time.Time) { ep.Disable(relay.DisabledManual, at) },
		"deleted": func(ep *relay.Endpoint, at time.Time) {
			ep.Disable(relay.DisabledManual, at)
			ep.RevokedAt = at
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.endpoint("a")
			r.dest.always(500)
			r.accept("evt_1")
			r.settleNow()
			r.edit("whend_a", func(ep *relay.Endpoint) { end(ep, r.clock.Now()) })
			r.run(12 * time.Hour)
			as := r.attempts("whend_a")
			if len(as) != 2 || as[1].Status != relay.AttemptSkipped || as[1].Number != 2 || !as[1].Final {
				t.Fatalf("got %+v", as)
			}
			if got := len(r.dest.to("a")); got != 1 {
				t.Errorf("got %d calls, want 1", got)
			}
			if d, _ := r.deliveries("evt_1"); d["whend_a"].Status != relay.DeliverySkipped {
				t.Errorf("delivery: %+v", d)
			}
			if left := append(r.onQueue(r.events), r.onQueue(r.retries)...); len(left) != 0 {
				t.Errorf("a loop: %+v", left)
			}
		})
	}
}

func TestAStaleListSkipsNothing(t *testing.T) {
	r := newRig(t)
	disabled := r.endpoint("off", func(ep *relay.Endpoint) { ep.Disable(relay.DisabledManual, r.clock.Now()) })
	stale := &staleStore{faultyStore: r.store, list: []relay.Endpoint{disabled}}
	r.cfg.Store = stale
	r.restart()
	// Made and switched on since.
	r.endpoint("new")
	r.edit("whend_off", func(ep *relay.Endpoint) {
		ep.Status, ep.DisabledAt, ep.DisabledReason = relay.Active, time.Time{}, ""
	})
	ev := r.newEvent("evt_1")
	rec := relay.EventRecord{Event: ev, MID: "m", Matched: []string{"whend_new", "whend_off"}}
	if _, err := r.store.PutEvent(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	for _, id := range rec.Matched {
		r.send(r.retries, relay.NewAttemptMessage(ev.Ref(), id, 0, 1, ev.CreatedAt, ev.CreatedAt.Add(time.Hour)))
	}
	// A test of an endpoint made a moment ago, and a redelivery.
	r.accept("evt_t", func(ev *relay.Event) { ev.Only, ev.Type, ev.Test = "whend_new", relay.TypeTest, true })
	rec.Event, rec.MID = r.newEvent("evt_2"), "m2"
	if _, err := r.store.PutEvent(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	m := relay.NewEventMessage(rec.Event)
	m.MID = "m2"
	r.send(r.events, m)
	r.settleNow()
	if n, off := len(r.dest.to("new")), len(r.dest.to("off")); n != 3 || off != 2 {
		t.Errorf("got %d calls to the new one and %d to the one switched on, want 3 and 2", n, off)
	}
}

func TestATestReachesADisabledEndpointAlone(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"a", "bb"} {
		r.endpoint(name, func(ep *relay.Endpoint) {
			ep.EventTypes = []string{"*", relay.TypeTest}
			if name == "a" {
				ep.Disable(relay.DisabledManual, r.clock.Now())
			}
		})
	}
	r.dest.always(500)
	r.accept("evt_1", func(ev *relay.Event) { ev.Type, ev.Only, ev.Test = relay.TypeTest, "whend_a", true })
	r.run(61 * time.Second)
	if a, b := len(r.dest.to("a")), len(r.dest.to("bb")); a != 2 || b != 0 {
		t.Errorf("got %d calls to the endpoint under test and %d to another, want 2 and 0", a, b)
	}
}

func TestATestOfADeletedEndpointIsSkipped(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.edit("whend_a", func(ep *relay.Endpoint) { ep.RevokedAt = r.clock.Now() })
	r.accept("evt_1", func(ev *relay.Event) { ev.Type, ev.Only, ev.Test = relay.TypeTest, "whend_a", true })
	r.settleNow()
	if as := r.attempts("whend_a"); len(as) != 1 || as[0].Status != relay.AttemptSkipped {
		t.Errorf("got %+v", as)
	}
	if got := r.status("evt_1"); got != relay.EventSkipped {
		t.Errorf("event is %q", got)
	}
}

func TestFormats(t *testing.T) {
	sivi := `{"status":200,"body":{"status":"complete","requestId":"r1","result":{"variations":[{"variantImageUrl":"https://x/1"}]}}}`
	r := newRig(t)
	r.endpoint("rivya", func(ep *relay.Endpoint) { ep.EventTypes = []string{"*", relay.TypeTest} })
	r.endpoint("sivi", func(ep *relay.Endpoint) {
		ep.EventTypes, ep.Format = []string{"*", relay.TypeTest}, relay.FormatSivi
	})
	r.accept("evt_s", func(ev *relay.Event) { ev.Format, ev.Payload = relay.FormatSivi, relay.NewPayload([]byte(sivi)) })
	r.settleNow()
	if got := r.dest.to("sivi"); len(got) != 1 || got[0].body != sivi {
		t.Errorf("sivi to sivi: %+v", got)
	}
	if got := r.dest.to("rivya"); len(got) != 1 || !strings.Contains(got[0].body, `"primary_url":"https://x/1"`) {
		t.Errorf("sivi to rivya: %+v", got)
	}
	r.accept("evt_r")
	r.settleNow()
	if got := len(r.dest.to("sivi")); got != 1 {
		t.Error("a Rivya event went to an endpoint in format sivi")
	}
	at := relay.Millis(r.clock.Now())
	r.accept("evt_t", func(ev *relay.Event) {
		ev.Type, ev.Test, ev.Payload = relay.TypeTest, true, relay.NewPayload(events.TestBody(relay.FormatRivya, "evt_t", at))
	})
	r.settleNow()
	if got := r.dest.to("sivi"); len(got) != 2 || got[1].body != string(events.TestBody(relay.FormatSivi, "evt_t", at)) {
		t.Errorf("test to sivi: %+v", got)
	}
}

func TestAnEventThatDoesNotFitANewFormatIsSkipped(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.dest.always(500)
	r.accept("evt_1")
	r.settleNow()
	r.edit("whend_a", func(ep *relay.Endpoint) { ep.Format = relay.FormatSivi })
	r.run(time.Hour)
	as := r.attempts("whend_a")
	if len(as) != 2 || as[1].Status != relay.AttemptSkipped || !strings.Contains(as[1].ErrorMessage, "format") {
		t.Errorf("got %+v", as)
	}
}

func TestUnmatchedEventsAreRecordedWithTheReason(t *testing.T) {
	r := newRig(t)
	r.endpoint("a", func(ep *relay.Endpoint) { ep.EventTypes = []string{"other.type"} })
	r.endpoint("bb", func(ep *relay.Endpoint) { ep.SourceIDs = []string{"src_2"} })
	r.accept("evt_1")
	r.settleNow()
	if got := r.status("evt_1"); got != relay.EventUnmatched {
		t.Errorf("event is %q", got)
	}
	rec, err := r.store.Event(t.Context(), account, "evt_1", true)
	r.check(err)
	got := map[string]relay.Mismatch{}
	for _, u := range rec.Unmatched {
		got[u.EndpointID] = u.Reason
	}
	if diff := cmp.Diff(map[string]relay.Mismatch{"whend_a": relay.MismatchType, "whend_bb": relay.MismatchSource}, got); diff != "" {
		t.Error(diff)
	}
}
