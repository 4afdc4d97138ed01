package api

import (
	"strings"
	"testing"

	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

// Whoever receives looks the keys up without a key of the API, and learns nothing
// about which endpoints there are.
func TestPublicKeysAreForEverybody(t *testing.T) {
	w := newWorld(t)
	id := w.createEndpoint()
	other := "whend_" + strings.Repeat("x", 26)
	path := "/.well-known/webhook-keys.json?endpoint_id="
	a := w.callAs("", "GET", path+id, "").is(200)
	pair := signature.EndpointKeys(w.Keys, id)[0]
	a.equal(map[string]any{"keys.0.whpk": pair.Public(), "keys.0.kid": pair.ID, "keys.0.crv": "Ed25519"})
	b := w.callAs("", "GET", path+other, "").is(200)
	if a.text("keys.0.whpk") == b.text("keys.0.whpk") {
		t.Error("two endpoints have one key")
	}
	for _, wrong := range []string{"", "x", "src_" + strings.Repeat("x", 26), "whend_", "whend_" + strings.Repeat("x", 200)} {
		w.callAs("", "GET", path+wrong, "").refused(relay.KindValidation, "endpoint_id")
	}
	w.callAs("", "GET", "/.well-known/webhook-keys.json", "").refused(relay.KindValidation, "endpoint_id")
	w.call("PATCH", "/api/v1/webhooks/"+id, `{"signatures":["standard-ed25519"]}`).refused(relay.KindValidation, "signatures")
	w.call("PATCH", "/api/v1/webhooks/"+id, `{"signatures":["rivya","standard-ed25519"]}`).is(200).equal(map[string]any{"signatures.1": "standard-ed25519"})
}
