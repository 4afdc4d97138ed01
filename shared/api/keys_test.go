package api

import (
	"context"
	"encoding/json"
	"errors"
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
	// One that expires does not count.
	at := w.clock.Now().Add(time.Hour)
	w.call("POST", "/api/v1/api-keys", `{"name":"short","scopes":["keys:manage"],"expires_at":"`+relay.FormatTime(at)+`"}`).is(201)
	w.call("DELETE", "/api/v1/api-keys/"+w.keyID, "").refused(relay.KindLimitExceeded, "")
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
	for _, scope := range append(relay.Scopes(), relay.ScopeAccounts) {
		_, key := w.newKey(w.account, scope)
		for _, rt := range routes() {
			if rt.scope == "" {
				continue
			}
			allowed := rt.scope == anyScope || rt.scope == scope || rt.scope == relay.ScopeRead && scope == relay.ScopeManage
			a := w.callAs(key, rt.method, strings.NewReplacer("{id}", "x", "{attempt_id}", "x").Replace(rt.path), "")
			// A portal link needs what it gives besides.
			if denied := a.status == 403 && !strings.Contains(a.raw, "can give only"); denied == allowed {
				t.Errorf("%s %s with %s: %d", rt.method, rt.path, scope, a.status)
			}
			w.callAs("", rt.method, strings.NewReplacer("{id}", "x", "{attempt_id}", "x").Replace(rt.path), "").refused(relay.KindKeyMissing, "")
		}
	}
}

func TestAKeyReadsItselfWhateverItsScopes(t *testing.T) {
	w := newWorld(t)
	for _, scope := range relay.Scopes() {
		id, key := w.newKey(w.account, scope)
		a := w.callAs(key, "GET", "/api/v1/current-key", "").is(200)
		a.equal(map[string]any{"id": id, "object": "api_key", "scopes": []string{string(scope)}, "expires_at": nil})
		if strings.Contains(a.raw, key.Reveal()) {
			t.Errorf("the answer shows the key: %s", a.raw)
		}
	}
	w.callAs("rvya_sk_unknown", "GET", "/api/v1/current-key", "").refused(relay.KindKeyInvalid, "")
}

// made makes a key with a key.
func (w *world) made(by relay.Secret, rest string) (id string, key relay.Secret) {
	w.t.Helper()
	a := w.callAs(by, "POST", "/api/v1/api-keys", `{"name":"n","scopes":["keys:manage"]`+rest+`}`).is(201)
	return a.text("id"), relay.Secret(a.text("api_key"))
}

func TestAKeyNeverOutlivesItsMaker(t *testing.T) {
	w := newWorld(t)
	at := func(d time.Duration) string { return relay.FormatTime(w.clock.Now().Add(d)) }
	maker, key := w.made(w.key, `,"expires_at":"`+at(15*time.Second)+`"`)
	for given, want := range map[string]string{
		"":                                      at(15 * time.Second),
		`,"expires_at":null`:                    at(15 * time.Second),
		`,"expires_at":"` + at(time.Hour) + `"`: at(15 * time.Second),
		`,"expires_at":"` + at(5*time.Second) + `"`:  at(5 * time.Second),
		`,"expires_at":"` + at(15*time.Second) + `"`: at(15 * time.Second),
	} {
		id, _ := w.made(key, given)
		w.call("GET", "/api/v1/api-keys/"+id, "").is(200).equal(map[string]any{"expires_at": want, "created_by": maker})
	}
	w.call("GET", "/api/v1/api-keys/"+maker, "").is(200).equal(map[string]any{"created_by": w.keyID})
}

func TestACascadeEndsAllThatDescends(t *testing.T) {
	w := newWorld(t)
	one, key1 := w.made(w.key, "")
	two, key2 := w.made(key1, "")
	three, key3 := w.made(key2, "")
	other, otherKey := w.made(w.key, "")

	w.callAs(key3, "DELETE", "/api/v1/api-keys/"+one+"?cascade=true", "").refused(relay.KindScopeDenied, "")
	w.callAs(key3, "DELETE", "/api/v1/api-keys/"+two, "").refused(relay.KindScopeDenied, "")
	w.call("DELETE", "/api/v1/api-keys/"+one+"?cascade=maybe", "").refused(relay.KindValidation, "cascade")
	w.call("DELETE", "/api/v1/api-keys/"+w.keyID+"?cascade=true", "").refused(relay.KindLimitExceeded, "")
	for _, key := range []relay.Secret{key1, key2, key3, otherKey, w.key} {
		w.callAs(key, "GET", "/api/v1/api-keys", "").is(200) // nothing was half done
	}
	for range 2 {
		w.call("DELETE", "/api/v1/api-keys/"+one+"?cascade=true", "").is(200)
		for _, key := range []relay.Secret{key1, key2, key3} {
			w.callAs(key, "GET", "/api/v1/api-keys", "").refused(relay.KindKeyRevoked, "")
		}
		w.callAs(otherKey, "GET", "/api/v1/api-keys/"+other, "").is(200).equal(map[string]any{"revoked_at": nil})
		w.call("GET", "/api/v1/api-keys/"+three, "").is(200).equal(map[string]any{"created_by": two})
	}
}

func TestKeysMakeKeysFiveDeep(t *testing.T) {
	w := newWorld(t)
	key := w.key
	for range relay.MaxAncestors {
		_, key = w.made(key, "")
	}
	w.callAs(key, "POST", "/api/v1/api-keys", `{"name":"n","scopes":["keys:manage"]}`).refused(relay.KindValidation, "")
}

// noCounters is a store whose counters cannot be read.
type noCounters struct{ relay.Store }

func (noCounters) Counters(context.Context, ...string) (map[string]relay.Counters, error) {
	return nil, errors.New("throttled")
}

func TestNothingIsChangedByACallThatCannotBeAnswered(t *testing.T) {
	w := newWorld(t)
	id := w.createEndpoint()
	before := w.stored(id)
	w.Store = noCounters{w.Store}
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/rotate-secret", ""}, {"PATCH", "", `{"name":"other"}`}, {"DELETE", "", ""},
	} {
		if a := w.call(c.method, "/api/v1/webhooks/"+id+c.path, c.body); a.status != 503 {
			t.Errorf("%s %s: %d", c.method, c.path, a.status)
		}
		if after := w.stored(id); after.Version != before.Version {
			t.Errorf("%s %s failed, and changed the endpoint", c.method, c.path)
		}
	}
}
