package receiver

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/recipe"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
)

// A vector is a call of shared/recipe/testdata/vectors.
type vector struct {
	Preset       string
	Recipe       json.RawMessage
	Now          int64
	URL          string
	Secret, Body string
	Headers      map[string]string
	Want         struct{ ID, Type, Subject string }
}

func readVector(tb testing.TB, file string) (v vector) {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		tb.Fatalf("%s: %v", file, err)
	}
	return v
}

// recipeBench is a bench whose source src_sample has the vector's recipe and key.
func recipeBench(tb testing.TB, v vector) *bench {
	tb.Helper()
	provider, text := relay.HMAC, []byte(v.Recipe)
	parse := recipe.Parse
	switch {
	case strings.HasPrefix(v.Preset, "standard"):
		provider, parse = relay.Standard, recipe.Standard
	case v.Preset != "":
		text = []byte(`{"preset":"` + v.Preset + `"}`)
	}
	rec, err := parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	whole, err := json.Marshal(rec)
	if err != nil {
		tb.Fatal(err)
	}
	b := newBench(tb)
	b.now = time.Unix(v.Now, 0)
	rc := b.Handler.(*receiver).Config
	rc.PublicURL = "https://relay.example"
	b.Handler = New(rc)
	src := relay.Source{ID: "src_sample", Account: "acct_1", Provider: provider, Status: relay.Active, Name: "sample", Recipe: string(whole)}
	if rec.CheckSecret(relay.Secret(v.Secret)) == nil {
		src.Secret = b.keys.Seal(relay.Secret(v.Secret), seal.Place{Account: "acct_1", Object: src.ID, Field: "signing_secret"})
	} else {
		src.PublicKeys = []string{v.Secret}
	}
	b.sources[src.ID] = src
	return b
}

func (v vector) request() *http.Request {
	r := post("/in/src_sample", v.Body)
	for name, value := range v.Headers {
		r.Header.Set(name, value)
	}
	return r
}

// Every provider's own call is taken byte for byte, those of a provider that has
// no preset too: a recipe is all that it takes.
func TestEveryProvidersCallIsTaken(t *testing.T) {
	files, err := filepath.Glob("../recipe/testdata/vectors/*.json")
	if err != nil || len(files) < 13 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			v := readVector(t, file)
			b := recipeBench(t, v)
			w := b.do(v.request())
			wantAccepted(t, w, v.Want.ID)
			format := relay.FormatVerbatim
			if strings.HasPrefix(v.Want.Type, "generation.") {
				format = relay.Format(v.Preset)
			}
			want := []relay.Event{{
				ID: v.Want.ID, Account: "acct_1", Type: v.Want.Type, Format: format, Subject: v.Want.Subject,
				SourceID: "src_sample", VerifiedBy: relay.VerifiedBySignature, CreatedAt: time.Unix(v.Now, 0).UTC(),
				RequestID: w.Header().Get("X-Request-Id"), Payload: relay.NewPayload([]byte(v.Body)), Key: v.Want.ID + "@src_sample",
			}}
			if diff := cmp.Diff(want, b.events(t), cmpEvents); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			for name, change := range map[string]func(*http.Request){
				"another body": func(r *http.Request) { r.Body = post("/", v.Body+" ").Body },
				"no header":    func(r *http.Request) { r.Header = http.Header{} },
			} {
				b.sent = nil
				r := v.request()
				change(r)
				w := b.do(r)
				b.wantError(t, w, 401, relay.KindSignatureInvalid)
				if strings.Contains(w.Body.String(), v.Secret) {
					t.Errorf("%s: the answer shows the secret", name)
				}
			}
			if b.log.Len() == 0 || strings.Contains(b.log.String(), v.Secret) {
				t.Error("the log shows the secret, or nothing")
			}
		})
	}
}

const vectorDir = "../recipe/testdata/vectors/"

// What is wrong before the body is not worth reading it.
func TestAnUnprovedHeadCostsNoBody(t *testing.T) {
	v := readVector(t, vectorDir+"stripe.json")
	for name, change := range map[string]func(*bench, *http.Request){
		"unsigned":  func(_ *bench, r *http.Request) { r.Header = http.Header{} },
		"malformed": func(_ *bench, r *http.Request) { r.Header.Set("Stripe-Signature", "t=1,v1=zz") },
		"stale":     func(b *bench, _ *http.Request) { b.now = b.now.Add(301 * time.Second) },
		"early":     func(b *bench, _ *http.Request) { b.now = b.now.Add(-301 * time.Second) },
		"huge":      func(_ *bench, r *http.Request) { r.Header.Set("Stripe-Signature", strings.Repeat("v1=00,", 2000)) },
		"two times": func(_ *bench, r *http.Request) {
			r.Header.Add("Stripe-Signature", "t=1770000001,v1="+strings.Repeat("0", 64))
		},
	} {
		b, body := recipeBench(t, v), &counter{}
		r := httptest.NewRequest(http.MethodPost, "/in/src_sample", body)
		r.Header = v.request().Header
		change(b, r)
		b.wantError(t, b.do(r), 401, relay.KindSignatureInvalid)
		if body.n != 0 {
			t.Errorf("%s: %d bytes of the body were read", name, body.n)
		}
	}
}

