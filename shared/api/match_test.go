package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
)

const patternPaid = `{ "data": {"order": {"total": [{"numeric": [">", 100]}]}}, "type": [{"prefix": "order."}] }`

func TestAFilterIsShownInItsCanonicalForm(t *testing.T) {
	w := newWorld(t)
	a := w.call("POST", "/api/v1/webhooks", strings.Replace(newEndpoint, "{", `{"filter":`+patternPaid+`,`, 1)).is(201)
	path := "/api/v1/webhooks/" + a.text("id")
	want := map[string]any{"filter": map[string]any{"data": map[string]any{"order": map[string]any{"total": []any{map[string]any{"numeric": []any{">", 100}}}}}, "type": []any{map[string]any{"prefix": "order."}}}}
	a.equal(want)
	w.call("GET", path, "").is(200).equal(want)
	w.call("PATCH", path, `{"name":"x"}`).is(200).equal(want)
	was := w.stored(a.text("id")).UpdatedAt
	w.clock.Advance(time.Second)
	w.call("PATCH", path, `{"filter":`+patternPaid+`}`).is(200)
	if now := w.stored(a.text("id")).UpdatedAt; !now.Equal(was) {
		t.Error("the same filter, written in another way, counts as an edit")
	}
	w.call("PATCH", path, `{"filter":null}`).is(200).equal(map[string]any{"filter": nil})
	w.call("GET", "/api/v1/webhooks", "").is(200).equal(map[string]any{"data.0.filter": nil})
}

func TestABadFilterIsRefusedWhereItIsWrong(t *testing.T) {
	w := newWorld(t)
	path := "/api/v1/webhooks/" + w.createEndpoint()
	many := strings.TrimSuffix(strings.Repeat(`"x",`, 65), ",")
	for pattern, param := range map[string]string{
		`{}`:                                    "filter",
		`[]`:                                    "filter",
		`"x"`:                                   "filter",
		`{"a":"b"}`:                             "filter.a",
		`{"a":[]}`:                              "filter.a",
		`{"a":[{"numeric":["above",1]}]}`:       "filter.a[0].numeric[0]",
		`{"a":{"b":["c",{"sounds-like":"x"}]}}`: "filter.a.b[1].sounds-like",
		`{"a":[` + many + `]}`:                  "filter.a[64]",
		`{"a":[{"wildcard":"*********"}]}`:      "filter.a[0].wildcard",
		`{"a":["` + strings.Repeat("x", 4200) + `"]}`:                   "filter",
		strings.Repeat(`{"a":`, 33) + `["x"]` + strings.Repeat("}", 33): "",
		`{"a\u001b[2Jb":"x"}`: "",
	} {
		for _, a := range []*reply{
			w.call("PATCH", path, `{"filter":`+pattern+`}`),
			w.call("POST", "/api/v1/webhooks", strings.Replace(newEndpoint, "{", `{"filter":`+pattern+`,`, 1)),
		} {
			if a.status != 400 || param != "" && a.at("error.param") != param || strings.Contains(a.raw, "\x1b") {
				t.Errorf("%s: %d %s, want a refusal about %q", cut(pattern, 80), a.status, a.raw, param)
			}
		}
	}
	if f := w.stored(path[len("/api/v1/webhooks/"):]).Filter; f != "" {
		t.Errorf("a refused filter is stored: %s", f)
	}
}

// orders creates an endpoint with a filter and puts an event on record that it
// did not let through.
func (w *world) orders() (endpoint, event string) {
	w.t.Helper()
	endpoint = w.call("POST", "/api/v1/webhooks", `{"name":"a","url":"https://example.com/x","event_types":["order.*"],"filter":`+patternPaid+`}`).is(201).text("id")
	w.clock.Advance(time.Minute)
	ev := relay.Event{
		ID: "evt_small", Account: w.account, Type: "order.paid", Format: relay.FormatRivya, VerifiedBy: relay.VerifiedByKey, CreatedAt: w.clock.Now(),
		Payload: relay.NewPayload([]byte(`{"type":"order.paid","data":{"order":{"total":99.50}}}`)),
	}
	_, err1 := w.Store.PutEvent(w.t.Context(), relay.EventRecord{Event: ev, MID: "m", RecordedAt: w.clock.Now(), Unmatched: []relay.Unmatched{{EndpointID: endpoint, Reason: relay.MismatchFilter}}})
	err2 := w.Store.ListEvent(w.t.Context(), ev, nil)
	if err1 != nil || err2 != nil {
		w.t.Fatal(err1, err2)
	}
	return endpoint, ev.ID
}

