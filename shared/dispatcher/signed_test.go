package dispatcher_test

import (
	"strings"
	"testing"
	"time"

	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

// acceptProved accepts an event whose ID its provider did not sign.
func (r *rig) acceptProved(id, proof string) relay.Message {
	r.Helper()
	ev := r.newEvent(id, func(ev *relay.Event) { ev.Key, ev.Format = relay.EventKey("src_1", id), relay.FormatVerbatim })
	m := relay.NewEventMessage(ev)
	m.Proof = proof
	r.send(r.events, m)
	return m
}

// Whoever has seen a call can send it again under any ID.
func TestTheSameSignedBytesAreOneEventWhateverTheID(t *testing.T) {
	proof := strings.Repeat("a", 64)
	r := newSQLiteRig(t, func(cfg *dispatcher.Config) { cfg.Retention = relaytest.Retention })
	r.endpoint("1")
	r.acceptProved("id-1", proof)
	r.settleNow()
	r.acceptProved("id-1", proof)
	r.acceptProved("id-2", proof)
	r.settleNow()
	if len(r.dest.calls) != 1 || r.dest.calls[0].header.Get("Rivya-Webhook-Id") != "id-1" {
		t.Fatalf("%d calls", len(r.dest.calls))
	}
	r.acceptProved("id-3", strings.Repeat("b", 64))
	r.settleNow()
	if len(r.dest.calls) != 2 {
		t.Errorf("other bytes: %d calls", len(r.dest.calls))
	}
	// As long as the event is kept, and no longer.
	r.clock.Advance(relaytest.Retention - time.Second)
	r.acceptProved("id-4", proof)
	r.settleNow()
	if len(r.dest.calls) != 2 {
		t.Errorf("at the end of the retention time: %d calls", len(r.dest.calls))
	}
}

// A crash after the proof is put and before the event is: the message comes again
// and is no duplicate of its own.
func TestACrashAfterTheProofLosesNothing(t *testing.T) {
	r := newRig(t)
	r.endpoint("1")
	r.acceptProved("id-1", strings.Repeat("a", 64))
	r.store.fail("PutEvent")
	if _, failed := r.handle(r.events); failed != 1 {
		t.Fatalf("%d messages failed", failed)
	}
	r.store.heal()
	r.run(10 * time.Minute)
	if len(r.dest.calls) != 1 {
		t.Errorf("%d calls", len(r.dest.calls))
	}
}

// A provider's own JSON goes out as it came, or within an envelope that has it
// byte for byte.
func TestAProvidersJSONGoesOutVerbatimAndInAnEnvelope(t *testing.T) {
	r := newRig(t)
	r.endpoint("rivya")
	r.endpoint("verbatim", func(ep *relay.Endpoint) { ep.Format = relay.FormatVerbatim })
	r.endpoint("sivi", func(ep *relay.Endpoint) { ep.Format = relay.FormatSivi })
	body := " {\"id\": 1.0e2,\n\"text\":\"\\u00e9 é <&>\"} "
	r.accept("id-1", func(ev *relay.Event) {
		ev.Format, ev.Type, ev.Payload = relay.FormatVerbatim, "github.push", relay.NewPayload([]byte(body))
	})
	r.settleNow()
	want := map[string]string{
		"verbatim": body,
		"rivya": `{"id":"id-1","type":"github.push","api_version":"2026-05-11","created_at":"` +
			relay.FormatTime(r.clock.Now()) + `","data":` + body + `}`,
	}
	for _, c := range r.dest.calls {
		if got := c.body; got != want[c.name] {
			t.Errorf("%s got %s, want %s", c.name, got, want[c.name])
		}
	}
	if len(r.dest.calls) != 2 {
		t.Errorf("%d calls, want none for format sivi", len(r.dest.calls))
	}
	// Whatever the provider, verbatim is what came in.
	r.dest.calls = nil
	r.accept("id-2", func(ev *relay.Event) {
		ev.Format, ev.Payload = relay.FormatSivi, relay.NewPayload([]byte(`{"status":200,"body":{"status":"complete","requestId":"sb1"}}`))
	})
	r.settleNow()
	for _, c := range r.dest.calls {
		if c.name == "verbatim" && c.body != `{"status":200,"body":{"status":"complete","requestId":"sb1"}}` {
			t.Errorf("verbatim got %s", c.body)
		}
	}
	if len(r.dest.calls) != 3 {
		t.Errorf("%d calls", len(r.dest.calls))
	}
}

// A generation of a known provider has one form, with what came in beside it.
func TestAGenerationOfAKnownProviderIsNormalised(t *testing.T) {
	r := newRig(t)
	r.endpoint("rivya")
	r.endpoint("verbatim", func(ep *relay.Endpoint) { ep.Format = relay.FormatVerbatim })
	body := `{"request_id":"r1", "status":"OK","payload":{"images":[{"url":"https://f.example/1.png"}]}}`
	r.accept("r1", func(ev *relay.Event) { ev.Format, ev.Payload = "fal", relay.NewPayload([]byte(body)) })
	r.settleNow()
	if len(r.dest.calls) != 2 {
		t.Fatalf("%d calls", len(r.dest.calls))
	}
	for _, c := range r.dest.calls {
		if c.name == "verbatim" && c.body != body {
			t.Errorf("verbatim got %s", c.body)
		}
		if c.name == "rivya" && (!strings.Contains(c.body, `"data":{"generation":{"id":"r1","status":"succeeded"`) || !strings.HasSuffix(c.body, `"fal":`+body+`}}`)) {
			t.Errorf("rivya got %s", c.body)
		}
	}
}
