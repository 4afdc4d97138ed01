package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/events"
	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

func TestPublishPutsTheEventOnTheQueue(t *testing.T) {
	w := newWorld(t)
	data := `{ "n": 1.0, "big": 12345678901234567890, "é":"\u00e9 <&>", "a":1, "A":2 }`
	a := w.call("POST", "/api/v1/webhook-events", `{"type":"order.paid","data":`+data+`}`).is(202)
	at := relay.FormatTime(w.clock.Now())
	a.equal(map[string]any{
		"object": "webhook_event", "type": "order.paid", "api_version": "2026-05-11", "created_at": at,
		"source_id": nil, "verified_by": "key", "test": false, "status": "pending",
	})
	msgs := queued(t, w.events)
	if len(msgs) != 1 || msgs[0].Kind != relay.MessageEvent {
		t.Fatalf("queued %+v", msgs)
	}
	ev := msgs[0].Event
	body, err := ev.Payload.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"` + a.text("id") + `","type":"order.paid","api_version":"2026-05-11","created_at":"` + at + `","data":` + data + `}`
	if string(body) != want {
		t.Errorf("the body is\n%s, want\n%s", body, want)
	}
	if ev.ID != a.text("id") || ev.Account != w.account || ev.VerifiedBy != relay.VerifiedByKey || ev.Test || ev.Only != "" ||
		ev.RequestID != a.header.Get("X-Request-Id") || ev.Format != relay.FormatRivya {
		t.Errorf("event %+v", ev)
	}
}

func TestPublishRefuses(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ body, param string }{
		{``, "type"},
		{`{"type":"order.paid"}`, "data"},
		{`{"type":"order.paid","data":null}`, "data"},
		{`{"type":"order.paid","data":[1]}`, "data"},
		{`{"type":"order.paid","data":"x"}`, "data"},
		{`{"data":{}}`, "type"},
		{`{"type":"paid","data":{}}`, "type"},
		{`{"type":"webhook.test","data":{}}`, "type"},
		{`{"type":"endpoint.disabled","data":{}}`, "type"},
		{`{"type":"generation.done","data":{}}`, "type"},
		{`{"type":"order.paid","data":{},"id":"evt_1"}`, "id"},
		{`{"type":"order.paid","data":{"a":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}}`, ""},
	} {
		w.call("POST", "/api/v1/webhook-events", c.body).refused(relay.KindValidation, c.param)
	}
	// The event is larger than the request it comes in.
	fits := func(n int) string { return `{"type":"a.b","data":{"x":"` + strings.Repeat("x", n) + `"}}` }
	w.call("POST", "/api/v1/webhook-events", fits(relay.MaxPayload-60)).refused(relay.KindPayloadTooLarge, "")
	if n := len(queued(t, w.events)); n != 0 {
		t.Errorf("%d refused events were queued", n)
	}
	w.call("POST", "/api/v1/webhook-events", fits(relay.MaxPayload-300)).is(202)
	w.call("POST", "/api/v1/webhook-events", `{"type":"generation.succeeded","data":{"generation":{}}}`).is(202)
}

func (w *world) publish(key, body string) *reply {
	w.t.Helper()
	r := w.request(w.key, "POST", "/api/v1/webhook-events", body)
	r.Header["Idempotency-Key"] = []string{key}
	return w.send(r)
}

func TestAnIdempotencyKeyStandsForOneEvent(t *testing.T) {
	w := newWorld(t)
	body := `{"type":"order.paid","data":{"n":1}}`
	key := strings.Repeat("~", 255)
	first := w.publish(key, body).is(202)
	w.clock.Advance(time.Hour)
	again := w.publish(key, body).is(202)
	if again.raw != first.raw {
		t.Errorf("the same call again answers\n%s, want\n%s", again.raw, first.raw)
	}
	msgs := queued(t, w.events)
	if len(msgs) != 2 {
		t.Fatalf("%d messages, want the event sent again, for its first may be lost", len(msgs))
	}
	a, _ := msgs[0].Event.Payload.Bytes()
	b, _ := msgs[1].Event.Payload.Bytes()
	if string(a) != string(b) || msgs[0].Event.ID != msgs[1].Event.ID || !msgs[0].Event.CreatedAt.Equal(msgs[1].Event.CreatedAt) || msgs[0].MID == msgs[1].MID {
		t.Errorf("sent again as %+v, first %+v", msgs[1], msgs[0])
	}
	w.publish(key, `{"type":"order.paid","data":{"n":2}}`).refused(relay.KindIdempotencyConflict, "")
	if other := w.publish("other", body).is(202); other.text("id") == first.text("id") {
		t.Error("another key gave the same event")
	}
	w.clock.Advance(23*time.Hour + time.Second)
	if later := w.publish(key, body).is(202); later.text("id") == first.text("id") {
		t.Error("after 24 hours the key still stands for the event")
	}
	for _, bad := range []string{"", "a b", "é", strings.Repeat("x", 256), "a\x7f"} {
		w.publish(bad, body).refused(relay.KindValidation, "Idempotency-Key")
	}
	r := w.request(w.key, "POST", "/api/v1/webhook-events", body)
	r.Header["Idempotency-Key"] = []string{"a", "b"}
	w.send(r).refused(relay.KindValidation, "Idempotency-Key")
}

func TestAnIdempotencyKeyIsTheAccountsOwn(t *testing.T) {
	w := newWorld(t)
	first := w.publish("k", `{"type":"order.paid","data":{"n":1}}`).is(202)
	_, _, w.key = w.newAccount("second")
	if second := w.publish("k", `{"type":"order.paid","data":{"n":2}}`).is(202); second.text("id") == first.text("id") {
		t.Error("two accounts share an event")
	}
}

func TestAPublishThatCouldNotBeQueuedIsRepeated(t *testing.T) {
	w := newWorld(t)
	queue := w.Events
	w.Events = unsent{queue}
	body := `{"type":"order.paid","data":{}}`
	w.publish("k", body).refused(relay.KindUnavailable, "")
	w.Events = queue
	w.clock.Advance(time.Second)
	id := w.publish("k", body).is(202).text("id")
	if msgs := queued(t, w.events); len(msgs) != 1 || msgs[0].Event.ID != id {
		t.Errorf("queued %+v", msgs)
	}
}

func TestATestGoesToOneEndpointInItsFormat(t *testing.T) {
	w := newWorld(t)
	for _, format := range []relay.Format{relay.FormatRivya, relay.FormatSivi} {
		id := w.call("POST", "/api/v1/webhooks", strings.Replace(newEndpoint, "{", `{"status":"disabled","format":"`+string(format)+`",`, 1)).is(201).text("id")
		a := w.call("POST", "/api/v1/webhooks/"+id+"/test", "").is(202).equal(map[string]any{"type": "webhook.test", "test": true, "verified_by": "key", "source_id": nil})
		msgs := queued(t, w.events)
		if len(msgs) != 1 {
			t.Fatalf("%s: queued %+v", format, msgs)
		}
		ev := msgs[0].Event
		body, _ := ev.Payload.Bytes()
		if ev.Only != id || !ev.Test || ev.Format != format || ev.ID != a.text("id") || string(body) != string(events.TestBody(format, ev.ID, ev.CreatedAt)) {
			t.Errorf("%s: event %+v with body %s", format, ev, body)
		}
		w.call("POST", "/api/v1/webhooks/"+id+"/test", `{"x":1}`).refused(relay.KindValidation, "x")
	}
}

func TestAnEventInDetail(t *testing.T) {
	w := newWorld(t)
	ctx, now := context.Background(), w.clock.Now()
	next := now.Add(time.Minute)
	a, b, c, d := w.createEndpoint(), w.createEndpoint(), w.createEndpoint(), w.createEndpoint()
	ev := relay.Event{
		ID: "a/b%2F..?# \\", Account: w.account, Type: "generation.failed", Format: relay.FormatRivya, VerifiedBy: relay.VerifiedBySignature,
		SourceID: relay.NewID(relay.SourcePrefix, now), CreatedAt: now, Payload: relay.NewPayload([]byte(`{"id":"x","data":{"n":1.0}}`)),
	}
	path := "/api/v1/webhook-events/" + url.PathEscape(ev.ID)
	w.call("GET", path, "").refused(relay.KindNotFound, "")
	record := relay.EventRecord{Event: ev, MID: "m", Matched: []string{b, a}, Unmatched: []relay.Unmatched{{EndpointID: c, Reason: relay.MismatchDisabled}, {EndpointID: d, Reason: relay.MismatchSource}, {EndpointID: "x", Reason: relay.MismatchOnly}}}
	if _, err := w.Store.PutEvent(ctx, record); err != nil {
		t.Fatal(err)
	}
	// On the store, before the first attempts are over.
	w.call("GET", path, "").is(200).equal(map[string]any{
		"id": ev.ID, "status": "pending", "source_id": ev.SourceID, "payload": map[string]any{"data": map[string]any{"n": 1}, "id": "x"},
		"deliveries": []any{
			map[string]any{"endpoint_id": b, "status": "pending", "attempts": 0, "next_attempt_at": nil},
			map[string]any{"endpoint_id": a, "status": "pending", "attempts": 0, "next_attempt_at": nil},
		},
		"unmatched": []any{map[string]any{"endpoint_id": d, "reason": "source", "detail": nil}}, // one that is disabled stands in deliveries alone
	})
	err := w.Store.ListEvent(ctx, ev, []relay.Delivery{
		{EndpointID: a, Attempts: 1, Status: relay.DeliveryRetrying, NextAttemptAt: next},
		{EndpointID: b, Attempts: 1, Status: relay.DeliverySkipped},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.call("GET", path, "").is(200).equal(map[string]any{"status": "pending", "deliveries": []any{
		map[string]any{"endpoint_id": b, "status": "skipped", "attempts": 0, "next_attempt_at": nil},
		map[string]any{"endpoint_id": a, "status": "retrying", "attempts": 1, "next_attempt_at": relay.FormatTime(next)},
	}})
	if err := w.Store.SaveDelivery(ctx, ev.Ref(), relay.Delivery{EndpointID: a, Attempts: 5, Status: relay.DeliveryFailed}); err != nil {
		t.Fatal(err)
	}
	w.call("GET", path, "").is(200).equal(map[string]any{"status": "failed"})
	w.call("GET", "/api/v1/webhook-events?status=failed", "").is(200).equal(map[string]any{"data.0.id": ev.ID, "data.0.status": "failed"})
}

func TestAConfirmedAndARefusedEvent(t *testing.T) {
	w := newWorld(t)
	ctx, now, ep := context.Background(), w.clock.Now(), w.createEndpoint()
	for status, want := range map[relay.DeliveryStatus]map[string]any{
		relay.DeliveryPending:   {"status": "pending", "verified_by": "token"},
		relay.DeliverySucceeded: {"status": "delivered", "verified_by": "token+fetch"},
		relay.DeliveryRejected:  {"status": "rejected", "verified_by": "token", "deliveries.0.status": "skipped", "deliveries.0.attempts": 0},
		relay.DeliverySkipped:   {"status": "delivered", "verified_by": "token"},
	} {
		ev := relay.Event{
			ID: "evt_" + string(status), Account: w.account, Type: "generation.succeeded", Format: relay.FormatSivi,
			VerifiedBy: relay.VerifiedByToken, CreatedAt: now, Confirm: relay.ConfirmPrefer, Payload: relay.NewPayload([]byte("not JSON")),
		}
		// While Sivi is asked, everything is pending.
		_, err1 := w.Store.PutEvent(ctx, relay.EventRecord{Event: ev, MID: "m", Matched: []string{ep}})
		err2 := w.Store.ListEvent(ctx, ev, []relay.Delivery{
			{EndpointID: relay.Confirmation, Status: relay.DeliveryPending, NextAttemptAt: now},
			{EndpointID: ep, Status: relay.DeliveryPending},
		})
		err3 := w.Store.SaveDelivery(ctx, ev.Ref(), relay.Delivery{EndpointID: relay.Confirmation, Attempts: 1, Status: status})
		var err4 error
		switch status {
		case relay.DeliveryRejected:
			err4 = w.Store.SaveDelivery(ctx, ev.Ref(), relay.Delivery{EndpointID: ep, Attempts: 1, Status: relay.DeliverySkipped})
		case relay.DeliverySucceeded, relay.DeliverySkipped:
			err4 = w.Store.SaveDelivery(ctx, ev.Ref(), relay.Delivery{EndpointID: ep, Attempts: 1, Status: relay.DeliverySucceeded})
		}
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		a := w.call("GET", "/api/v1/webhook-events/"+ev.ID, "").is(200).equal(want).equal(map[string]any{"payload": "not JSON"})
		if strings.Contains(a.raw, `"`+relay.Confirmation+`"`) {
			t.Errorf("%s: the confirmation is shown as a delivery: %s", status, a.raw)
		}
		w.call("GET", "/api/v1/webhook-events", "").is(200).
			equal(map[string]any{"data.0.id": ev.ID, "data.0.status": want["status"], "data.0.verified_by": want["verified_by"]})
		now = now.Add(time.Millisecond) // so the next one is listed before it
	}
	// All of it at the first try, of which nothing but the event is kept.
	ev := relay.Event{
		ID: "evt_clean", Account: w.account, Type: "generation.succeeded", Format: relay.FormatSivi,
		VerifiedBy: relay.VerifiedByToken, CreatedAt: now, Confirm: relay.ConfirmRequire, Payload: relay.NewPayload([]byte("{}")),
	}
	_, err1 := w.Store.PutEvent(ctx, relay.EventRecord{Event: ev, MID: "m", Matched: []string{ep}})
	w.call("GET", "/api/v1/webhook-events/evt_clean", "").is(200).equal(map[string]any{"status": "pending", "verified_by": "token"})
	err2 := w.Store.ListEvent(ctx, ev, []relay.Delivery{
		{EndpointID: relay.Confirmation, Attempts: 1, Status: relay.DeliverySucceeded},
		{EndpointID: ep, Attempts: 1, Status: relay.DeliverySucceeded},
	})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	w.call("GET", "/api/v1/webhook-events/evt_clean", "").is(200).equal(map[string]any{"status": "delivered", "verified_by": "token+fetch"})
	w.call("GET", "/api/v1/webhook-events", "").is(200).equal(map[string]any{"data.0.id": "evt_clean", "data.0.verified_by": "token+fetch"})
}

func TestEventsAreFiltered(t *testing.T) {
	w := newWorld(t)
	ep := w.createEndpoint()
	start := w.clock.Now()
	for i, status := range []relay.AttemptStatus{relay.AttemptSucceeded, relay.AttemptFailed, relay.AttemptSkipped, relay.AttemptSucceeded} {
		w.clock.Set(start.Add(time.Duration(i) * time.Minute))
		w.record("evt_"+string(rune('a'+i)), ep, status, 0)
	}
	at := func(i int) string {
		return url.QueryEscape(start.Add(time.Duration(i) * time.Minute).In(time.FixedZone("", 7200)).Format(time.RFC3339))
	}
	for query, want := range map[string][]string{
		"":                                       {"evt_d", "evt_c", "evt_b", "evt_a"},
		"status=delivered":                       {"evt_d", "evt_a"},
		"status=failed":                          {"evt_b"},
		"status=skipped":                         {"evt_c"},
		"status=rejected":                        {},
		"type=generation.succeeded":              {"evt_d", "evt_c", "evt_b", "evt_a"},
		"type=order.paid":                        {},
		"type=order.*,generation.*":              {"evt_d", "evt_c", "evt_b", "evt_a"},
		"type=order.*":                           {},
		"status=failed,skipped":                  {"evt_c", "evt_b"},
		"status=delivered,failed":                {"evt_d", "evt_b", "evt_a"},
		"endpoint_id=" + ep:                      {"evt_d", "evt_c", "evt_b", "evt_a"},
		"endpoint_id=whend_00000000000000000000": {},
		"source_id=src_00000000000000000000":     {},
		"since=" + at(1):                         {"evt_d", "evt_c", "evt_b"},
		"since=" + at(1) + "&until=" + at(3):     {"evt_c", "evt_b"},
		"until=" + at(1) + "&status=delivered":   {"evt_a"},
	} {
		got := []string{}
		cursor := ""
		for range 10 {
			a := w.call("GET", "/api/v1/webhook-events?limit=1&"+query+"&cursor="+cursor, "").is(200)
			for _, ev := range a.at("data").([]any) {
				got = append(got, ev.(map[string]any)["id"].(string))
			}
			if a.at("has_more") == false {
				break
			}
			cursor = a.text("next_cursor")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
}

func TestTheCatalogueIsAnswered(t *testing.T) {
	w := newWorld(t)
	a := w.call("GET", "/api/v1/event-types", "").is(200)
	var got []string
	for _, v := range a.at("data").([]any) {
		got = append(got, v.(map[string]any)["name"].(string))
	}
	var want []string
	for _, typ := range events.Catalogue() {
		want = append(want, typ.Name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var all struct {
		Data []struct{ Schema, Sample json.RawMessage }
	}
	if err := json.Unmarshal([]byte(a.raw), &all); err != nil || len(all.Data[0].Schema) < 10 || len(all.Data[0].Sample) < 10 {
		t.Errorf("no schema or sample: %v", err)
	}
}

func TestReadEventTellsEventsOfOneIDApartByTheirSource(t *testing.T) {
	w := newWorld(t)
	one, two := relay.NewID(relay.SourcePrefix, w.clock.Now()), relay.NewID(relay.SourcePrefix, w.clock.Now())
	for i, src := range []string{one, two} {
		at := relay.Millis(w.clock.Now().Add(time.Duration(i) * time.Second))
		ev := relay.Event{
			ID: "gen_1", Key: relay.EventKey(src, "gen_1"), Account: w.account, Type: "generation.succeeded", Format: relay.FormatRivya,
			SourceID: src, VerifiedBy: relay.VerifiedBySignature, CreatedAt: at, Payload: relay.NewPayload([]byte(`{"n":1}`)),
		}
		if _, err := w.Store.PutEvent(t.Context(), relay.EventRecord{Event: ev, MID: "m"}); err != nil {
			t.Fatal(err)
		}
		if err := w.Store.ListEvent(t.Context(), ev, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.call("GET", "/api/v1/webhook-events/gen_1", "").is(200).equal(map[string]any{
		"id": "gen_1", "source_id": two, "other_sources.0": one, "webhook_id": signature.WebhookID("gen_1@" + two),
	})
	w.call("GET", "/api/v1/webhook-events/gen_1?source_id="+one, "").is(200).equal(map[string]any{"source_id": one, "other_sources.0": two})
	w.call("GET", "/api/v1/webhook-events/gen_1?source_id="+relay.NewID(relay.SourcePrefix, w.clock.Now()), "").is(404)
	w.call("GET", "/api/v1/webhook-events", "").is(200).equal(map[string]any{"data.0.id": "gen_1", "data.1.id": "gen_1"})
}

func TestFiltersThatMeanNothingAreRefused(t *testing.T) {
	w := newWorld(t)
	for query, param := range map[string]string{
		"type=order": "type", "type=order.*,": "type", "type=*": "type", "type=.*": "type", "type=a.b%20,a.c": "type", "type=Order.*": "type",
		"status=failed,nothing": "status", "status=,": "status", "endpoint_id=x": "endpoint_id", "subject=a%00": "subject",
		"subject=" + strings.Repeat("x", 257): "subject", "status=" + strings.Repeat("failed,", 50) + "failed": "status",
		"since=2026-05-11T00:00:00Z&until=2026-05-10T00:00:00Z": "until",
	} {
		w.call("GET", "/api/v1/webhook-events?"+query, "").refused(relay.KindValidation, param)
	}
}

func TestAnEventIsFoundByWhatItIsAbout(t *testing.T) {
	w := newWorld(t)
	a := w.call("POST", "/api/v1/webhook-events", `{"type":"order.paid","data":{},"subject":"order 7/ü"}`).is(202).equal(map[string]any{"subject": "order 7/ü"})
	w.call("POST", "/api/v1/webhook-events", `{"type":"order.paid","data":{},"subject":null}`).is(202).equal(map[string]any{"subject": nil})
	msgs := queued(t, w.events)
	if len(msgs) != 2 || msgs[0].Event.Subject != "order 7/ü" || msgs[1].Event.Subject != "" {
		t.Fatalf("queued %+v", msgs)
	}
	for _, m := range msgs {
		if _, err := w.Store.PutEvent(t.Context(), relay.EventRecord{Event: *m.Event, MID: m.MID}); err != nil {
			t.Fatal(err)
		}
		if err := w.Store.ListEvent(t.Context(), *m.Event, nil); err != nil {
			t.Fatal(err)
		}
	}
	got := w.call("GET", "/api/v1/webhook-events?subject="+url.QueryEscape("order 7/ü"), "").is(200).at("data").([]any)
	if len(got) != 1 || got[0].(map[string]any)["id"] != a.text("id") {
		t.Errorf("found %v", got)
	}
	for _, bad := range []string{`""`, `7`, `"a\u0000"`, `"a\nb"`, `"` + strings.Repeat("x", 257) + `"`} {
		w.call("POST", "/api/v1/webhook-events", `{"type":"order.paid","data":{},"subject":`+bad+`}`).refused(relay.KindValidation, "subject")
	}
}