func TestAnUnmatchedEventSaysWhichClauseFailedOnWhat(t *testing.T) {
	w := newWorld(t)
	ep, ev := w.orders()
	a := w.call("GET", "/api/v1/webhook-events/"+ev, "").is(200).equal(map[string]any{
		"status": "unmatched", "unmatched.0.reason": "filter", "unmatched.0.detail.held": false,
		"unmatched.0.detail.clauses": []any{
			map[string]any{"path": "$.data.order.total", "rule": `[{"numeric":[">",100]}]`, "value": "99.50", "held": false},
			map[string]any{"path": "$.type", "rule": `[{"prefix":"order."}]`, "value": `"order.paid"`, "held": true},
		},
	})
	if s := a.text("unmatched.0.detail.sentence"); !strings.Contains(s, "99.50") {
		t.Errorf("the sentence is %q", s)
	}
	w.clock.Advance(time.Second)
	w.call("PATCH", "/api/v1/webhooks/"+ep, `{"name":"edited"}`).is(200)
	w.call("GET", "/api/v1/webhook-events/"+ev, "").is(200).equal(map[string]any{"unmatched.0.reason": "filter", "unmatched.0.detail": nil})
	w.call("DELETE", "/api/v1/webhooks/"+ep, "").is(200)
	w.call("GET", "/api/v1/webhook-events/"+ev, "").is(200).equal(map[string]any{"unmatched.0.detail": nil})
}

func TestAMatchIsTriedWithoutSending(t *testing.T) {
	w := newWorld(t)
	ep, ev := w.orders()
	path := "/api/v1/webhooks/" + ep + "/match"
	source := relay.NewID(relay.SourcePrefix, w.clock.Now())
	for body, want := range map[string]string{
		`{"event_id":"` + ev + `"}`:                                              "unmatched filter",
		`{"body":{"type":"order.paid","data":{"order":{"total":101}}}}`:          "deliver <nil>",
		`{"body":{"type":"user.made","data":{"order":{"total":101}}}}`:           "unmatched event_type",
		`{"type":"order.x","body":{"type":"order","data":{}}}`:                   "unmatched filter",
		`{"body":{"type":"order.a","data":{"order":{"total":[1, 2e2]}}}}`:        "deliver <nil>",
		`{"source_id":"` + source + `","body":{"data":{"order":{"total":1e9}}}}`: "unmatched filter",
	} {
		a := w.call("POST", path, body).is(200)
		if got := fmt.Sprint(a.at("outcome"), " ", a.at("reason")); got != want || a.at("filter.clauses") == nil {
			t.Errorf("%s: %s, want %s: %s", body, got, want, a.raw)
		}
	}
	w.call("PATCH", "/api/v1/webhooks/"+ep, `{"status":"disabled","filter":null}`).is(200)
	w.call("POST", path, `{"event_id":"`+ev+`"}`).is(200).equal(map[string]any{"outcome": "skip", "reason": "disabled", "filter": nil, "event_id": ev})
	for body, param := range map[string]string{
		``: "event_id", `{}`: "event_id", `{"event_id":"a","body":{}}`: "event_id", `{"event_id":7}`: "event_id", `{"body":[]}`: "body",
		`{"event_id":"a","type":"a.b"}`: "type", `{"body":{},"type":"a.*"}`: "type", `{"body":{},"source_id":"x"}`: "source_id", `{"body":{},"x":1}`: "x",
	} {
		w.call("POST", path, body).refused(relay.KindValidation, param)
	}
	w.call("POST", path, `{"event_id":"evt_none"}`).refused(relay.KindNotFound, "")
	_, _, other := w.newAccount("other")
	w.callAs(other, "POST", path, `{"event_id":"`+ev+`"}`).refused(relay.KindNotFound, "")
	mine := w.callAs(other, "POST", "/api/v1/webhooks", newEndpoint).is(201).text("id")
	w.callAs(other, "POST", "/api/v1/webhooks/"+mine+"/match", `{"event_id":"`+ev+`"}`).refused(relay.KindNotFound, "")
	if len(queued(t, w.retries))+len(queued(t, w.events)) != 0 {
		t.Error("something was sent")
	}
}

