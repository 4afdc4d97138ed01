package recipe

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"hookferry/shared/relay"
)

// A header that can be read in two ways, or only with much work, is refused
// before any body is read and any sum is made.
func TestHeadersThatCannotBeReadInOneWay(t *testing.T) {
	right := strings.Repeat("0a", 32)
	for _, c := range []struct {
		preset, header, value string
		want                  error
	}{
		{"stripe", "Stripe-Signature", "t=1700000000,v1=" + right, nil},
		{"stripe", "Stripe-Signature", "v1=" + right + ", t=1700000000", nil},
		{"stripe", "Stripe-Signature", "t=1700000000,t=1700000000,v1=" + right, nil},
		{"stripe", "Stripe-Signature", "t=1700000000,v0=x,v1=" + right + ",v1=x", nil},
		{"stripe", "Stripe-Signature", "t=1700000000,t=1700000001,v1=" + right, ErrMalformed},
		{"stripe", "Stripe-Signature", "t=1700000000,v1=" + right + ",t=1700000001,t=1700000000", ErrMalformed},
		{"stripe", "Stripe-Signature", "t=1700000000,v1=" + right + ";v1=" + right, ErrMalformed},
		{"stripe", "Stripe-Signature", "t=1700000000,v1=" + right + strings.Repeat(",v1=x", 19), ErrMalformed},
		{"stripe", "Stripe-Signature", "t=1700000000,v1=" + right[2:], ErrMalformed},
		{"stripe", "Stripe-Signature", "t=1700000000,v1=" + right + "00", ErrMalformed},
		{"stripe", "Stripe-Signature", "t=1700000000,v1=", ErrMalformed},
		{"stripe", "Stripe-Signature", "t=1700000000", ErrMalformed},
		{"stripe", "Stripe-Signature", "v1=" + right, ErrMissing},
		{"stripe", "Stripe-Signature", "t=+1700000000,v1=" + right, ErrMalformed},
		{"stripe", "Stripe-Signature", "t=1700000000.0,v1=" + right, ErrMalformed},
		{"stripe", "Stripe-Signature", "t=1700000000000000,v1=" + right, ErrMalformed},
		{"stripe", "Stripe-Signature", "t=1700000301,v1=" + right, ErrStale},
		{"stripe", "Stripe-Signature", "t=1699999699,v1=" + right, ErrStale},
		{"stripe", "Stripe-Signature", "t=1700000300,v1=" + right, nil},
		{"stripe", "Stripe-Signature", "t=1699999700,v1=" + right, nil},
		{"paddle", "Paddle-Signature", "ts=1700000000;h1=" + right, nil},
		{"paddle", "Paddle-Signature", "ts=1700000000;h1=" + right + ",h1=" + right, ErrMalformed},
		{"github", "X-Hub-Signature-256", "sha256=" + right, nil},
		{"github", "X-Hub-Signature-256", "sha1=" + right, ErrMalformed},
		{"github", "X-Hub-Signature-256", right, ErrMalformed},
		{"github", "X-Hub-Signature-256", "  ", ErrMissing},
		{"shopify", "X-Shopify-Hmac-Sha256", strings.Repeat("A", 43) + "=", nil},
		{"shopify", "X-Shopify-Hmac-Sha256", strings.Repeat("A", 42) + "B=", ErrMalformed}, // spare bits
		{"shopify", "X-Shopify-Hmac-Sha256", strings.Repeat("A", 43), ErrMalformed},
	} {
		r := parse(t, `{"preset":"`+c.preset+`"}`)
		h := http.Header{}
		h.Set(c.header, c.value)
		err := r.BeforeBody(h, SampleTime())
		if !errors.Is(err, c.want) {
			t.Errorf("%s %.100s: %v, want %v", c.header, c.value, err, c.want)
		}
		if err == nil {
			continue
		}
		_, verr := r.Verify(Request{Header: h, Body: []byte(`{}`)}, SampleTime(), r.SampleSecret())
		if verr == nil || verr.Error() != err.Error() {
			t.Errorf("%s: before the body %v, with it %v", c.value, err, verr)
		}
	}
}