func TestASourceWithoutAKeyAsksForAnotherCall(t *testing.T) {
	for _, name := range []string{"stripe", "fal", "standard-ed25519"} {
		v := readVector(t, vectorDir+name+".json")
		b := recipeBench(t, v)
		src := b.sources["src_sample"]
		src.Secret, src.PublicKeys = "", nil
		b.sources["src_sample"] = src
		b.wantError(t, b.do(v.request()), 503, relay.KindUnavailable)
	}
}

// The old secret is good until its overlap ends, and several public keys are at
// once.
func TestOldAndNewKeysOfARecipeSource(t *testing.T) {
	v := readVector(t, vectorDir+"github.json")
	b := recipeBench(t, v)
	src := b.sources["src_sample"]
	place := seal.Place{Account: "acct_1", Object: src.ID, Field: "old_signing_secret"}
	src.OldSecret, src.OldSecretUntil = b.keys.Seal(relay.Secret(v.Secret), place), b.now.Add(time.Hour)
	place.Field = "signing_secret"
	src.Secret = b.keys.Seal("another secret", place)
	b.sources[src.ID] = src
	wantAccepted(t, b.do(v.request()), v.Want.ID)
	b.sent, b.now = nil, b.now.Add(time.Hour)
	b.wantError(t, b.do(v.request()), 401, relay.KindSignatureInvalid)

	v = readVector(t, vectorDir+"fal.json")
	b = recipeBench(t, v)
	src = b.sources["src_sample"]
	src.PublicKeys = []string{"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", v.Secret}
	b.sources[src.ID] = src
	wantAccepted(t, b.do(v.request()), v.Want.ID)
}

// What the provider did not sign does not make another event of it: the message
// says so, and whoever puts it there sees to the rest.
func TestAnUnsignedIDComesWithAProof(t *testing.T) {
	v := readVector(t, vectorDir+"github.json")
	proofOf := func(change func(http.Header)) string {
		b := recipeBench(t, v)
		r := v.request()
		change(r.Header)
		if w := b.do(r); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		m, err := relay.DecodeMessage(b.sent[0].Body)
		if err != nil {
			t.Fatal(err)
		}
		return m.Proof
	}
	same := proofOf(func(http.Header) {})
	if len(same) != 64 || proofOf(func(h http.Header) { h.Set("X-GitHub-Delivery", "another") }) != same {
		t.Error("another id makes another proof")
	}
	if proofOf(func(h http.Header) { h.Set("X-GitHub-Event", "another") }) == same {
		t.Error("another type has the same proof")
	}
	v = readVector(t, vectorDir+"stripe.json")
	if got := proofOf(func(http.Header) {}); got != "" {
		t.Errorf("a signed id comes with the proof %s", got)
	}
}

// A signed call that is no event is the provider's fault, whose it is shown.
func TestAProvedCallThatIsNoEvent(t *testing.T) {
	v := vector{Recipe: json.RawMessage(`{"signature":{"header":"X-Sig","scheme":"hmac-sha256","encoding":"hex"},"signed":"{body}","id":"{/id}","type":"{/type}"}`), Secret: "a public sample secret for samples only", Now: start.Unix()}
	rec, err := recipe.Parse(v.Recipe)
	if err != nil {
		t.Fatal(err)
	}
	for body, says := range map[string]string{
		`[]`: "object", `{"id":"1"`: "JSON", `{"id":"1"}`: "type", `{"type":"a.b"}`: "id", `{"id":"1","id":"2","type":"a.b"}`: "twice",
		`{"id":"1","type":"webhook.test"}`: "kept", `{"id":"1","type":"Endpoint.Failing"}`: "kept", `{"id":"1","type":"generation.succeeded"}`: "kept",
		`{"id":"..","type":"a.b"}`: "id", `{"id":{},"type":"a.b"}`: "id", `{"id":"1","type":"..."}`: "type", `{"id":"1","type":"1.2"}`: "type", ``: "JSON",
		`{"id":"` + strings.Repeat("1", 129) + `","type":"a.b"}`: "id", "{\"id\":\"\xff\",\"type\":\"a.b\"}": "UTF-8",
	} {
		b := recipeBench(t, v)
		req := rec.Sample()
		req.Body = []byte(body)
		_, _ = rec.Compute(req) // sets the signature, and fails as the call will
		r := post("/in/src_sample", body)
		r.Header = req.Header
		w := b.do(r)
		b.wantError(t, w, 400, relay.KindValidation)
		if !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %s says nothing of %s", body, w.Body, says)
		}
	}
}

