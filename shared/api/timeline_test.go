package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

// story returns the timeline of an event, each entry in one line.
func (w *world) story(id string) (lines []string) {
	w.t.Helper()
	for _, v := range w.call("GET", "/api/v1/webhook-events/"+id, "").is(200).at("timeline").([]any) {
		e := v.(map[string]any)
		line := fmt.Sprint(strings.TrimPrefix(e["at"].(string), "2026-05-11T"), " ", e["what"])
		for _, name := range []string{"endpoint_id", "run", "attempt"} {
			if e[name] != nil {
				line += fmt.Sprint(" ", e[name])
			}
		}
		lines = append(lines, line+": "+e["detail"].(string))
	}
	return lines
}

func TestAnEventTellsItsStory(t *testing.T) {
	w := newWorld(t)
	ctx, start := t.Context(), w.clock.Now()
	a, b, c, d := w.createEndpoint(), w.createEndpoint(), w.createEndpoint(), w.createEndpoint()
	source := relay.NewID(relay.SourcePrefix, start)
	ev := relay.Event{
		ID: "evt_story", Account: w.account, Type: "order.paid", Format: relay.FormatRivya, SourceID: source, TraceParent: "00-0-0-01",
		VerifiedBy: relay.VerifiedBySignature, CreatedAt: start, Payload: relay.NewPayload([]byte(`{}`)), Subject: "order 7",
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.Store.PutEvent(ctx, relay.EventRecord{
		Event: ev, MID: "m", RecordedAt: start.Add(5 * time.Millisecond), Matched: []string{a, b},
		Unmatched: []relay.Unmatched{{EndpointID: b, Reason: relay.MismatchDisabled}, {EndpointID: c, Reason: relay.MismatchType}, {EndpointID: d, Reason: relay.MismatchFormat}},
	})
	must(err)
	put := func(endpoint string, run, number int, due time.Time, edit func(*relay.Attempt)) relay.Attempt {
		t.Helper()
		at := relay.Attempt{
			ID: relay.AttemptID(w.account, ev.ID, endpoint, run, number, due), Account: w.account, EventID: ev.ID, EventType: ev.Type,
			EndpointID: endpoint, Run: run, Number: number, Status: relay.AttemptFailed, RequestID: "req_1", Duration: 1500 * time.Millisecond, DueAt: due,
			CreatedAt: due.Add(10 * time.Millisecond), EventCreatedAt: start, MID: "m",
			URL: "https://example.com/rivya/webhook", Signatures: "Shop-Webhook-Signature: v1=00\nWebhook-Signature: v1,AA==",
		}
		edit(&at)
		_, err := w.Store.RecordAttempt(ctx, at)
		must(err)
		must(w.Store.SaveDelivery(ctx, ev.Ref(), at.Delivery()))
		return at
	}
	first := put(a, 0, 1, start, func(at *relay.Attempt) {
		at.HTTPStatus, at.ErrorCode, at.ErrorMessage, at.NextAttemptAt = 500, relay.CodeHTTPError, "The endpoint answered with status 500.", start.Add(time.Minute)
	})
	put(b, 0, 1, start, func(at *relay.Attempt) {
		at.Status, at.Final, at.ErrorCode, at.ErrorMessage = relay.AttemptSkipped, true, relay.CodeEndpointDisabled, "The endpoint is disabled."
		at.URL, at.Signatures, at.Duration = "", "", 0
	})
	must(w.Store.ListEvent(ctx, ev, []relay.Delivery{first.Delivery()}))
	put(a, 0, 2, first.NextAttemptAt, func(at *relay.Attempt) {
		at.ErrorCode, at.ErrorMessage, at.Final, at.Duration = relay.CodeTimeout, "No answer within 10 s.", true, 10*time.Second
	})
	run := start.Add(time.Hour)
	_, err = w.Store.StartRun(ctx, w.account, ev.ID, a, "rpl_00000000000000000000", run)
	must(err)
	put(a, 1, 1, run, func(at *relay.Attempt) {
		at.Status, at.Final, at.HTTPStatus, at.Snippet = relay.AttemptSucceeded, true, 204, ""
	})
	_, err = w.Store.StartRun(ctx, w.account, ev.ID, b, "req_1", run.Add(time.Minute))
	must(err)

	want := []string{
		"09:30:00.000Z received: A call to the source brought it.",
		"09:30:00.000Z verified: The signature of the call was right.",
		"09:30:00.005Z recorded: It was put on record and matched with the endpoints of the account.",
		"09:30:00.005Z matched " + a + ": It matched the endpoint.",
		"09:30:00.005Z matched " + b + ": It matched the endpoint, which was disabled.",
		"09:30:00.005Z not_matched " + c + ": The endpoint does not ask for order.paid.",
		"09:30:00.005Z not_matched " + d + ": The endpoint takes a format in which this event cannot be sent.",
		"09:30:00.010Z attempted " + a + " 0 1: Attempt 1 was answered with status 500 after 1.5 s.",
		"09:30:00.010Z skipped " + b + " 0 1: The endpoint is disabled.",
		"09:30:01.510Z retry_scheduled " + a + " 0 1: Attempt 2 is due at 2026-05-11T09:31:00.000Z.",
		"09:31:00.010Z attempted " + a + " 0 2: Attempt 2 got no answer: no answer within 10 s.",
		"09:31:10.010Z failed " + a + " 0 2: No attempt of this run follows.",
		"10:30:00.000Z replayed " + a + " 1: Run 1 was started by the replay rpl_00000000000000000000.",
		"10:30:00.010Z attempted " + a + " 1 1: Attempt 1 was answered with status 204 after 1.5 s.",
		"10:30:01.510Z delivered " + a + " 1 1: The endpoint took it at attempt 1.",
		"10:31:00.000Z replayed " + b + " 1: Run 1 was started by hand.",
	}
	if diff := cmp.Diff(want, w.story(ev.ID)); diff != "" {
		t.Errorf("timeline (-want +got):\n%s", diff)
	}
	w.call("GET", "/api/v1/webhook-events/"+ev.ID, "").is(200).equal(map[string]any{
		"subject": "order 7", "rejected_because": nil, "attempts.0.run": 1, "attempts.2.endpoint_id": b, "attempts.2.request": nil,
		"attempts.0.request": map[string]any{"url": "https://example.com/rivya/webhook", "headers": map[string]any{
			"Content-Type": "application/json", "User-Agent": "Hookferry/1", "Traceparent": "00-0-0-01", "Hookferry-Passes": "1",
			"Shop-Webhook-Id": ev.ID, "Shop-Webhook-Attempt": "1", "Shop-Webhook-Endpoint-Id": a, "Shop-Request-Id": "req_1",
			"Shop-Webhook-Source-Id": source, "Shop-Webhook-Timestamp": fmt.Sprint(run.Unix()), "Shop-Webhook-Signature": "v1=00",
			"Webhook-Id": ev.ID, "Webhook-Timestamp": fmt.Sprint(run.Unix()), "Webhook-Signature": "v1,AA==",
		}},
	})
}

func TestAnEventTellsWhatSiviSaid(t *testing.T) {
	for outcome, c := range map[relay.DeliveryStatus]struct{ what, because string }{
		relay.DeliverySucceeded: {"confirmed: Sivi said so.", ""},
		relay.DeliveryRejected:  {"rejected: Sivi said so.", "Sivi said so."},
		relay.DeliverySkipped:   {"skipped: Sivi said so, so the event was relayed as it came.", ""},
		"":                      {"", "Sivi did not confirm it."}, // rejected by an earlier version
	} {
		w := newWorld(t)
		ctx, now := t.Context(), w.clock.Now()
		ev := relay.Event{
			ID: "evt_1", Account: w.account, Type: "generation.succeeded", Format: relay.FormatSivi, SourceID: relay.NewID(relay.SourcePrefix, now),
			VerifiedBy: relay.VerifiedByToken, CreatedAt: now, Confirm: relay.ConfirmPrefer, Payload: relay.NewPayload([]byte(`{}`)),
		}
		r := relay.EventRecord{Event: ev, MID: "m", RecordedAt: now}
		if outcome != "" {
			r.Answer = relay.Answer{At: now.Add(time.Second), Outcome: outcome, Said: "Sivi said so."}
		}
		if _, err := w.Store.PutEvent(ctx, r); err != nil {
			t.Fatal(err)
		}
		d := relay.Delivery{EndpointID: relay.Confirmation, Attempts: 1, Status: outcome}
		if outcome == "" {
			d.Status = relay.DeliveryRejected
		}
		if err := w.Store.ListEvent(ctx, ev, []relay.Delivery{d}); err != nil {
			t.Fatal(err)
		}
		got := w.story("evt_1")
		if last := got[len(got)-1]; c.what != "" && last != "09:30:01.000Z "+c.what {
			t.Errorf("%s: the story ends with %q", outcome, last)
		}
		var because any
		if c.because != "" {
			because = c.because
		}
		w.call("GET", "/api/v1/webhook-events/evt_1", "").is(200).equal(map[string]any{"rejected_because": because})
	}
}
