package api

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

// The seed's answers, byte for byte but for white space.
const (
	sivi200 = `{"status":200,"body":{"message":"Successfully updated the webhook URL"}}`
	sivi401 = `{"status":401,"body":{"message":"Failed to authenticate request. Please add sivi-api-key header in request"}}`
	sivi422 = `{"status":422,"body":{"message":"Invalid input"}}`
	sivi500 = `{"status":500,"body":{"message":"Server internal error"}}`
)

var siviPaths = []string{"/general/update-webhook", "/api/prod/v2/general/update-webhook", "/api/staging/v2/general/update-webhook"}

// update makes the call as a client of Sivi does, which sends no Content-Type
// that we could rely on.
func (w *world) update(key relay.Secret, path, body string) *reply {
	w.t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Host = "relay.example.org"
	if key != "" {
		r.Header.Set("sivi-api-key", key.Reveal())
	}
	r.Header.Set("Content-Type", "text/plain")
	return w.send(r)
}

func (a *reply) exactly(status int, body string) {
	a.t.Helper()
	if a.status != status || a.raw != body {
		a.t.Errorf("%s: %d %s, want %d %s", a.what, a.status, a.raw, status, body)
	}
}

func (w *world) webhooks() []relay.Endpoint {
	w.t.Helper()
	eps, err := w.Store.LiveEndpoints(context.Background(), w.account)
	if err != nil {
		w.t.Fatal(err)
	}
	return eps
}

func TestUpdateWebhookMakesOneEndpointForAKey(t *testing.T) {
	w := newWorld(t)
	for _, path := range siviPaths {
		w.update(w.key, path, `{"webhookUrl":"https://your-domain.com/webhook"}`).exactly(200, sivi200)
	}
	eps := w.webhooks()
	if len(eps) != 1 {
		t.Fatalf("%d endpoints, want one for the key", len(eps))
	}
	id := eps[0].ID
	w.call("GET", "/api/v1/webhooks/"+id, "").is(200).equal(map[string]any{
		"url": "https://your-domain.com/webhook", "format": "sivi", "status": "active",
		"event_types": []string{"generation.succeeded", "generation.failed", "generation.updated"}, "source_ids": []string{}, "signatures": []string{"rivya"},
	})
	w.clock.Advance(time.Second)
	w.update(w.key, siviPaths[0], `{"webhookUrl":"https://other.example.com/","more":{"x":[1]}}`).exactly(200, sivi200)
	w.call("GET", "/api/v1/webhooks/"+id, "").is(200).equal(map[string]any{"url": "https://other.example.com/", "updated_at": relay.FormatTime(w.clock.Now())})
	// Its secret comes from rotate-secret.
	w.call("POST", "/api/v1/webhooks/"+id+"/rotate-secret", `{"overlap_seconds":0}`).is(200).text("signing_secret")
	if diff := cmp.Diff(1, len(w.webhooks())); diff != "" {
		t.Error(diff)
	}
	for _, want := range []string{`"action":"endpoint.create","object":"` + id, `"action":"endpoint.update_webhook","object":"` + id + `","fields":["url"]`} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the audit has no %s:\n%s", want, w.log)
		}
	}
}

func TestUpdateWebhookJudgesAuthenticationFirst(t *testing.T) {
	w := newWorld(t)
	_, publisher := w.newKey(w.account, relay.ScopePublish, relay.ScopeRead, relay.ScopeKeys)
	ended, endedKey := w.newKey(w.account, relay.ScopeManage)
	w.call("DELETE", "/api/v1/api-keys/"+ended, "").is(200)
	for _, path := range siviPaths {
		for name, key := range map[string]relay.Secret{"none": "", "unknown": relay.NewAPIKey(), "odd": "x", "without the scope": publisher, "revoked": endedKey} {
			for _, body := range []string{`{"webhookUrl":"https://your-domain.com/webhook"}`, `{"webhookUrl":"http://localhost"}`, "", "{", strings.Repeat(" ", relay.MaxPayload+1)} {
				if a := w.update(key, path, body); a.status != 401 || a.raw != sivi401 {
					t.Errorf("%s, key %s, body %.40q: %d %s", path, name, body, a.status, a.raw)
				}
			}
		}
	}
	// A Bearer key is none of Sivi's.
	w.call("POST", siviPaths[0], `{"webhookUrl":"https://your-domain.com/webhook"}`).exactly(401, sivi401)
	if n := len(w.webhooks()); n != 0 {
		t.Errorf("%d endpoints were made", n)
	}
}

func TestUpdateWebhookRefusesWrongInput(t *testing.T) {
	w := newWorld(t)
	for _, body := range []string{
		"", " ", "{", "null", "[]", `"https://a.example.com"`, "{}", `{"webhookUrl":null}`, `{"webhookUrl":7}`, `{"webhookUrl":""}`,
		`{"webhookUrl":["https://a.example.com"]}`, `{"webhookurl":"https://a.example.com"}`, `{"webhookUrl":"http://a.example.com"}`,
		`{"webhookUrl":"https://127.0.0.1/"}`, `{"webhookUrl":"https://u:p@a.example.com/"}`, `{"webhookUrl":"not a url"}`,
		`{"webhookUrl":"https://a.example.com"}{}`, `{"webhookUrl":"https://a.example.com","webhookUrl":"https://b.example.com"}`,
		`{"webhookUrl":"https://a.example.com","x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`,
		"{\"webhookUrl\":\"https://a.example.com/\xff\"}",
		`{"webhookUrl":"https://a.example.com","x":"` + strings.Repeat("x", relay.MaxPayload) + `"}`,
	} {
		if a := w.update(w.key, siviPaths[0], body); a.status != 422 || a.raw != sivi422 {
			t.Errorf("body %.60q: %d %s", body, a.status, a.raw)
		}
	}
	w.EndpointLimit = 1
	w.createEndpoint()
	w.update(w.key, siviPaths[0], `{"webhookUrl":"https://a.example.com"}`).exactly(422, sivi422)
}

