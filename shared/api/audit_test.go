package api

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

func TestEveryManagementWriteIsAudited(t *testing.T) {
	w := newWorld(t)
	ep := w.createEndpoint()
	attempt := w.record("evt_1", ep, relay.AttemptFailed, 0).ID
	src := w.call("POST", "/api/v1/sources", `{"provider":"sivi","name":"s","sivi_api_key":"k"}`).is(201).text("id")
	key := w.call("POST", "/api/v1/api-keys", `{"name":"k"}`).is(201).text("id")
	replay := w.call("POST", "/api/v1/webhooks/"+ep+"/replay", `{"since":"2026-05-10T00:00:00Z"}`).is(202).text("id")
	type line struct {
		Msg, Level, Account, Key, Action, Object string
		RequestID                                string `json:"request_id"`
		Fields                                   []string
	}
	const hidden = "a key that no answer names"
	writes := map[string]bool{}
	for _, c := range []struct {
		method, path, body string
		status             int
		action, object     string // object empty: the id of the answer
		fields             []string
	}{
		{"POST", "/api/v1/webhooks", newEndpoint, 201, "endpoint.create", "", []string{"name", "url", "event_types"}},
		{"POST", "/api/v1/webhooks/" + ep + "/deliver", `{"event_id":"evt_1"}`, 202, "event.deliver", ep, []string{"event_id"}},
		{"PATCH", "/api/v1/webhooks/" + ep, `{"name":"x","status":"disabled"}`, 200, "endpoint.update", ep, []string{"name", "status"}},
		{"POST", "/api/v1/webhooks/" + ep + "/rotate-secret", "", 200, "endpoint.rotate_secret", ep, []string{"signing_secret", "overlap_seconds"}},
		{"POST", "/api/v1/webhooks/" + ep + "/test", "", 202, "endpoint.test", ep, nil},
		{"POST", "/api/v1/webhooks/" + ep + "/deliveries/" + attempt + "/retry", "", 202, "delivery.retry", attempt, nil},
		{"POST", "/api/v1/webhooks/" + ep + "/replay", `{"since":"2026-05-10T00:00:00Z","max_per_second":1}`, 202, "replay.create", "", []string{"since", "max_per_second"}},
		{"DELETE", "/api/v1/replays/" + replay, "", 200, "replay.cancel", replay, []string{"status"}},
		{"DELETE", "/api/v1/webhooks/" + ep, "", 200, "endpoint.delete", ep, []string{"status", "disabled_at", "revoked_at"}},
		{"POST", "/api/v1/api-keys", `{"name":"n"}`, 201, "key.create", "", []string{"name", "scopes"}},
		{"POST", "/api/v1/portal-links", `{"scopes":["webhooks:read"]}`, 201, "portal_link.create", hidden, []string{"scopes"}},
		{"POST", "/api/v1/accounts", `{"name":"customer"}`, 201, "account.create", "", []string{"name"}},
		{"DELETE", "/api/v1/api-keys/" + key, "", 200, "key.delete", key, []string{"revoked_at"}},
		{"POST", "/api/v1/sources", `{"provider":"rivya","name":"r","signing_secret":"12345678"}`, 201, "source.create", "", []string{"provider", "name", "signing_secret"}},
		{"PATCH", "/api/v1/sources/" + src, `{"sivi_api_key":"k2","confirm":"prefer"}`, 200, "source.update", src, []string{"confirm", "sivi_api_key"}},
		{"POST", "/api/v1/sources/" + src + "/rotate-token", "", 200, "source.rotate_token", src, []string{"token", "overlap_seconds"}},
		{"POST", "/api/v1/sources/" + src + "/expect", `{"request_ids":["a"]}`, 202, "source.expect", src, []string{"request_ids"}},
		{"DELETE", "/api/v1/sources/" + src + "/expect", `{"request_ids":["a"]}`, 200, "source.unexpect", src, []string{"request_ids"}},
		{"DELETE", "/api/v1/sources/" + src, "", 200, "source.delete", src, nil},
	} {
		w.log.Reset()
		r := w.request(w.key, c.method, c.path, c.body)
		a := w.send(r).is(c.status)
		if c.object == "" {
			c.object = a.text("id")
		}
		var got []line
		for _, text := range strings.Split(strings.TrimSpace(w.log.String()), "\n") {
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatal(err)
			}
			if l.Msg == "audit" {
				got = append(got, l)
			}
		}
		if c.object == hidden && len(got) == 1 && validID(relay.KeyPrefix, got[0].Object) {
			c.object = got[0].Object
		}
		want := []line{{
			Msg: "audit", Level: "INFO", Account: w.account, Key: w.keyID, Action: c.action, Object: c.object,
			RequestID: a.header.Get("X-Request-Id"), Fields: c.fields,
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", a.what, diff)
		}
		_, pattern := document(t).mux.Handler(r)
		writes[pattern] = true
	}
	writes["POST /api/v1/webhooks/{id}/match"] = true // it writes nothing
	for _, rt := range routes() {
		if pattern := rt.method + " " + rt.path; rt.method != "GET" && rt.scope != "" && rt.scope != relay.ScopePublish && !writes[pattern] {
			t.Errorf("%s is not tried", pattern)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	w := newWorld(b)
	w.Log, w.Audit = nil, nil
	h := w.handler()
	body := `{"type":"order.paid","data":{"text":"` + strings.Repeat("some words of an order, ", 40) + `"}}`
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, w.request(w.key, "POST", "/api/v1/webhook-events", body))
		if rec.Code != 202 {
			b.Fatal(rec.Body)
		}
	}
}