// A line break in a signed header would stand for the one between two of fal's.
func TestASignedHeaderHasNoLineBreak(t *testing.T) {
	r := parse(t, `{"preset":"fal"}`)
	for _, name := range []string{"X-Fal-Webhook-Request-Id", "X-Fal-Webhook-User-Id"} {
		for _, value := range []string{"a\nb", "a\rb", "a\x00b"} {
			req := r.Sample()
			if _, err := r.Compute(req); err != nil {
				t.Fatal(err)
			}
			req.Header.Set(name, value)
			if err := r.BeforeBody(req.Header, SampleTime()); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s %q: %v", name, value, err)
			}
		}
	}
}

// A secret is taken in one way of writing it, and what is wrong with another is
// said without showing it.
func TestSecretsAreTakenInOneForm(t *testing.T) {
	for _, c := range []struct {
		recipe, secret string
		ok             bool
	}{
		{`{"preset":"github"}`, "a secret with blanks", true},
		{`{"preset":"github"}`, "12345678", true},
		{`{"preset":"github"}`, "1234567", false},
		{`{"preset":"github"}`, "pasted-with-a-line-break\n", false},
		{`{"preset":"github"}`, " pasted-with-a-blank", false},
		{`{"preset":"github"}`, strings.Repeat("x", MaxSecret), true},
		{`{"preset":"github"}`, strings.Repeat("x", MaxSecret+1), false},
		{`{"preset":"svix"}`, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", true},
		{`{"preset":"svix"}`, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", true},
		{`{"preset":"svix"}`, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZ\nIo2LaLaSw", false},
		{`{"preset":"svix"}`, "whsec_not base64 at all", false},
		{`{"preset":"github","secret_encoding":"hex"}`, strings.Repeat("0a", 16), true},
		{`{"preset":"github","secret_encoding":"hex"}`, strings.Repeat("0g", 16), false},
		{`{"preset":"fal"}`, "6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw", true},
		{`{"preset":"fal"}`, "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=", true},
		{`{"preset":"fal"}`, "6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0", false},
		{`{"preset":"fal"}`, "", false},
	} {
		r := parse(t, c.recipe)
		err := r.CheckSecret(relay.Secret(c.secret))
		if r.Asymmetric() {
			err = r.CheckPublicKey(c.secret)
		}
		if (err == nil) != c.ok || err != nil && (!errors.Is(err, ErrNoSecret) || c.secret != "" && strings.Contains(err.Error(), c.secret)) {
			t.Errorf("%s, %.60q: %v, want right: %v", c.recipe, c.secret, err, c.ok)
		}
	}
	r := parse(t, `{"preset":"github"}`)
	if _, err := r.keys(make([]relay.Secret, MaxSecrets+1)); !errors.Is(err, ErrNoSecret) {
		t.Errorf("too many secrets: %v", err)
	}
}

// What a caller without a key can make us do is bounded: a few signatures of a
// public key, whatever the header holds.
func TestSignaturesOfPublicKeysAreFew(t *testing.T) {
	var v vector
	for _, v = range vectors(t) {
		if v.Preset == "standard-ed25519" {
			break
		}
	}
	r, other := v.recipe(t), " v1a,"+base64.StdEncoding.EncodeToString(make([]byte, 64))
	for n, want := range map[int]error{0: nil, maxAsymmetric - 1: nil, maxAsymmetric: ErrMalformed} {
		req := v.request()
		req.Header.Set("webhook-signature", req.Header.Get("webhook-signature")+strings.Repeat(other, n))
		if err := r.BeforeBody(req.Header, v.at()); !errors.Is(err, want) {
			t.Errorf("%d more, before the body: %v, want %v", n, err, want)
		}
		if _, err := r.Verify(req, v.at(), v.secret()); !errors.Is(err, want) {
			t.Errorf("%d more: %v, want %v", n, err, want)
		}
	}
}
