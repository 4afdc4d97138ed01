package api

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// linked returns the key that a portal link carries.
func linked(t *testing.T, a *reply) relay.Secret {
	t.Helper()
	u, err := url.Parse(a.text("url"))
	if err != nil || u.RawQuery != "" || u.Path != "/console" {
		t.Fatalf("url %q", a.text("url"))
	}
	key, ok := strings.CutPrefix(u.Fragment, "key=")
	if !ok {
		t.Fatalf("url %q", a.text("url"))
	}
	return relay.Secret(key)
}

func TestAPortalLinkOpensTheConsoleForAWhile(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.PublicURL = "https://hooks.example.com/" })
	a := w.call("POST", "/api/v1/portal-links", "").is(201).equal(map[string]any{
		"object": "portal_link", "expires_at": relay.FormatTime(w.clock.Now().Add(15 * time.Minute)),
	})
	if !strings.HasPrefix(a.text("url"), "https://hooks.example.com/console#key=rvya_sk_") {
		t.Errorf("url %q", a.text("url"))
	}
	key := linked(t, a)
	ep := w.callAs(key, "POST", "/api/v1/webhooks", newEndpoint).is(201).text("id")
	w.callAs(key, "GET", "/api/v1/webhooks/"+ep, "").is(200)
	for _, path := range []string{"/api/v1/api-keys", "/api/v1/sources"} {
		w.callAs(key, "GET", path, "").refused(relay.KindScopeDenied, "")
	}
	w.callAs(key, "POST", "/api/v1/portal-links", "").refused(relay.KindScopeDenied, "")
	r := w.request("", "POST", "/general/update-webhook", `{"webhookUrl":"https://example.com/sivi"}`)
	r.Header.Set("sivi-api-key", key.Reveal())
	w.send(r).is(401)
	// It is neither listed nor counted.
	if n := w.counted("/api/v1/api-keys"); n != 1 {
		t.Errorf("%d keys are listed", n)
	}
	if strings.Contains(w.log.String(), key.Reveal()) {
		t.Error("the log has the key")
	}
	w.clock.Advance(15 * time.Minute)
	w.callAs(key, "GET", "/api/v1/webhooks", "").refused(relay.KindKeyExpired, "")
}

func TestAPortalLinkGivesNoMoreThanItsMakerHas(t *testing.T) {
	w := newWorld(t)
	make := func(key relay.Secret, body string) *reply { return w.callAs(key, "POST", "/api/v1/portal-links", body) }
	key := linked(t, make(w.key, `{"expires_in":60,"scopes":["webhooks:read"]}`).is(201))
	w.callAs(key, "GET", "/api/v1/webhooks", "").is(200)
	w.callAs(key, "POST", "/api/v1/webhooks", newEndpoint).refused(relay.KindScopeDenied, "")

	_, keysOnly := w.newKey(w.account, relay.ScopeKeys)
	make(keysOnly, "").refused(relay.KindScopeDenied, "")
	_, reader := w.newKey(w.account, relay.ScopeKeys, relay.ScopeRead)
	make(reader, `{"scopes":["webhooks:manage"]}`).refused(relay.KindScopeDenied, "")
	make(reader, `{"scopes":["webhooks:read"]}`).is(201)
	_, manager := w.newKey(w.account, relay.ScopeManage)
	make(manager, "").refused(relay.KindScopeDenied, "")
	for body, param := range map[string]string{
		`{"scopes":["keys:manage"]}`: "scopes[0]", `{"scopes":["accounts:manage"]}`: "scopes[0]", `{"scopes":[]}`: "scopes",
		`{"expires_in":59}`: "expires_in", `{"expires_in":86401}`: "expires_in", `{"expires_in":null}`: "expires_in", `{"name":"x"}`: "name",
	} {
		make(w.key, body).refused(relay.KindValidation, param)
	}
}

