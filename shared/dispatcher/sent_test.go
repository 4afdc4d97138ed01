package dispatcher_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

func TestWhatIsOnRecordOfAnAttemptIsWhatWasSent(t *testing.T) {
	trace := "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	long := "?" + strings.Repeat("x", 300)
	for name, c := range map[string]struct {
		config   func(*dispatcher.Config)
		endpoint func(*rig, *relay.Endpoint)
		event    func(*relay.Event)
	}{
		"as most are": {},
		"of no source, under another prefix": {
			config: func(c *dispatcher.Config) { c.HeaderPrefix = "X-Shop" },
			event:  func(ev *relay.Event) { ev.SourceID = "" },
		},
		"with everything, during a rotation": {
			endpoint: func(r *rig, ep *relay.Endpoint) {
				ep.URL += long
				ep.Signatures = []relay.Scheme{relay.SchemeRivya, relay.SchemeStandard}
				ep.OldSecret, ep.OldSecretUntil = r.seal(*ep, "old_signing_secret", secretOf("old")), r.clock.Now().Add(time.Hour)
			},
			event: func(ev *relay.Event) {
				ev.Key, ev.TraceParent = relay.EventKey("src_1", ev.ID), trace
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			nothing := func(*dispatcher.Config) {}
			if c.config != nil {
				nothing = c.config
			}
			r := newRig(t, nothing)
			ep := r.endpoint("a", func(ep *relay.Endpoint) {
				if c.endpoint != nil {
					c.endpoint(r, ep)
				}
			})
			var ev relay.Event
			m := r.accept("evt_1", func(e *relay.Event) {
				if c.event != nil {
					c.event(e)
				}
			})
			ev = *m.Event
			r.settleNow()
			attempts, calls := r.attempts("whend_a"), r.dest.to("a")
			if len(attempts) != 1 || len(calls) != 1 {
				t.Fatalf("%d attempts, %d calls", len(attempts), len(calls))
			}
			if want := ep.URL[:min(len(ep.URL), relay.MaxRecordedURL)]; attempts[0].URL != want {
				t.Errorf("the URL on record is %q, want %q", attempts[0].URL, want)
			}
			got := calls[0].header.Clone()
			for _, own := range []string{"Content-Length", "Accept-Encoding"} { // the transport's
				got.Del(own)
			}
			sent := signature.Sent(attempts[0], ev)
			if d := cmp.Diff(got, sent); d != "" {
				t.Errorf("sent (-) and on record (+):\n%s", d)
			}
			if trace := got.Get("Traceparent"); trace != ev.TraceParent {
				t.Errorf("traceparent %q, want %q", trace, ev.TraceParent)
			}
		})
	}
}

func TestNothingIsOnRecordAsSentOfAnAttemptWithoutACall(t *testing.T) {
	r := newRig(t)
	r.endpoint("a", func(ep *relay.Endpoint) { ep.Disable(relay.DisabledManual, r.clock.Now()) })
	r.accept("evt_1")
	r.settleNow()
	a := r.attempts("whend_a")[0]
	if a.URL != "" || a.Signatures != "" || signature.Sent(a, relay.Event{SourceID: "src_1"}) != nil {
		t.Errorf("a skipped attempt has %q and %q on record", a.URL, a.Signatures)
	}
	if sent := signature.Sent(relay.Attempt{Signatures: "no header\n: \nWebhook-Signature: v1,AA=="}, relay.Event{}); sent != nil {
		t.Errorf("without a signature of ours it is %v", slices.Sorted(maps.Keys(sent)))
	}
}

// The call of the old run is in flight while the new one starts: its attempt says
// that another follows, and its successor's message finds that none does.
func TestAnAttemptInFlightWhenANewRunStartsIsMarkedFinal(t *testing.T) {
	eachStore(t, func(t *testing.T, newRig func(testing.TB, ...func(*dispatcher.Config)) *rig) {
		r := newRig(t)
		r.endpoint("a")
		started := false
		r.dest.answers(func(c call) reply {
			if c.header.Get("Rivya-Webhook-Attempt") == "2" && !started {
				started = true
				_, err := r.store.StartRun(r.Context(), account, "evt_1", "whend_a", "by hand", r.clock.Now().Add(time.Hour))
				r.check(err)
			}
			return reply{status: 500}
		})
		r.accept("evt_1")
		r.run(10 * time.Minute)
		for _, a := range r.attempts("whend_a") {
			if a.Number == 2 && (!a.Final || !a.NextAttemptAt.IsZero()) {
				t.Errorf("attempt 2 of the old run: final %v, next at %v", a.Final, a.NextAttemptAt)
			}
		}
		if n := len(r.dest.to("a")); n != 2 {
			t.Errorf("%d calls, want the 2 of the old run", n)
		}
	})
}

func TestWhatSiviAnsweredIsOnRecord(t *testing.T) {
	for name, c := range map[string]struct {
		confirm relay.Confirm
		sivi    string // its word; empty: the source has no key
		outcome relay.DeliveryStatus
		said    string
	}{
		"the same":       {relay.ConfirmRequire, "complete", relay.DeliverySucceeded, "Sivi answered the same."},
		"another body":   {relay.ConfirmRequire, `{"status":200,"body":{"status":"complete","requestId":"r1","result":{"n":1}}}`, relay.DeliverySucceeded, "another body"},
		"another status": {relay.ConfirmPrefer, "failed", relay.DeliveryRejected, `the request r1 is "failed", where the call said "complete"`},
		"no key":         {relay.ConfirmPrefer, "", relay.DeliverySkipped, "no sivi_api_key"},
		"no key at all":  {relay.ConfirmRequire, "", relay.DeliveryRejected, "no sivi_api_key"},
	} {
		t.Run(name, func(t *testing.T) {
			r, sivi := newSiviRig(t, c.confirm)
			if sivi.says(c.sivi); c.sivi == "" {
				src, err := r.store.Source(t.Context(), account, "src_1")
				r.check(err)
				src.APIKey = ""
				r.check(r.store.UpdateSource(t.Context(), src))
			}
			ev := r.siviCall("complete", c.confirm)
			r.settleNow()
			rec, err := r.store.Event(t.Context(), account, ev.ID, true)
			r.check(err)
			if a := rec.Answer; a.Outcome != c.outcome || !strings.Contains(a.Said, c.said) || a.At.IsZero() {
				t.Errorf("on record: %+v, want %s and %q", a, c.outcome, c.said)
			}
		})
	}
}