func TestAnEventIsDeliveredOnceItMatches(t *testing.T) {
	w := newWorld(t)
	ep, ev := w.orders()
	path := "/api/v1/webhooks/" + ep + "/deliver"
	a := w.call("POST", path, `{"event_id":"`+ev+`"}`).refused(relay.KindEventNotMatched, "")
	if !strings.Contains(a.text("error.message"), "99.50") {
		t.Errorf("the refusal does not say why: %s", a.raw)
	}
	w.call("POST", path, `{}`).refused(relay.KindValidation, "event_id")
	w.call("POST", path, `{"event_id":"evt_none"}`).refused(relay.KindNotFound, "")
	w.call("PATCH", "/api/v1/webhooks/"+ep, `{"filter":{"type":["order.paid"]},"status":"disabled"}`).is(200)
	w.call("POST", path, `{"event_id":"`+ev+`"}`).refused(relay.KindEventNotMatched, "")
	w.call("PATCH", "/api/v1/webhooks/"+ep, `{"status":"active"}`).is(200)
	w.clock.Advance(time.Second)
	w.call("POST", path, `{"event_id":"`+ev+`"}`).is(202).equal(map[string]any{"event_id": ev, "endpoint_id": ep, "run": 1, "status": "pending"})
	if msgs := queued(t, w.retries); len(msgs) != 1 || msgs[0].Run != 1 || msgs[0].EndpointID != ep || msgs[0].Ref.ID != ev {
		t.Errorf("queued %+v", msgs)
	}
	w.call("GET", "/api/v1/webhook-events/"+ev, "").is(200).equal(map[string]any{"status": "pending", "deliveries.0.endpoint_id": ep, "deliveries.0.status": "pending"})
	w.call("DELETE", "/api/v1/webhooks/"+ep, "").is(200)
	w.call("POST", path, `{"event_id":"`+ev+`"}`).refused(relay.KindEndpointRevoked, "")
}

func TestWhatSiviHasNotConfirmedIsNotDeliveredByHand(t *testing.T) {
	for _, status := range []relay.DeliveryStatus{relay.DeliveryPending, relay.DeliveryRetrying, relay.DeliveryRejected} {
		w := newWorld(t)
		ep := w.createEndpoint()
		ev := relay.Event{
			ID: "evt_1", Account: w.account, Type: "generation.succeeded", Format: relay.FormatSivi, SourceID: relay.NewID(relay.SourcePrefix, w.clock.Now()), CreatedAt: w.clock.Now(),
			VerifiedBy: relay.VerifiedByToken, Confirm: relay.ConfirmRequire, Payload: relay.NewPayload([]byte(`{"status":200,"body":{"status":"complete","requestId":"r1"}}`)),
		}
		if _, err := w.Store.PutEvent(t.Context(), relay.EventRecord{Event: ev, MID: "m"}); err != nil {
			t.Fatal(err)
		}
		body := `{"event_id":"evt_1"}`
		w.call("POST", "/api/v1/webhooks/"+ep+"/deliver", body).refused(relay.KindEventNotMatched, "")
		if err := w.Store.ListEvent(t.Context(), ev, []relay.Delivery{{EndpointID: relay.Confirmation, Attempts: 1, Status: status}}); err != nil {
			t.Fatal(err)
		}
		w.call("POST", "/api/v1/webhooks/"+ep+"/deliver", body).refused(relay.KindEventNotMatched, "")
	}
}

func TestEventTypesTakePrefixes(t *testing.T) {
	w := newWorld(t)
	path := "/api/v1/webhooks/" + w.createEndpoint()
	w.call("PATCH", path, `{"event_types":["order.*","generation.*","order.line.*"]}`).is(200)
	for _, bad := range []string{"order*", ".*", "*.order", "generation.done.*", "endpoint.x.*", "webhook.z.*", "order.**", "Order.*"} {
		w.call("PATCH", path, `{"event_types":["`+bad+`"]}`).refused(relay.KindValidation, "event_types[0]")
	}
}

