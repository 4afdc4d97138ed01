package recipe

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"hookferry/shared/relay"
)

func parse(t testing.TB, text string) *Recipe {
	t.Helper()
	r, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// proved returns what Verify says of a call that is rightly signed.
func proved(r *Recipe, body, source string, headers ...string) (Result, error) {
	req := Request{Header: http.Header{}, URL: sampleURL, Body: []byte(body), Source: source}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if _, err := r.Compute(req); err != nil && !errors.Is(err, ErrEvent) {
		return Result{}, err
	}
	return r.Verify(req, SampleTime(), r.SampleSecret())
}

func TestTypesAreCleaned(t *testing.T) {
	r := parse(t, base)
	for _, c := range []struct{ typ, source, want string }{
		{"Order.Paid", "shop", "order.paid"},
		{"orders/create", "My Shop", "my_shop.orders_create"},
		{"charge:confirmed", "pay", "pay.charge_confirmed"},
		{"größe.neu", "x", "gr__e.neu"},
		{"push", "2nd shop", "nd_shop.push"},
		{"push", "", "hmac.push"},
		{"push", "Webhook", "hmac.push"},
		{"push", "generation", "hmac.push"},
		{"webhook.test", "x", ""},
		{"WEBHOOK.x", "x", ""},
		{"endpoint.disabled", "x", ""},
		{"generation.succeeded", "x", ""},
		{"Generation.Succeeded", "x", ""},
		{"a..b", "x", ""},
		{".a", "x", ""},
		{"a.", "x", ""},
		{"2fa", "x", ""},
		{strings.Repeat("a", 128), "x", ""},
	} {
		res, err := proved(r, fmt.Sprintf(`{"id":"1","type":%q}`, c.typ), c.source)
		if res.Type != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, ErrEvent) {
			t.Errorf("%q of %q: %q, %v; want %q", c.typ, c.source, res.Type, err, c.want)
		}
	}
}

func TestWhatIsNoEvent(t *testing.T) {
	r := parse(t, base)
	for _, body := range []string{
		``, `[]`, `"x"`, `{"id":"1"}`, `{"type":"a.b"}`, `{"id":null,"type":"a.b"}`, `{"id":"","type":"a.b"}`,
		`{"id":{},"type":"a.b"}`, `{"id":"1","type":["a.b"]}`, `{"id":"1","id":"2","type":"a.b"}`,
		`{"ID":"1","type":"a.b"}`, `{"id":"1","type":"a.b"} ` + "\xff", `{"id":" 1","type":"a.b"}`, `{"id":"..","type":"a.b"}`,
		`{"id":"` + strings.Repeat("1", 129) + `","type":"a.b"}`, `{"id":"1","type":"a.b"`, `{"id":"é","type":"a.b"}`,
	} {
		res, err := proved(r, body, "x")
		if !errors.Is(err, ErrEvent) || errors.Is(err, ErrMissing) || errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %+v, %v; want ErrEvent alone", body, res, err)
		}
	}
}

func TestPointersReadObjectsArraysAndEscapes(t *testing.T) {
	r := parse(t, strings.Replace(base, `"{/id}"`, `"{/a~1b/1/c~0d}-{/n}","subject":"{/s}"`, 1))
	res, err := proved(r, ` {"a/b":[0,{"c~d":"x"}],"n":12345678901234567890,"type":"t.t","s":true}`, "x")
	if err != nil || res.ID != "x-12345678901234567890" || res.Subject != "true" {
		t.Errorf("got %+v, %v", res, err)
	}
	for _, s := range []string{`null`, `{}`, `""`, `"\u0000"`, `"` + strings.Repeat("é", 257) + `"`} {
		res, err := proved(r, `{"a/b":[0,{"c~d":"x"}],"n":1,"type":"t.t","s":`+s+`}`, "x")
		if err != nil || res.Subject != "" {
			t.Errorf("subject %s: %q, %v; want none", s, res.Subject, err)
		}
	}
	if res, err := proved(r, `{"a/b":[0,{"c~d":"x"}],"n":1,"type":"t.t","s":"`+strings.Repeat("é", 256)+`"}`, "x"); err != nil || res.Subject == "" {
		t.Errorf("a subject of 256 characters: %+v, %v", res, err)
	}
	if _, err := proved(r, `{"a/b":[0,{"c~d":"x"}],"n":1,"type":"t.t","s":"1","s":"2"}`, "x"); !errors.Is(err, ErrEvent) {
		t.Errorf("a subject that is there twice: %v", err)
	}
}

