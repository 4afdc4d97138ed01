package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
)

func TestAKeyIsShownOnce(t *testing.T) {
	w := newWorld(t)
	a := w.call("POST", "/api/v1/api-keys", `{"name":"CI"}`).is(201)
	text, id := a.text("api_key"), a.text("id")
	a.equal(map[string]any{
		"object": "api_key", "name": "CI", "prefix": text[:12], "scopes": []string{"webhooks:manage"},
		"created_at": relay.FormatTime(w.clock.Now()), "expires_at": nil, "revoked_at": nil,
	})
	for _, path := range []string{"/api/v1/api-keys", "/api/v1/api-keys/" + id} {
		if a := w.call("GET", path, "").is(200); strings.Contains(a.raw, text) || strings.Contains(a.raw, `"api_key":"`) {
			t.Errorf("GET %s shows the key: %s", path, a.raw)
		}
	}
	w.callAs(relay.Secret(text), "POST", "/api/v1/webhooks", newEndpoint).is(201)
	w.clock.Advance(time.Minute)
	revoked := map[string]any{"id": id, "revoked_at": relay.FormatTime(w.clock.Now())}
	w.call("DELETE", "/api/v1/api-keys/"+id, "").is(200).equal(revoked)
	w.callAs(relay.Secret(text), "GET", "/api/v1/webhooks", "").refused(relay.KindKeyRevoked, "")
	w.clock.Advance(time.Minute)
	w.call("DELETE", "/api/v1/api-keys/"+id, "").is(200).equal(revoked)
	w.call("GET", "/api/v1/api-keys/"+id, "").is(200).equal(revoked)
}

func TestAKeyGivesNoMoreThanItHas(t *testing.T) {
	w := newWorld(t)
	_, keys := w.newKey(w.account, relay.ScopeKeys)
	_, both := w.newKey(w.account, relay.ScopeKeys, relay.ScopeManage)
	for _, c := range []struct {
		key    relay.Secret
		scopes string
		given  bool
	}{
		{keys, `["keys:manage"]`, true},
		{keys, `["keys:manage","events:publish"]`, false},
		{keys, `["webhooks:read"]`, false},
		{both, `["webhooks:manage"]`, true},
		{both, `["webhooks:read"]`, true},
		{both, `["sources:manage"]`, false},
		{w.key, `["webhooks:manage","webhooks:read","events:publish","sources:manage","keys:manage"]`, true},
	} {
		a := w.callAs(c.key, "POST", "/api/v1/api-keys", `{"name":"n","scopes":`+c.scopes+`}`)
		if !c.given {
			a.refused(relay.KindScopeDenied, "")
			continue
		}
		a.is(201).equal(map[string]any{"scopes": json.RawMessage(c.scopes)})
	}
	w.callAs(keys, "POST", "/api/v1/api-keys", `{"name":"n"}`).refused(relay.KindScopeDenied, "")
}

func TestKeyFieldsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	now := relay.FormatTime(w.clock.Now())
	for body, param := range map[string]string{
		``:                                    "name",
		`{"name":"x","scopes":[]}`:            "scopes",
		`{"name":"x","scopes":["admin"]}`:     "scopes[0]",
		`{"name":"x","scopes":"keys:manage"}`: "scopes",
		`{"name":"x","expires_at":"` + now + `"}`: "expires_at",
		`{"name":"x","expires_at":1800000000}`:    "expires_at",
		`{"name":"x","api_key":"rvya_sk_mine"}`:   "api_key",
	} {
		w.call("POST", "/api/v1/api-keys", body).refused(relay.KindValidation, param)
	}
	w.call("POST", "/api/v1/api-keys", `{"name":"x","expires_at":null,"scopes":["keys:manage","keys:manage"]}`).is(201).
		equal(map[string]any{"expires_at": nil, "scopes": []string{"keys:manage"}})
}

func TestTheLastKeyThatManagesKeysStays(t *testing.T) {
	w := newWorld(t)
	w.newKey(w.account, relay.ScopeManage)
	w.call("DELETE", "/api/v1/api-keys/"+w.keyID, "").refused(relay.KindLimitExceeded, "")
	// One that expires does not count after that.
	at := w.clock.Now().Add(time.Hour)
	w.call("POST", "/api/v1/api-keys", `{"name":"short","scopes":["keys:manage"],"expires_at":"`+relay.FormatTime(at)+`"}`).is(201)
	w.clock.Set(at)
	w.call("DELETE", "/api/v1/api-keys/"+w.keyID, "").refused(relay.KindLimitExceeded, "")
	second, key := w.newKey(w.account, relay.ScopeKeys)
	w.call("DELETE", "/api/v1/api-keys/"+w.keyID, "").is(200)
	w.callAs(key, "DELETE", "/api/v1/api-keys/"+second, "").refused(relay.KindLimitExceeded, "")
}

func TestTheLimitOfKeys(t *testing.T) {
	w := newWorld(t)
	for i := range 99 {
		w.call("POST", "/api/v1/api-keys", fmt.Sprintf(`{"name":"%d"}`, i)).is(201)
	}
	w.call("POST", "/api/v1/api-keys", `{"name":"x"}`).refused(relay.KindLimitExceeded, "")
}

// Every route is called with every scope alone: it answers api_scope_denied
// unless the scope is its own.
func TestEachRouteAsksForItsScope(t *testing.T) {
	w := newWorld(t)
	for _, scope := range relay.Scopes() {
		_, key := w.newKey(w.account, scope)
		for _, rt := range routes() {
			if rt.scope == "" {
				continue
			}
			allowed := rt.scope == scope || rt.scope == relay.ScopeRead && scope == relay.ScopeManage
			a := w.callAs(key, rt.method, strings.NewReplacer("{id}", "x", "{attempt_id}", "x").Replace(rt.path), "")
			if denied := a.status == 403; denied == allowed {
				t.Errorf("%s %s with %s: %d", rt.method, rt.path, scope, a.status)
			}
			w.callAs("", rt.method, strings.NewReplacer("{id}", "x", "{attempt_id}", "x").Replace(rt.path), "").refused(relay.KindKeyMissing, "")
		}
	}
}