func TestAFilterIsTriedBeforeItIsSet(t *testing.T) {
	w := newWorld(t)
	ep, ev := w.orders()
	path := "/api/v1/webhooks/" + ep + "/match"
	for filter, want := range map[string]string{
		`null`:                    "deliver <nil>",
		`{"type":["order.paid"]}`: "deliver <nil>",
		`{"type":["user.made"]}`:  "unmatched filter",
	} {
		a := w.call("POST", path, `{"event_id":"`+ev+`","filter":`+filter+`}`).is(200)
		if got := fmt.Sprint(a.at("outcome"), " ", a.at("reason")); got != want {
			t.Errorf("%s: %s, want %s", filter, got, want)
		}
	}
	w.call("POST", path, `{"event_id":"`+ev+`","filter":{"type":"x"}}`).refused(relay.KindValidation, "filter.type")
	w.call("POST", path, `{"event_id":"`+ev+`"}`).is(200).equal(map[string]any{"outcome": "unmatched"})
}

func TestABodyIsAnsweredByteForByte(t *testing.T) {
	w := newWorld(t)
	ep, ev := w.orders()
	all, err := w.Store.EventsByID(t.Context(), w.account, ev)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	want, err := all[0].Payload.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/webhook-events/" + ev + "/body"
	w.call("GET", path, "").is(200).equal(map[string]any{"object": "webhook_body", "encoding": "utf8", "body": string(want), "endpoint_id": nil})
	w.call("GET", path+"?endpoint_id="+ep, "").is(200).equal(map[string]any{"body": string(want), "endpoint_id": ep, "format": "rivya"})
	w.call("GET", path+"?endpoint_id=x", "").refused(relay.KindValidation, "endpoint_id")
	w.call("GET", path+"?endpoint_id="+relay.NewID(relay.EndpointPrefix, w.clock.Now()), "").refused(relay.KindNotFound, "")
	w.call("GET", "/api/v1/webhook-events/evt_none/body", "").refused(relay.KindNotFound, "")
	_, _, other := w.newAccount("other")
	w.callAs(other, "GET", path, "").refused(relay.KindNotFound, "")
	sivi := w.call("POST", "/api/v1/webhooks", strings.Replace(newEndpoint, "{", `{"format":"sivi",`, 1)).is(201).text("id")
	w.call("GET", path+"?endpoint_id="+sivi, "").refused(relay.KindValidation, "endpoint_id")
}

// Whoever has a hundred filters of many clauses and a large event must not keep
// everybody's processor busy by looking at it.
func TestExplainingManyFiltersIsBounded(t *testing.T) {
	w := newWorld(t)
	var clauses []string
	for i := range 60 {
		clauses = append(clauses, fmt.Sprintf(`"f%d":["x"]`, i))
	}
	pattern := "{" + strings.Join(clauses, ",") + "}"
	var unmatched []relay.Unmatched
	for range 20 {
		id := w.call("POST", "/api/v1/webhooks", `{"name":"a","url":"https://example.com/x","event_types":["*"],"filter":`+pattern+`}`).is(201).text("id")
		unmatched = append(unmatched, relay.Unmatched{EndpointID: id, Reason: relay.MismatchFilter})
	}
	w.clock.Advance(time.Second)
	ev := relay.Event{
		ID: "evt_large", Account: w.account, Type: "order.paid", Format: relay.FormatRivya, VerifiedBy: relay.VerifiedByKey, CreatedAt: w.clock.Now(),
		Payload: relay.NewPayload([]byte(`{"text":"` + strings.Repeat("x", 200<<10) + `"}`)),
	}
	if _, err := w.Store.PutEvent(t.Context(), relay.EventRecord{Event: ev, MID: "m", Unmatched: unmatched}); err != nil {
		t.Fatal(err)
	}
	explained := 0
	for _, v := range w.call("GET", "/api/v1/webhook-events/evt_large", "").is(200).at("unmatched").([]any) {
		if v.(map[string]any)["detail"] != nil {
			explained++
		}
	}
	if explained == 0 || explained > 3 {
		t.Errorf("%d of 20 filters were explained, want those for which the budget lasts", explained)
	}
	w.call("POST", "/api/v1/webhooks/"+unmatched[19].EndpointID+"/match", `{"event_id":"evt_large"}`).is(200).equal(map[string]any{"filter.held": false})
}