// An id that nobody signed can be changed; the proof then stays the same. With
// another type or body it does not.
func TestAnUnsignedIDDoesNotMakeAnotherProof(t *testing.T) {
	r := parse(t, `{"preset":"github"}`)
	call := func(id, typ, body string) Result {
		res, err := proved(r, body, "x", "X-GitHub-Delivery", id, "X-GitHub-Event", typ)
		if err != nil || !res.UnsignedID || res.ID != id {
			t.Fatalf("%+v, %v", res, err)
		}
		return res
	}
	first := call("1", "push", `{"a":1}`).Proof
	if again := call("2", "push", `{"a":1}`).Proof; again != first {
		t.Error("another id makes another proof")
	}
	for _, other := range []Result{call("1", "ping", `{"a":1}`), call("1", "push", `{"a":2}`)} {
		if other.Proof == first {
			t.Errorf("%+v has the same proof", other)
		}
	}
}

// Two signed headers cannot be cut at another place: what is moved over the text
// between them is refused although the signed bytes are equal.
func TestSignedHeadersCannotShift(t *testing.T) {
	r := parse(t, strings.NewReplacer("{timestamp}.{body}", "{header:A}.{timestamp}.{header:B}.{body}", "{/id}", "{header:A}").Replace(base))
	headers := func(a, b string) []string { return []string{"A", a, "B", b} }
	if res, err := proved(r, `{"type":"a.b"}`, "x", headers("x", "y.z")...); err != nil || res.ID != "x" {
		t.Errorf("the right one: %+v, %v", res, err)
	}
	for _, a := range []string{"x.1700000000", "x.y", "."} {
		if _, err := proved(r, `{"type":"a.b"}`, "x", headers(a, "z")...); !errors.Is(err, ErrMalformed) {
			t.Errorf("A is %q: %v, want ErrMalformed", a, err)
		}
	}
}

// Under such a key everybody can sign: the same 64 bytes, made without any
// secret, are right for some of a few hundred messages. None is taken.
func TestPublicKeysOfSmallOrderAreRefused(t *testing.T) {
	r := parse(t, `{"preset":"telnyx","secret_encoding":"hex"}`)
	forged := make([]byte, ed25519.SignatureSize)
	forged[0] = 1
	for _, y := range smallOrderY {
		for _, sign := range []byte{0, 0x80} {
			key := append([]byte{}, y...)
			key[31] |= sign
			if err := r.CheckPublicKey(hex.EncodeToString(key)); !errors.Is(err, ErrNoSecret) {
				t.Errorf("%x is taken: %v", key, err)
			}
		}
		found := false
		for i := range 500 {
			found = found || ed25519.Verify(y, fmt.Appendf(nil, "message %d", i), forged)
		}
		if !found {
			t.Errorf("%x: no forgery found, so it may be no such point", y)
		}
	}
	if err := r.CheckPublicKey(hex.EncodeToString(sampleKey().Public().(ed25519.PublicKey))); err != nil {
		t.Error(err)
	}
}