func TestAPortalLinkEndsWithItsMaker(t *testing.T) {
	w := newWorld(t)
	ends := relay.FormatTime(w.clock.Now().Add(2 * time.Minute))
	maker := w.call("POST", "/api/v1/api-keys", `{"name":"m","scopes":["keys:manage","webhooks:manage"],"expires_at":"`+ends+`"}`).is(201)
	link := w.callAs(relay.Secret(maker.text("api_key")), "POST", "/api/v1/portal-links", `{"expires_in":86400}`).is(201)
	link.equal(map[string]any{"expires_at": ends})
	w.callAs(linked(t, link), "GET", "/api/v1/webhooks", "").is(200)
	w.call("DELETE", "/api/v1/api-keys/"+maker.text("id"), "").is(200)
	w.callAs(linked(t, link), "GET", "/api/v1/webhooks", "").refused(relay.KindKeyRevoked, "")
	w.callAs(relay.Secret(maker.text("api_key")), "POST", "/api/v1/portal-links", "").refused(relay.KindKeyRevoked, "")
}

func TestALinkIsShownOnce(t *testing.T) {
	w := newWorld(t)
	first := w.send(w.keyed(w.key, "/api/v1/portal-links", "", "k")).is(201)
	again := w.send(w.keyed(w.key, "/api/v1/portal-links", "", "k")).is(201)
	if again.at("url") != nil || again.text("notice") == "" || again.text("expires_at") != first.text("expires_at") {
		t.Errorf("again: %s", again.raw)
	}
}

func TestTheOperatorMakesAccounts(t *testing.T) {
	w := newWorld(t)
	a := w.call("POST", "/api/v1/accounts", `{"name":"Žluť & sons"}`).is(201).equal(map[string]any{
		"object": "account", "name": "Žluť & sons", "key.object": "api_key", "key.created_by": nil, "key.expires_at": nil,
	})
	key := relay.Secret(a.text("key.api_key"))
	w.callAs(key, "GET", "/api/v1/webhooks", "").is(200).equal(map[string]any{"data": []any{}})
	w.callAs(key, "GET", "/api/v1/api-keys/"+a.text("key.id"), "").is(200)
	w.callAs(linked(t, w.callAs(key, "POST", "/api/v1/portal-links", "").is(201)), "GET", "/api/v1/webhooks", "").is(200)
	// The owner of an account is no operator, and no key becomes one.
	w.callAs(key, "POST", "/api/v1/accounts", `{"name":"another"}`).refused(relay.KindScopeDenied, "")
	if slices.Contains(a.at("key.scopes").([]any), any("accounts:manage")) {
		t.Error("the first key is an operator's")
	}
	for _, as := range []relay.Secret{key, w.key} {
		w.callAs(as, "POST", "/api/v1/api-keys", `{"name":"k","scopes":["accounts:manage"]}`).refused(relay.KindValidation, "scopes[0]")
	}
	w.call("POST", "/api/v1/accounts", `{"name":"Žluť & sons"}`).refused(relay.KindValidation, "name")
	for _, bad := range []string{`{}`, `{"name":" a"}`, `{"name":""}`, `{"name":"a\u0007"}`} {
		w.call("POST", "/api/v1/accounts", bad).refused(relay.KindValidation, "name")
	}
	again := w.send(w.keyed(w.key, "/api/v1/accounts", `{"name":"third"}`, "k")).is(201)
	repeated := w.send(w.keyed(w.key, "/api/v1/accounts", `{"name":"third"}`, "k")).is(201)
	if repeated.text("id") != again.text("id") || repeated.text("key.id") != again.text("key.id") || repeated.at("key.api_key") != nil || repeated.text("key.notice") == "" {
		t.Errorf("again: %s", repeated.raw)
	}
	w.send(w.keyed(w.key, "/api/v1/accounts", `{"name":"Žluť & sons"}`, "l")).refused(relay.KindValidation, "name")
	if strings.Contains(w.log.String(), key.Reveal()) {
		t.Error("the log has the key")
	}
}
