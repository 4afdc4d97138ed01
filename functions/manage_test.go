package functions

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

func TestAnEndpointIsMadeRotatedTestedAndReadThroughTheBuiltAPI(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	dest := newDestination(t, nil)
	id, old := s.endpoint(t, "one", dest.URL+"/hook", "generation.succeeded")
	ep := s.must(t, 200, "GET", "/api/v1/webhooks/"+id, nil)
	if _, shown := ep["signing_secret"]; shown || ep["status"] != "active" || ep["secret_preview"] != old.Preview() {
		t.Errorf("got %v", ep)
	}
	rotated := s.must(t, 200, "POST", "/api/v1/webhooks/"+id+"/rotate-secret", map[string]any{"overlap_seconds": 600})
	current := relay.Secret(rotated["signing_secret"].(string))
	if current == old {
		t.Error("the secret is still the old one")
	}
	test := s.must(t, 202, "POST", "/api/v1/webhooks/"+id+"/test", nil)
	s.accept(t, "evt_1")
	s.until(t, 15*time.Second, func() string { return s.is(t, "delivered", "evt_1", test["id"].(string)) })
	for _, event := range []string{"evt_1", test["id"].(string)} {
		posts := dest.posts(event)
		if len(posts) != 1 {
			t.Fatalf("%s: %d calls, want 1", event, len(posts))
		}
		p := posts[0]
		signatures := strings.Split(p.header.Get("Rivya-Webhook-Signature"), ",")
		if len(signatures) != 2 {
			t.Fatalf("%s: %d signatures during a rotation, want 2", event, len(signatures))
		}
		for i, key := range []relay.Secret{current, old} { // in an odd attempt the new one is first
			if err := signature.VerifyRivya(signatures[i], p.header.Get("Rivya-Webhook-Timestamp"), []byte(p.body), time.Now(), key); err != nil {
				t.Errorf("%s: signature %d: %v", event, i+1, err)
			}
		}
	}

	list := s.must(t, 200, "GET", "/api/v1/webhooks/"+id+"/deliveries?limit=1", nil)
	data, _ := list["data"].([]any)
	if list["object"] != "list" || len(data) != 1 || list["has_more"] != true {
		t.Fatalf("got %v", list)
	}
	rest := s.must(t, 200, "GET", "/api/v1/webhooks/"+id+"/deliveries?limit=1&cursor="+list["next_cursor"].(string), nil)
	if data = append(data, rest["data"].([]any)...); len(data) != 2 || rest["has_more"] != false {
		t.Fatalf("got %v", rest)
	}
	seen := map[any]bool{}
	for _, item := range data {
		d := item.(map[string]any)
		seen[d["event_id"]] = true
		if d["object"] != "webhook_delivery" || d["status"] != "succeeded" || d["final"] != true || d["http_status"] != 200.0 || d["attempt"] != 1.0 ||
			d["endpoint_id"] != id || d["error"] != nil || d["request_id"] != dest.posts(d["event_id"].(string))[0].header.Get("Rivya-Request-Id") {
			t.Errorf("got %v", d)
		}
	}
	if !seen["evt_1"] || !seen[test["id"]] {
		t.Errorf("listed: %v", seen)
	}
	s.must(t, 404, "GET", "/api/v1/webhooks/"+webhook+"/deliveries", nil) // another tenant's
	s.must(t, 200, "DELETE", "/api/v1/webhooks/"+id, nil)
	s.must(t, 409, "POST", "/api/v1/webhooks/"+id+"/test", nil)
}

// TestUpdateWebhookAnswersAsSiviDoes: to the letter, and what it makes is
// delivered to.
func TestUpdateWebhookAnswersAsSiviDoes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	dest := newDestination(t, nil)
	update := func(path, key, body string) (int, string) {
		headers := map[string]string{"sivi-api-key": key, "content-type": "text/plain"}
		resp := gatewayAnswer(t, s.api.invoke(t, call("POST", path, body, headers), 20*time.Second))
		return resp.StatusCode, resp.Body
	}
	valid := fmt.Sprintf(`{"webhookUrl":%q,"else":1}`, dest.URL+"/sivi")
	for _, c := range []struct {
		path, key, body string
		status          int
		answer          string
	}{
		{"/general/update-webhook", s.key.Reveal(), valid, 200, `{"status":200,"body":{"message":"Successfully updated the webhook URL"}}`},
		{"/api/prod/v2/general/update-webhook", s.key.Reveal(), valid, 200, `{"status":200,"body":{"message":"Successfully updated the webhook URL"}}`},
		{
			"/api/staging/v2/general/update-webhook", "rvya_sk_wrong", valid, 401,
			`{"status":401,"body":{"message":"Failed to authenticate request. Please add sivi-api-key header in request"}}`,
		},
		{"/general/update-webhook", s.key.Reveal(), `{"webhookUrl":"ftp://x"}`, 422, `{"status":422,"body":{"message":"Invalid input"}}`},
	} {
		if status, answer := update(c.path, c.key, c.body); status != c.status || answer != c.answer {
			t.Errorf("%s %s: got %d %s, want %d %s", c.path, c.body, status, answer, c.status, c.answer)
		}
	}
	list := s.must(t, 200, "GET", "/api/v1/webhooks", nil)["data"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["format"] != "sivi" {
		t.Fatalf("endpoints: %v, want one in format sivi", list)
	}

	src := s.must(t, 201, "POST", "/api/v1/sources", map[string]any{"name": "sivi", "provider": "sivi"})
	_, path, _ := strings.Cut(strings.TrimPrefix(src["ingest_url"].(string), "https://"), "/")
	const siviCall = `{"status":200,"body":{"status":"complete", "requestId":"sbhMkIZKCPp","result":{"variations":[]}}}`
	resp := gatewayAnswer(t, s.receiver.invoke(t, call("POST", "/"+path, siviCall, map[string]string{"content-type": "application/json"}), 10*time.Second))
	var answer struct{ ID string }
	if err := json.Unmarshal([]byte(resp.Body), &answer); err != nil || resp.StatusCode != 200 || answer.ID == "" {
		t.Fatalf("the Sivi call: got %d %s", resp.StatusCode, resp.Body)
	}
	s.until(t, 10*time.Second, func() string { return s.is(t, "delivered", answer.ID) })
	if posts := dest.posts(""); len(posts) != 1 || posts[0].body != siviCall || posts[0].path != "/sivi" {
		t.Errorf("calls of the destination: %+v", posts)
	}
}