func TestChallengesAreAnsweredWithTheirOwnTextAlone(t *testing.T) {
	r := parse(t, `{"preset":"slack"}`)
	for _, c := range []struct{ body, want string }{
		{`{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}`, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"},
		{`{"challenge":"` + strings.Repeat("x", 256) + `"}`, strings.Repeat("x", 256)},
		{`{"challenge":"` + strings.Repeat("x", 257) + `"}`, ""},
		{`{"challenge":"a\nb"}`, ""},
		{`{"challenge":"é"}`, ""},
		{`{"challenge":""}`, ""},
		{`{"challenge":null}`, ""},
		{`{"challenge":false}`, ""},
		{`{"challenge":{"a":1}}`, ""},
		{`{"challenge":"a","challenge":"b"}`, ""},
	} {
		res, err := proved(r, c.body, "x")
		switch {
		case c.want == "" && (res.Challenge != nil || !errors.Is(err, ErrEvent)):
			t.Errorf("%s: %+v, %v; want no answer", c.body, res, err)
		case c.want != "" && (err != nil || res.Challenge == nil || string(res.Challenge.Body) != c.want || res.ID != ""):
			t.Errorf("%s: %+v, %v", c.body, res, err)
		}
	}
	// An unproved one gets nothing.
	req := Request{Header: http.Header{}, Body: []byte(`{"challenge":"x"}`)}
	req.Header.Set("X-Slack-Request-Timestamp", "1700000000")
	req.Header.Set("X-Slack-Signature", "v0="+strings.Repeat("0", 64))
	if res, err := r.Verify(req, SampleTime(), r.SampleSecret()); !errors.Is(err, ErrMismatch) || res.Challenge != nil {
		t.Errorf("unproved: %+v, %v", res, err)
	}
	// As JSON it stands under its own name.
	r = parse(t, `{"preset":"slack","challenge":{"when":"/challenge","answer":"/deep/token","as":"json"}}`)
	if a := r.Answer([]byte(`{"challenge":true,"deep":{"token":"a\"<b>"}}`)); a == nil || a.ContentType != "application/json" || string(a.Body) != `{"token":"a\"\u003cb\u003e"}` {
		t.Errorf("as JSON: %+v", a)
	}
}

func TestBeforeBodyJudgesWhatNeedsNoBody(t *testing.T) {
	for _, v := range vectors(t) {
		r := v.recipe(t)
		if r.wire.Timestamp == nil {
			continue
		}
		if err := r.BeforeBody(v.request().Header, v.at().Add(2*MaxTolerance)); !errors.Is(err, ErrStale) {
			t.Errorf("%s, stale: %v", v.name, err)
		}
		if err := r.BeforeBody(http.Header{}, v.at()); !errors.Is(err, ErrMissing) {
			t.Errorf("%s, bare: %v", v.name, err)
		}
		h := v.request().Header
		h.Set(r.wire.Timestamp.Header, "t=1,ts=1;x")
		if err := r.BeforeBody(h, v.at()); err == nil {
			t.Errorf("%s, a malformed timestamp passes", v.name)
		}
	}
}

// Both kinds of key may be on a standard source at once, and neither proves for
// the other.
func TestStandardTakesBothKindsOfKeys(t *testing.T) {
	r, err := Standard(nil)
	if err != nil {
		t.Fatal(err)
	}
	var v vector
	for _, v = range vectors(t) {
		if v.Preset == "standard-ed25519" {
			break
		}
	}
	symmetric := relay.Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if _, err := r.Verify(v.request(), v.at(), symmetric, v.secret()); err != nil {
		t.Errorf("both: %v", err)
	}
	if _, err := r.Verify(v.request(), v.at(), symmetric); !errors.Is(err, ErrMismatch) {
		t.Errorf("the other alone: %v", err)
	}
	for _, s := range []relay.Secret{"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsk_x"} {
		if err := r.CheckSecret(s); !errors.Is(err, ErrNoSecret) {
			t.Errorf("%q: %v", s.Reveal(), err)
		}
	}
	for template, want := range map[string]string{"{/kind}.x": "in.x", "standard.{/kind}": "standard.in"} {
		r, err := Standard([]byte(`{"type":"` + template + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		if res, err := proved(r, `{"kind":"in"}`, "x", "webhook-id", "m1"); err != nil || res.Type != want {
			t.Errorf("%s: %+v, %v", template, res, err)
		}
	}
	for _, template := range []string{"x", "{header:X-Type}", "{body}", strings.Repeat("x", 300) + "{/a}"} {
		var fault *FieldError
		if _, err := Standard([]byte(`{"type":"` + template + `"}`)); !errors.As(err, &fault) || fault.Field != "type" {
			t.Errorf("%s: %v", template, err)
		}
	}
}

// What is stored of a recipe makes it again, with what a source may set of its
// own; what is fixed cannot be set.
func TestAStandardRecipeIsMadeAgainFromWhatItShows(t *testing.T) {
	for text, want := range map[string]string{``: "standard.event", `{}`: "standard.event", `{"type":"{/type}"}`: "standard.event", `{"type":"{/kind}.x","subject":"{/who}"}`: "in.x"} {
		r, err := Standard([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		again, err := Stored(must(json.Marshal(r)))
		if err != nil {
			t.Fatal(err)
		}
		res, err := proved(again, `{"kind":"in","who":"me"}`, "x", "webhook-id", "m1")
		if err != nil || res.Type != want || (res.Subject == "me") != strings.Contains(text, "who") {
			t.Errorf("%s: %+v, %v", text, res, err)
		}
	}
	for text, field := range map[string]string{
		`{"id":"{/id}"}`: "id", `{"signed":"{body}"}`: "signed", `{"unsigned":["id"]}`: "unsigned", `{"challenge":{"when":"/a","answer":"/a"}}`: "challenge",
		`{"colour":1}`: "colour", `[]`: "recipe", `{"subject":"{header:X}"}`: "subject", `{"timestamp":{"header":"webhook-timestamp","tolerance_seconds":3600}}`: "timestamp",
		`{"preset":"svix"}`: "preset", `{"type":"{/a}","type":"{/b}"}`: "type", `{`: "recipe",
	} {
		var fault *FieldError
		if _, err := Standard([]byte(text)); !errors.As(err, &fault) || fault.Field != field {
			t.Errorf("%s: %v, want a fault of %s", text, err, field)
		}
	}
	if _, err := Stored([]byte(`{"preset":"stripe"}`)); err != nil {
		t.Error(err)
	}
}

// A call of a provider of generations is an event of that type; another call of
// the same provider is read as the template says.
func TestGenerationsAreNormalisedByName(t *testing.T) {
	r := parse(t, `{"preset":"replicate"}`)
	for body, want := range map[string][2]string{
		`{"id":"p","status":"succeeded"}`: {"generation.succeeded", "replicate"}, `{"id":"p","status":"canceled"}`: {"generation.failed", "replicate"},
		`{"id":"p","status":"starting"}`: {"generation.updated", "replicate"}, `{"status":"other"}`: {"replicate.other", ""},
	} {
		if res, err := proved(r, body, "x", "webhook-id", "m1"); err != nil || res.Type != want[0] || res.Generation != want[1] {
			t.Errorf("%s: %+v, %v", body, res, err)
		}
	}
	if _, err := proved(r, `{"id":"p","status":"failed","status":"succeeded"}`, "x", "webhook-id", "m1"); !errors.Is(err, ErrEvent) {
		t.Errorf("a status twice: %v", err)
	}
	r = parse(t, `{"preset":"replicate","generation":null}`)
	if res, err := proved(r, `{"id":"p","status":"succeeded"}`, "x", "webhook-id", "m1"); err != nil || res.Type != "replicate.succeeded" {
		t.Errorf("taken away: %+v, %v", res, err)
	}
	var fault *FieldError
	if _, err := Parse([]byte(`{"preset":"replicate","generation":"nobody"}`)); !errors.As(err, &fault) || fault.Field != "generation" {
		t.Errorf("unknown: %v", err)
	}
	standard, err := Standard([]byte(`{"generation":"replicate","subject":"{/id}"}`))
	if err != nil {
		t.Fatal(err)
	}
	if res, err := proved(standard, `{"id":"p","status":"failed"}`, "x", "webhook-id", "m1"); err != nil || res.Type != "generation.failed" || res.Subject != "p" {
		t.Errorf("standard: %+v, %v", res, err)
	}
}
