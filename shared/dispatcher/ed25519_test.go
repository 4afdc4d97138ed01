package dispatcher_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"hookferry/shared/recipe"
	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

// verified says what a source of Standard Webhooks says of a delivery, which is
// what any receiver would.
func verified(t *testing.T, c call, at time.Time, keys ...string) error {
	t.Helper()
	standard, err := recipe.Standard([]byte(`{"type":"x.{/id}"}`))
	if err != nil {
		t.Fatal(err)
	}
	var secrets []relay.Secret
	for _, k := range keys {
		secrets = append(secrets, relay.Secret(k))
	}
	_, err = standard.Verify(recipe.Request{Header: c.header, Body: []byte(c.body)}, at, secrets...)
	return err
}

// A receiver of an endpoint that asks for it needs no secret. What was signed for
// one endpoint proves nothing to another, and a rotation breaks nobody who still
// has the old key.
func TestAnAsymmetricSignatureNeedsNoSecret(t *testing.T) {
	r := newRig(t)
	asks := func(more ...relay.Scheme) func(*relay.Endpoint) {
		return func(ep *relay.Endpoint) { ep.Signatures = append(ep.Signatures, more...) }
	}
	a := r.endpoint("a", asks(relay.SchemeStandardEd25519))
	b := r.endpoint("b", asks(relay.SchemeStandard, relay.SchemeStandardEd25519))
	r.endpoint("c")
	key := func(ep relay.Endpoint) string { return signature.EndpointKeys(r.keys, ep.ID)[0].Public() }
	oldA, oldB := key(a), key(b)
	deliver := func(event string) map[string]call {
		r.dest.calls = nil
		r.accept(event)
		r.settleNow()
		got := map[string]call{}
		for _, c := range r.dest.calls {
			got[c.name] = c
		}
		return got
	}
	got := deliver("evt1")
	if err := verified(t, got["a"], r.clock.Now(), oldA); err != nil {
		t.Errorf("a: %v", err)
	}
	for _, k := range []string{oldB, secretOf("b").Reveal()} {
		if err := verified(t, got["b"], r.clock.Now(), k); err != nil {
			t.Errorf("b: %v", err)
		}
	}
	if err := verified(t, got["b"], r.clock.Now(), oldA); !errors.Is(err, recipe.ErrMismatch) {
		t.Errorf("b's delivery under a's key: %v", err)
	}
	if got["c"].header.Get("Webhook-Signature") != "" || strings.Contains(got["a"].header.Get("Webhook-Signature"), "v1,") {
		t.Errorf("c has %q, a %q", got["c"].header.Get("Webhook-Signature"), got["a"].header.Get("Webhook-Signature"))
	}
	attempts, _, err := r.store.Attempts(t.Context(), a.ID, relay.AttemptFilter{}, relay.Page{Limit: 10})
	if err != nil || !strings.Contains(attempts[0].Signatures, "v1a,") {
		t.Errorf("on record is %+v, %v", attempts, err)
	}

	// The ring gets another key: both sign. Without the old one, the new alone.
	r.keys = r.keys.Rotate()
	r.cfg.Keys = r.keys
	r.restart()
	newA := key(a)
	got = deliver("evt2")
	for _, k := range []string{oldA, newA} {
		if err := verified(t, got["a"], r.clock.Now(), k); err != nil {
			t.Errorf("during the rotation: %v", err)
		}
	}
	if newA == oldA || slices.Contains([]string{oldA, oldB}, key(b)) {
		t.Error("the rotation made no new keys")
	}
}
