package recipe

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

// A vector is a call that a provider's library signed or accepted, as a file of
// testdata/vectors holds it. It names a preset or brings its own recipe.
type vector struct {
	name    string
	Preset  string            `json:"preset"`
	Recipe  json.RawMessage   `json:"recipe"`
	Proof   string            `json:"proof"`
	Now     int64             `json:"now"`
	URL     string            `json:"url"`
	Secret  string            `json:"secret"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Want    struct{ ID, Type, Subject string }
}

func vectors(t testing.TB) []vector {
	t.Helper()
	files, err := filepath.Glob("testdata/vectors/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	all := make([]vector, len(files))
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &all[i]); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[i].name = strings.TrimSuffix(filepath.Base(file), ".json")
	}
	return all
}

func (v vector) recipe(t testing.TB) *Recipe {
	t.Helper()
	text := []byte(v.Recipe)
	if v.Preset != "" {
		text = []byte(`{"preset":"` + v.Preset + `"}`)
	}
	parse := func() (*Recipe, error) { return Parse(text) }
	if strings.HasPrefix(v.Preset, "standard") {
		parse = func() (*Recipe, error) { return Standard(nil) }
	}
	r, err := parse()
	if err != nil {
		t.Fatalf("%s: %v", v.name, err)
	}
	return r
}

func (v vector) request() Request {
	h := http.Header{}
	for name, value := range v.Headers {
		h.Set(name, value)
	}
	return Request{Header: h, URL: v.URL, Body: []byte(v.Body), Source: "sample"}
}

func (v vector) at() time.Time        { return time.Unix(v.Now, 0) }
func (v vector) secret() relay.Secret { return relay.Secret(v.Secret) }

func TestEveryVectorIsRight(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			r := v.recipe(t)
			if err := r.BeforeBody(v.request().Header, v.at()); err != nil {
				t.Errorf("before the body: %v", err)
			}
			res, err := r.Verify(v.request(), v.at(), v.secret())
			if err != nil {
				t.Fatal(err)
			}
			got := struct{ ID, Type, Subject string }{res.ID, res.Type, res.Subject}
			if diff := cmp.Diff(v.Want, got); diff != "" {
				t.Errorf("want, got:\n%s", diff)
			}
			if (r.wire.Timestamp != nil) != (res.Timestamp.Unix() == v.Now) {
				t.Errorf("timestamp is %v", res.Timestamp)
			}
			if res.UnsignedID != (len(res.Proof) == 64) {
				t.Errorf("unsigned id %v, proof %q", res.UnsignedID, res.Proof)
			}
		})
	}
}

// No change of a right call is accepted, whoever's it is.
func TestNoVariantOfAVectorIsRight(t *testing.T) {
	accepted, tried := 0, 0
	for _, v := range vectors(t) {
		r := v.recipe(t)
		for name, try := range hostile(v, r) {
			tried++
			if res, err := r.Verify(try.req, try.now, try.secrets...); err == nil {
				accepted++
				t.Errorf("%s, %s: accepted as %+v", v.name, name, res)
			} else if strings.Contains(err.Error(), v.Secret) {
				t.Errorf("%s, %s: the error shows the secret", v.name, name)
			}
		}
	}
	t.Logf("%d variants, %d accepted", tried, accepted)
}

type attempt struct {
	req     Request
	now     time.Time
	secrets []relay.Secret
}

// hostile returns wrong, stale, cut, reordered, duplicated and unkeyed variants.
func hostile(v vector, r *Recipe) map[string]attempt {
	all := map[string]attempt{}
	add := func(name string, change func(*attempt)) {
		a := attempt{v.request(), v.at(), []relay.Secret{v.secret()}}
		change(&a)
		all[name] = a
	}
	body := func(name, text string) { add(name, func(a *attempt) { a.req.Body = []byte(text) }) }
	body("a body one byte longer", v.Body+" ")
	body("a body one byte shorter", v.Body[:len(v.Body)-1])
	body("a body with another byte", strings.Replace(v.Body, `":`, `" :`, 1))
	body("a body with fields reordered", `{"z":1,`+v.Body[1:])
	body("an empty body", "")
	body("the body twice", v.Body+v.Body)
	add("no secret", func(a *attempt) { a.secrets = nil })
	for name, s := range map[string]relay.Secret{
		"an empty secret": "", "a blank secret": " ", "whsec_ alone": "whsec_", "whpk_ alone": "whpk_",
		"zeros": relay.Secret("whpk_" + strings.Repeat("A", 43) + "="), "a short secret": "short",
		"a wrong secret": "whsec_" + relay.Secret(strings.Repeat("QUJD", 10)),
		"one hex zero":   relay.Secret(strings.Repeat("00", 32)),
	} {
		add(name, func(a *attempt) { a.secrets = []relay.Secret{s} })
	}
	add("an empty secret beside the right one", func(a *attempt) { a.secrets = append(a.secrets, "") })
	if r.wire.Timestamp != nil {
		add("stale", func(a *attempt) { a.now = a.now.Add(r.tolerance + time.Second) })
		add("from the future", func(a *attempt) { a.now = a.now.Add(-r.tolerance - time.Second) })
	}
	if v.URL != "" {
		add("another URL", func(a *attempt) { a.req.URL += "x" })
		add("no URL", func(a *attempt) { a.req.URL = "" })
	}
	needed := append(r.signed.headers(), r.wire.Signature.Header)
	if r.wire.Timestamp != nil {
		needed = append(needed, r.wire.Timestamp.Header)
	}
	for _, name := range needed {
		name = http.CanonicalHeaderKey(name)
		hostileHeader(name, v.request().Header.Get(name), add)
	}
	return all
}

func hostileHeader(name, value string, add func(string, func(*attempt))) {
	for how, values := range map[string][]string{
		"absent":             nil,
		"empty":              {""},
		"cut at its end":     {value[:len(value)-1]},
		"cut at its front":   {value[1:]},
		"cut in half":        {value[:len(value)/2]},
		"longer":             {value + "0"},
		"reversed":           {reverse(value)},
		"rotated":            {value[len(value)/2:] + value[:len(value)/2]},
		"twice, another 1st": {"x", value},
		"twice, another 2nd": {value, "x"},
		"twice, one empty":   {value, ""},
		"very long":          {value + strings.Repeat(" ,", 4096) + "x"},
		"with a line break":  {value + "\nx"},
	} {
		add(name+" "+how, func(a *attempt) {
			if a.req.Header[name] = values; values == nil {
				delete(a.req.Header, name)
			}
		})
	}
}

func reverse(text string) string {
	b := []byte(text)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// A header that a proxy repeats, or a gateway joins, is one header.
func TestEqualHeadersCountAsOne(t *testing.T) {
	for _, v := range vectors(t) {
		r := v.recipe(t)
		for name := range v.Headers {
			for how, values := range map[string][]string{
				"twice": {v.Headers[name], v.Headers[name]}, "padded": {" " + v.Headers[name], v.Headers[name] + "\t"},
				"joined": {v.Headers[name] + "," + v.Headers[name]}, "joined with a blank": {v.Headers[name] + ", " + v.Headers[name]},
			} {
				req := v.request()
				req.Header[http.CanonicalHeaderKey(name)] = values
				if res, err := r.Verify(req, v.at(), v.secret()); err != nil || res.ID != v.Want.ID {
					t.Errorf("%s, %s %s: id %q, %v", v.name, name, how, res.ID, err)
				}
			}
		}
	}
}

// The right secret may stand beside others, and the right signature too.
func TestAnyOfSeveralSecretsAndSignatures(t *testing.T) {
	for _, v := range vectors(t) {
		r := v.recipe(t)
		if _, err := r.Verify(v.request(), v.at(), r.SampleSecret(), v.secret()); err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
		w := r.wire.Signature
		if w.Item == "" || len(r.forms) > 1 {
			continue
		}
		req := v.request()
		value := req.Header.Get(w.Header)
		separator := ","
		if strings.Contains(value, ";") {
			separator = ";"
		} else if !strings.Contains(value, "=") || strings.IndexByte(value, ',') < strings.IndexByte(value, '=') {
			separator = " "
		}
		other := r.marked(w.Item, r.sign([]byte("another")))
		req.Header.Set(w.Header, value+separator+other)
		if _, err := r.Verify(req, v.at(), v.secret()); err != nil {
			t.Errorf("%s beside another signature: %v", v.name, err)
		}
	}
}

// Calls whose signatures providers have published. Their bodies are no JSON
// objects: what is said about them is that the signature is right and the body
// is no event, and about a changed one that the signature is wrong.
func TestPublishedSignatures(t *testing.T) {
	slack := "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V" +
		"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=" +
		"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN" +
		"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
	for name, v := range map[string]vector{
		"github": {Preset: "github", Secret: "It's a Secret to Everybody", Body: "Hello, World!", Headers: map[string]string{
			"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
		}},
		"slack": {Preset: "slack", Secret: "8f742231b10e8888abcd99yyyzzz85a5", Now: 1531420618, Body: slack, Headers: map[string]string{
			"X-Slack-Request-Timestamp": "1531420618",
			"X-Slack-Signature":         "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
		}},
	} {
		r, req := v.recipe(t), v.request()
		if _, err := r.Verify(req, v.at(), v.secret()); !errors.Is(err, ErrEvent) {
			t.Errorf("%s: %v, want ErrEvent", name, err)
		}
		req.Body = append(req.Body, '.')
		if _, err := r.Verify(req, v.at(), v.secret()); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s, changed: %v, want ErrMismatch", name, err)
		}
	}
	v := vector{Preset: "standard", Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Now: 1614265330, Body: `{"test": 2432232314}`, Headers: map[string]string{
		"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
		"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
	}}
	res, err := v.recipe(t).Verify(v.request(), v.at(), v.secret())
	if err != nil || res.ID != "msg_p5jXN8AQM9LWM0D4loKWxJek" || res.Type != "standard.event" {
		t.Errorf("standard: %+v, %v", res, err)
	}
}