// A challenge is answered with its own text, once it is proved, and relays nothing.
func TestAChallengeIsAnsweredOnlyWhenSigned(t *testing.T) {
	v := readVector(t, vectorDir+"slack.json")
	rec, err := recipe.Parse([]byte(`{"preset":"slack"}`))
	if err != nil {
		t.Fatal(err)
	}
	v.Secret, v.Now = rec.SampleSecret().Reveal(), recipe.SampleTime().Unix()
	for text, status := range map[string]int{
		"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P": 200, `<script>alert(1)</script>`: 200,
		strings.Repeat("x", 257): 400, "é": 400, `a\nb`: 400,
	} {
		b := recipeBench(t, v)
		req := rec.Sample()
		req.Body = []byte(`{"token":"t","challenge":"` + text + `","type":"url_verification"}`)
		_, _ = rec.Compute(req)
		r := post("/in/src_sample", string(req.Body))
		r.Header = req.Header.Clone()
		w := b.do(r)
		if w.Code != status || len(b.sent) != 0 {
			t.Errorf("%q: got %d %s, %d sent", text, w.Code, w.Body, len(b.sent))
		}
		if status == 200 && (w.Body.String() != text || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" || w.Header().Get("X-Content-Type-Options") != "nosniff") {
			t.Errorf("got %v %s", w.Header(), w.Body)
		}
		r = post("/in/src_sample", string(req.Body))
		r.Header = req.Header.Clone()
		r.Header.Set("X-Slack-Signature", "v0="+strings.Repeat("0", 64))
		if w := b.do(r); w.Code != 401 || strings.Contains(w.Body.String(), text) {
			t.Errorf("unsigned: got %d %s", w.Code, w.Body)
		}
	}
}

// A URL that is signed is the one that the source shows, whatever Host says; and
// where it is not known, nothing is accepted.
func TestASignedURLIsOurOwn(t *testing.T) {
	v := readVector(t, vectorDir+"added-url.json")
	b := recipeBench(t, v)
	r := v.request()
	r.Host = "evil.example"
	wantAccepted(t, b.do(r), v.Want.ID)
	b.sent = nil
	rc := b.Handler.(*receiver).Config
	rc.PublicURL = "https://other.example"
	b.Handler = New(rc)
	r = v.request()
	r.Host = "relay.example"
	b.wantError(t, b.do(r), 401, relay.KindSignatureInvalid)
	rc.PublicURL = ""
	b.Handler = New(rc)
	b.wantError(t, b.do(v.request()), 401, relay.KindSignatureInvalid)
}

func TestADamagedRecipeIsOurFault(t *testing.T) {
	v := readVector(t, vectorDir+"stripe.json")
	b := recipeBench(t, v)
	src := b.sources["src_sample"]
	for _, text := range []string{"", "{", `{"preset":"gone"}`} {
		src.Recipe = text
		b.sources[src.ID] = src
		b.wantError(t, b.do(v.request()), 500, relay.KindInternal)
	}
}

// FuzzRecipeCall: whatever a call of a recipe source holds, only the signed
// bytes pass, and nothing is our fault.
func FuzzRecipeCall(f *testing.F) {
	files, err := filepath.Glob(vectorDir + "*.json")
	if err != nil {
		f.Fatal(err)
	}
	var benches []*bench
	var vectors []vector
	for i, file := range files {
		v := readVector(f, file)
		vectors, benches = append(vectors, v), append(benches, recipeBench(f, v))
		for name, value := range v.Headers {
			f.Add(i, name, value, []byte(v.Body))
			f.Add(i, name, "x,"+value, []byte(`{"id":1}`))
		}
	}
	f.Fuzz(func(t *testing.T, i int, name, value string, body []byte) {
		v, b := vectors[uint(i)%uint(len(vectors))], benches[uint(i)%uint(len(vectors))]
		if len(body) > relay.MaxPayload {
			return
		}
		b.sent = nil
		b.log.Reset()
		r := post("/in/src_sample", string(body))
		for name, value := range v.Headers {
			r.Header.Set(name, value)
		}
		r.Header[http.CanonicalHeaderKey(name)] = append(r.Header[http.CanonicalHeaderKey(name)], value)
		w := b.do(r)
		switch {
		case w.Code == 401 || w.Code == 400:
		case w.Code != 200 || string(body) != v.Body:
			t.Fatalf("%q %q, %q: got %d %s", name, value, body, w.Code, w.Body)
		}
	})
}
