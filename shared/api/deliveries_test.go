package api

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

func TestAttemptsAreShownAsTheyAreOnRecord(t *testing.T) {
	w := newWorld(t)
	ep := w.createEndpoint()
	path := "/api/v1/webhooks/" + ep + "/deliveries"
	failed := w.record("evt_1", ep, relay.AttemptFailed, 0)
	w.clock.Advance(time.Second)
	skipped := w.record("evt_2", ep, relay.AttemptSkipped, 0)
	w.clock.Advance(time.Second)
	now := w.clock.Now()
	retrying := relay.Attempt{
		ID: relay.AttemptID(w.account, "evt_3", ep, 2, 3, now), Account: w.account, EventID: "evt_3", EventType: "order.paid", EndpointID: ep,
		Run: 2, Number: 3, Status: relay.AttemptFailed, RequestID: "req_3", Duration: 10 * time.Second, ErrorCode: relay.CodeTimeout, ErrorMessage: "No answer within 10 s.",
		DueAt: now, CreatedAt: now, NextAttemptAt: now.Add(time.Hour), MID: "m", EventCreatedAt: now,
	}
	if _, err := w.Store.RecordAttempt(context.Background(), retrying); err != nil {
		t.Fatal(err)
	}
	w.call("GET", path, "").is(200).equal(map[string]any{
		"data.0": map[string]any{
			"id": retrying.ID, "object": "webhook_delivery", "event_id": "evt_3", "event_type": "order.paid", "endpoint_id": ep, "status": "failed",
			"final": false, "http_status": nil, "attempt": 3, "run": 2, "request_id": "req_3", "duration_ms": 10000, "response_snippet": nil,
			"error": map[string]any{"code": "timeout", "message": "No answer within 10 s."}, "created_at": relay.FormatTime(now), "next_attempt_at": relay.FormatTime(now.Add(time.Hour)),
		},
		"data.1.id": skipped.ID, "data.1.status": "skipped", "data.1.error.code": "endpoint_disabled",
		"data.2.id": failed.ID, "data.2.http_status": 500, "data.2.response_snippet": "no", "data.2.next_attempt_at": nil, "data.2.final": true,
	})
	for query, want := range map[string][]string{
		"?status=failed":                   {retrying.ID, failed.ID},
		"?status=skipped":                  {skipped.ID},
		"?status=succeeded":                {},
		"?final=true":                      {skipped.ID, failed.ID},
		"?final=false":                     {retrying.ID},
		"?event_id=evt_1":                  {failed.ID},
		"?status=failed&final=true":        {failed.ID},
		"?event_id=evt_2&final=true":       {skipped.ID},
		"?type=generation.*":               {skipped.ID, failed.ID},
		"?type=order.paid,a.b":             {retrying.ID},
		"?event_id=evt_1&status=succeeded": {},
		"?event_id=evt_1&type=order.paid":  {},
		"?event_id=evt_none":               {},
		"?since=" + relay.FormatTime(now):  {retrying.ID},
		"?until=" + relay.FormatTime(now):  {skipped.ID, failed.ID},
		"?event_id=evt_1&until=" + relay.FormatTime(failed.DueAt): {},
		"?event_id=evt_1&since=" + relay.FormatTime(failed.DueAt): {failed.ID},
	} {
		got := []string{}
		for _, v := range w.call("GET", path+query, "").is(200).at("data").([]any) {
			got = append(got, v.(map[string]any)["id"].(string))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
}

func TestARetryIsANewRunNow(t *testing.T) {
	w := newWorld(t)
	ep := w.createEndpoint()
	a := w.record("evt_1", ep, relay.AttemptFailed, 0)
	path := "/api/v1/webhooks/" + ep + "/deliveries/" + a.ID + "/retry"
	w.clock.Advance(time.Hour)
	now := w.clock.Now()
	for run := 1; run <= 2; run++ {
		r := w.call("POST", path, "").is(202).equal(map[string]any{
			"event_id": "evt_1", "endpoint_id": ep, "run": run, "status": "pending",
			"attempts": 0, "next_attempt_at": relay.FormatTime(now),
		})
		msgs := queued(t, w.retries)
		if len(msgs) != 1 {
			t.Fatalf("queued %+v", msgs)
		}
		m := msgs[0]
		want := relay.Message{
			Kind: relay.MessageAttempt, MID: m.MID, DueAt: now, GiveUpAt: now.Add(relay.GiveUpAfter), Account: w.account,
			Ref: relay.EventRef{Account: w.account, ID: "evt_1", CreatedAt: a.EventCreatedAt}, EndpointID: ep, Run: run, Number: 1,
		}
		if diff := cmp.Diff(want, m); diff != "" {
			t.Errorf("message (-want +got):\n%s", diff)
		}
		if r.text("next_attempt_id") != m.AttemptID() {
			t.Errorf("next_attempt_id is %s, want %s", r.text("next_attempt_id"), m.AttemptID())
		}
	}
	w.call("GET", "/api/v1/webhook-events/evt_1", "").is(200).equal(map[string]any{
		"status":       "pending",
		"deliveries.0": map[string]any{"endpoint_id": ep, "status": "pending", "attempts": 0, "next_attempt_at": relay.FormatTime(now)},
	})
	if len(queued(t, w.events)) != 0 {
		t.Error("a retry is on the events lane")
	}
}

func TestARetryNeedsTheAttemptItNames(t *testing.T) {
	w := newWorld(t)
	ep, other := w.createEndpoint(), w.createEndpoint()
	a := w.record("evt_1", ep, relay.AttemptFailed, 0)
	for _, path := range []string{
		"/api/v1/webhooks/" + other + "/deliveries/" + a.ID + "/retry",
		"/api/v1/webhooks/" + ep + "/deliveries/" + relay.AttemptIDFloor(w.clock.Now()) + "/retry",
		"/api/v1/webhooks/" + ep + "/deliveries/evt_1/retry",
		"/api/v1/webhooks/" + strings.ToUpper(ep) + "/deliveries/" + a.ID + "/retry",
	} {
		w.call("POST", path, "").refused(relay.KindNotFound, "")
	}
	w.call("POST", "/api/v1/webhooks/"+ep+"/deliveries/"+a.ID+"/retry", `{"now":true}`).refused(relay.KindValidation, "now")
	w.call("DELETE", "/api/v1/webhooks/"+ep, "").is(200)
	w.call("POST", "/api/v1/webhooks/"+ep+"/deliveries/"+a.ID+"/retry", "").refused(relay.KindEndpointRevoked, "")
	if msgs := queued(t, w.retries); len(msgs) != 0 {
		t.Errorf("refused calls queued %+v", msgs)
	}
}

// The event goes when its retention ends, whatever the attempt's record says.
func TestARetryOfAnEventThatIsGone(t *testing.T) {
	w := newWorld(t)
	ep := w.createEndpoint()
	now := w.clock.Now()
	a := relay.Attempt{
		ID: relay.AttemptID(w.account, "evt_1", ep, 0, 1, now), Account: w.account, EventID: "evt_1", EndpointID: ep, Number: 1,
		Status: relay.AttemptFailed, Final: true, DueAt: now, CreatedAt: now, EventCreatedAt: now,
	}
	if _, err := w.Store.RecordAttempt(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	w.call("POST", "/api/v1/webhooks/"+ep+"/deliveries/"+a.ID+"/retry", "").refused(relay.KindNotFound, "")
}

func TestARetryThatCouldNotBeQueuedIsFoundByTheRepairWalk(t *testing.T) {
	w := newWorld(t)
	ep := w.createEndpoint()
	a := w.record("evt_1", ep, relay.AttemptFailed, 0)
	w.Retries = unsent{w.Retries}
	w.call("POST", "/api/v1/webhooks/"+ep+"/deliveries/"+a.ID+"/retry", "").refused(relay.KindUnavailable, "")
	late, _, err := w.Store.Overdue(context.Background(), w.clock.Now().Add(time.Second), relay.Page{Limit: 10})
	if err != nil || len(late) != 1 || late[0].Delivery.Run != 1 {
		t.Errorf("overdue: %+v, %v", late, err)
	}
}

func TestTheAttemptsOfOneEventComeInPages(t *testing.T) {
	w := newWorld(t)
	ep := w.createEndpoint()
	var want []string
	due := w.record("evt_1", ep, relay.AttemptSucceeded, 0).DueAt
	for run := 1; run <= 5; run++ {
		w.clock.Advance(time.Minute)
		if _, err := w.Store.StartRun(t.Context(), w.account, "evt_1", ep, string(rune('a'+run)), w.clock.Now()); err != nil {
			t.Fatal(err)
		}
		a := relay.Attempt{
			ID: relay.AttemptID(w.account, "evt_1", ep, run, 1, w.clock.Now()), Account: w.account, EventID: "evt_1", EventType: "generation.succeeded", EndpointID: ep,
			Run: run, Number: 1, Status: relay.AttemptFailed, Final: true, RequestID: "req_1", DueAt: w.clock.Now(), CreatedAt: w.clock.Now(), MID: "m", EventCreatedAt: due,
		}
		if _, err := w.Store.RecordAttempt(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		want = append([]string{a.ID}, want...)
	}
	var got []string
	for cursor := ""; ; {
		page := w.call("GET", "/api/v1/webhooks/"+ep+"/deliveries?limit=2&event_id=evt_1&status=failed&cursor="+cursor, "").is(200)
		for _, v := range page.at("data").([]any) {
			got = append(got, v.(map[string]any)["id"].(string))
		}
		if page.at("has_more") == false {
			break
		}
		cursor = page.text("next_cursor")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}