func TestUpdateWebhookWhenTheStoreFails(t *testing.T) {
	w, b := newBroken(t)
	for _, op := range []string{"KeyByHash", "LiveEndpoints"} {
		b.fail[op] = errDown
		w.update(w.key, siviPaths[0], `{"webhookUrl":"https://a.example.com"}`).exactly(500, sivi500)
		delete(b.fail, op)
	}
	w.update(w.key, siviPaths[0], `{"webhookUrl":"https://a.example.com"}`).exactly(200, sivi200)
	if strings.Contains(w.log.String(), w.key.Reveal()) {
		t.Error("the log has the key")
	}
}

func TestUpdateWebhookAfterADelete(t *testing.T) {
	w := newWorld(t)
	w.update(w.key, siviPaths[0], `{"webhookUrl":"https://a.example.com"}`).exactly(200, sivi200)
	first := w.webhooks()[0].ID
	w.call("DELETE", "/api/v1/webhooks/"+first, "").is(200)
	w.update(w.key, siviPaths[0], `{"webhookUrl":"https://a.example.com"}`).exactly(200, sivi200)
	if eps := w.webhooks(); len(eps) != 1 || eps[0].ID == first {
		t.Errorf("live: %+v", eps)
	}
	w.call("GET", "/api/v1/webhooks/"+first, "").is(200).equal(map[string]any{"status": "disabled"})
}

func TestUpdateWebhookTakesOverFromARevokedKey(t *testing.T) {
	w := newWorld(t)
	const body = `{"webhookUrl":"https://a.example.com/hook"}`
	oldID, old := w.newKey(w.account, relay.ScopeManage)
	w.update(old, siviPaths[0], body).exactly(200, sivi200)
	first := w.webhooks()[0]

	// While the old key lives, another has an endpoint of its own.
	_, other := w.newKey(w.account, relay.ScopeManage)
	w.update(other, siviPaths[0], body).exactly(200, sivi200)
	if n := len(w.webhooks()); n != 2 {
		t.Fatalf("%d endpoints, want one for each key", n)
	}
	w.call("DELETE", "/api/v1/api-keys/"+oldID, "").is(200)
	newID, fresh := w.newKey(w.account, relay.ScopeManage)
	w.update(fresh, siviPaths[0], `{"webhookUrl":"https://elsewhere.example.com"}`).exactly(200, sivi200)
	if got := w.stored(first.ID); got.KeyID != oldID {
		t.Error("another URL took the endpoint over")
	}
	newID2, fresh2 := w.newKey(w.account, relay.ScopeManage)
	w.update(fresh2, siviPaths[0], body).exactly(200, sivi200)
	if got := w.stored(first.ID); got.KeyID != newID2 || got.Secret != first.Secret {
		t.Errorf("the endpoint belongs to %s, want %s (not %s)", got.KeyID, newID2, newID)
	}
	if n := len(w.webhooks()); n != 3 {
		t.Errorf("%d endpoints, want 3", n)
	}
	// Not from another account.
	account, _, foreign := w.newAccount("second")
	w.call("DELETE", "/api/v1/api-keys/"+newID2, "").is(200)
	w.update(foreign, siviPaths[0], body).exactly(200, sivi200)
	if eps, err := w.Store.LiveEndpoints(context.Background(), account); err != nil || len(eps) != 1 || w.stored(first.ID).KeyID != newID2 {
		t.Errorf("the other account has %v, %v", eps, err)
	}
}

func TestUpdateWebhookWakesWhatHookferryDisabled(t *testing.T) {
	for reason, want := range map[relay.DisabledReason]string{relay.DisabledGone: "active", relay.DisabledFailing: "active", relay.DisabledManual: "disabled"} {
		w := newWorld(t)
		w.update(w.key, siviPaths[0], `{"webhookUrl":"https://a.example.com"}`).exactly(200, sivi200)
		ep := w.webhooks()[0]
		ep.Disable(reason, w.clock.Now())
		if err := w.Store.UpdateEndpoint(context.Background(), ep); err != nil {
			t.Fatal(err)
		}
		w.update(w.key, siviPaths[0], `{"webhookUrl":"https://b.example.com"}`).exactly(200, sivi200)
		w.call("GET", "/api/v1/webhooks/"+ep.ID, "").is(200).equal(map[string]any{"status": want, "url": "https://b.example.com"})
	}
}

func TestConcurrentUpdateWebhookCallsMakeOneEndpoint(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if a := w.update(w.key, siviPaths[0], `{"webhookUrl":"https://a.example.com"}`); a.status != 200 {
				t.Errorf("%d %s", a.status, a.raw)
			}
		})
	}
	wg.Wait()
	if n := len(w.webhooks()); n != 1 {
		t.Errorf("%d endpoints", n)
	}
}
