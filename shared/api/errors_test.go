package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

// broken is a store some of whose calls fail.
type broken struct {
	relay.Store
	fail map[string]error // by method
}

func (b *broken) KeyByHash(ctx context.Context, h relay.KeyHash) (relay.Key, error) {
	if err := b.fail["KeyByHash"]; err != nil {
		return relay.Key{}, err
	}
	return b.Store.KeyByHash(ctx, h)
}

func (b *broken) LiveEndpoints(ctx context.Context, account string) ([]relay.Endpoint, error) {
	if err := b.fail["LiveEndpoints"]; err != nil {
		return nil, err
	}
	return b.Store.LiveEndpoints(ctx, account)
}

func (b *broken) Endpoints(ctx context.Context, account string, p relay.Page) ([]relay.Endpoint, string, error) {
	if err := b.fail["Endpoints"]; err != nil {
		if errors.Is(err, errPanic) {
			panic("out of range: " + account)
		}
		return nil, "", err
	}
	return b.Store.Endpoints(ctx, account, p)
}

// UpdateEndpoint writes and then fails, as a write whose answer was lost does.
func (b *broken) UpdateEndpoint(ctx context.Context, e relay.Endpoint) error {
	err := b.Store.UpdateEndpoint(ctx, e)
	if lost := b.fail["UpdateEndpoint"]; lost != nil && err == nil {
		delete(b.fail, "UpdateEndpoint")
		return lost
	}
	return err
}

func (b *broken) UpdateSource(ctx context.Context, s relay.Source) error {
	err := b.Store.UpdateSource(ctx, s)
	if lost := b.fail["UpdateSource"]; lost != nil && err == nil {
		delete(b.fail, "UpdateSource")
		return lost
	}
	return err
}

var (
	errPanic = errors.New("panic")
	errDown  = errors.New("dial tcp 10.0.3.17:8000: connection refused")
)

func newBroken(t testing.TB) (*world, *broken) {
	b := &broken{fail: map[string]error{}}
	w := newWorld(t, func(cfg *Config) { b.Store = cfg.Store; cfg.Store = b })
	return w, b
}

// unsent is a queue that takes nothing.
type unsent struct{ relay.Queue }

func (unsent) Send(context.Context, ...relay.Outgoing) error { return errDown }

func TestEveryErrorCodeIsAnswered(t *testing.T) {
	w, b := newBroken(t)
	w.EndpointLimit = 2
	live, deleted := w.createEndpoint(), w.createEndpoint()
	w.call("DELETE", "/api/v1/webhooks/"+deleted, "").is(200)
	_, reader := w.newKey(w.account, relay.ScopeRead)
	revoked, expired := relay.NewAPIKey(), relay.NewAPIKey()
	for key, k := range map[relay.Secret]relay.Key{revoked: {RevokedAt: w.clock.Now()}, expired: {ExpiresAt: w.clock.Now()}} {
		k.ID, k.Account, k.Hash, k.Scopes = relay.NewID(relay.KeyPrefix, w.clock.Now()), w.account, relay.HashSecret(key), relay.Scopes()
		if err := w.Store.CreateKey(context.Background(), k, 1000); err != nil {
			t.Fatal(err)
		}
	}
	send := func(key relay.Secret, method, path, body string, header ...string) func() *reply {
		return func() *reply {
			r := w.request(key, method, path, body)
			for i := 0; i+1 < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			return w.send(r)
		}
	}
	publish := `{"type":"order.paid","data":{}}`
	send(w.key, "POST", "/api/v1/webhook-events", publish, "Idempotency-Key", "k")().is(202)

	type request struct {
		param string
		make  func() *reply
	}
	cases := map[relay.Kind][]request{
		relay.KindKeyMissing: {
			{"", send("", "GET", "/api/v1/webhooks", "")},
			{"", send("", "GET", "/api/v1/webhooks", "", "Authorization", "Basic dTpw")},
			{"", send("", "GET", "/api/v1/webhooks", "", "Authorization", "Bearer ")},
		},
		relay.KindKeyInvalid: {
			{"", send(relay.NewAPIKey(), "GET", "/api/v1/webhooks", "")},
			{"", send("sk_other", "GET", "/api/v1/webhooks", "")},
			{"", send(relay.Secret("rvya_sk_"+strings.Repeat("x", 5000)), "GET", "/api/v1/webhooks", "")},
		},
		relay.KindKeyRevoked: {{"", send(revoked, "GET", "/api/v1/webhooks", "")}},
		relay.KindKeyExpired: {{"", send(expired, "GET", "/api/v1/webhooks", "")}},
		relay.KindScopeDenied: {
			{"", send(reader, "POST", "/api/v1/webhooks", newEndpoint)},
			{"", send(reader, "POST", "/api/v1/webhook-events", publish)},
			{"", send(reader, "GET", "/api/v1/sources", "")},
			{"", send(reader, "GET", "/api/v1/api-keys", "")},
		},
		relay.KindValidation: {
			{"name", send(w.key, "POST", "/api/v1/webhooks", "")},
			{"limit", send(w.key, "GET", "/api/v1/webhooks?limit=0", "")},
			{"cursor", send(w.key, "GET", "/api/v1/webhooks?cursor=x", "")},
			{"Idempotency-Key", send(w.key, "POST", "/api/v1/webhook-events", publish, "Idempotency-Key", "two words")},
		},
		relay.KindURLRejected: {
			{"url", send(w.key, "POST", "/api/v1/webhooks", strings.Replace(newEndpoint, "https://example.com", "https://169.254.169.254", 1))},
			{"url", send(w.key, "PATCH", "/api/v1/webhooks/"+live, `{"url":"http://example.com/"}`)},
		},
		relay.KindNotFound: {
			{"", send(w.key, "GET", "/api/v1/webhooks/"+relay.NewID(relay.EndpointPrefix, w.clock.Now()), "")},
			{"", send(w.key, "GET", "/api/v1/nothing", "")},
			{"", send("", "GET", "/", "")},
		},
		relay.KindMethodNotAllowed: {{"", send(w.key, "PUT", "/api/v1/webhooks", "{}")}, {"", send("", "GET", "/general/update-webhook", "")}},
		relay.KindIdempotencyConflict: {
			{"", send(w.key, "POST", "/api/v1/webhook-events", `{"type":"order.paid","data":{"x":1}}`, "Idempotency-Key", "k")},
		},
		relay.KindEndpointRevoked: {
			{"", send(w.key, "PATCH", "/api/v1/webhooks/"+deleted, `{"name":"x"}`)},
			{"", send(w.key, "POST", "/api/v1/webhooks/"+deleted+"/rotate-secret", "")},
			{"", send(w.key, "POST", "/api/v1/webhooks/"+deleted+"/test", "")},
			{"", send(w.key, "POST", "/api/v1/webhooks/"+deleted+"/replay", `{"since":"2026-05-01T00:00:00Z"}`)},
			{"", send(w.key, "POST", "/api/v1/webhooks/"+deleted+"/deliveries/"+relay.AttemptIDFloor(w.clock.Now())+"/retry", "")},
		},
		relay.KindEventNotMatched: {{"", func() *reply {
			w.record("evt_other_type", live, relay.AttemptSucceeded, 0)
			w.call("PATCH", "/api/v1/webhooks/"+live, `{"event_types":["order.paid"]}`).is(200)
			return w.call("POST", "/api/v1/webhooks/"+live+"/deliver", `{"event_id":"evt_other_type"}`)
		}}},
		relay.KindLimitExceeded: {{"", func() *reply {
			w.createEndpoint()
			return w.call("POST", "/api/v1/webhooks", newEndpoint)
		}}},
		relay.KindPayloadTooLarge: {
			{"", send(w.key, "POST", "/api/v1/webhook-events", `{"type":"a.b","data":{"x":"`+strings.Repeat("x", relay.MaxPayload)+`"}}`)},
		},
		relay.KindUnsupportedMediaType: {
			{"", send(w.key, "POST", "/api/v1/webhooks", newEndpoint, "Content-Type", "text/plain")},
			{"", send(w.key, "POST", "/api/v1/webhooks", newEndpoint, "Content-Type", "")},
			{"", send(w.key, "POST", "/api/v1/webhooks", newEndpoint, "Content-Type", "application/json; charset=latin1")},
			{"", send(w.key, "POST", "/api/v1/webhooks", newEndpoint, "Content-Encoding", "gzip")},
		},
		relay.KindUnavailable: {{"", func() *reply {
			b.fail["KeyByHash"] = errDown
			defer delete(b.fail, "KeyByHash")
			return w.call("GET", "/api/v1/webhooks", "")
		}}},
		relay.KindInternal: {{"", func() *reply {
			b.fail["Endpoints"] = errPanic
			defer delete(b.fail, "Endpoints")
			return w.call("GET", "/api/v1/webhooks", "")
		}}},
	}
	for kind, requests := range cases {
		for _, c := range requests {
			a := c.make().refused(kind, c.param)
			if a.status == 401 && a.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s: a 401 without WWW-Authenticate", a.what)
			}
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(statuses)), slices.Sorted(maps.Keys(cases))); diff != "" {
		t.Errorf("codes that are not tried (-), or not known (+):\n%s", diff)
	}
}

func TestWhatFailsGivesNothingAwayAndIsLoggedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		kind relay.Kind
		line string
	}{
		"a failed store": {errDown, relay.KindUnavailable, "10.0.3.17"},
		"a panic":        {errPanic, relay.KindInternal, "out of range"},
	} {
		w, b := newBroken(t)
		b.fail["Endpoints"] = c.err
		a := w.call("GET", "/api/v1/webhooks", "").refused(c.kind, "")
		for _, secret := range []string{"10.0.3.17", "out of range", "goroutine", ".go:"} {
			if strings.Contains(a.raw, secret) {
				t.Errorf("%s: the answer says %q: %s", name, secret, a.raw)
			}
		}
		lines := strings.Count(w.log.String(), "\n")
		if lines != 1 || !strings.Contains(w.log.String(), c.line) || !strings.Contains(w.log.String(), a.header.Get("X-Request-Id")) ||
			!strings.Contains(w.log.String(), `"level":"ERROR"`) {
			t.Errorf("%s: %d lines, want one ERROR with the cause and the request id:\n%s", name, lines, w.log)
		}
	}
}

func TestPathsThatAreNotOursAreNotRedirected(t *testing.T) {
	w := newWorld(t)
	id := w.createEndpoint()
	for _, path := range []string{
		"/api/v1/webhooks/", "/api/v1//webhooks", "/api/v1/./webhooks", "/api/v1/x/../webhooks", "//api/v1/webhooks",
		"/api/v1/webhooks/" + id + "/", "/api/v1/webhooks//test", "/API/v1/webhooks", "/api/v1", "/in/x",
	} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			if a := w.call(method, path, "").refused(relay.KindNotFound, ""); a.header.Get("Location") != "" {
				t.Errorf("%s %s: redirected to %s", method, path, a.header.Get("Location"))
			}
		}
	}
	r := w.request(w.key, "OPTIONS", "/", "")
	r.URL.Path, r.RequestURI = "*", "*"
	w.send(r).refused(relay.KindNotFound, "")
}

func TestOtherMethodsAreToldWhatIsAllowed(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{
		"/api/v1/webhooks":            "GET, HEAD, OPTIONS, POST",
		"/api/v1/webhooks/x":          "DELETE, GET, HEAD, OPTIONS, PATCH",
		"/api/v1/webhooks/x/test":     "OPTIONS, POST",
		"/api/v1/sources/x/expect":    "DELETE, GET, HEAD, OPTIONS, POST",
		"/api/v1/openapi.json":        "GET, HEAD, OPTIONS",
		"/general/update-webhook":     "OPTIONS, POST",
		"/api/v1/replays/x":           "DELETE, GET, HEAD, OPTIONS",
		"/api/v1/webhook-events/x%2F": "GET, HEAD, OPTIONS",
	} {
		for _, method := range []string{"PUT", "TRACE", "BREW"} {
			if got := w.call(method, path, "").refused(relay.KindMethodNotAllowed, "").header.Get("Allow"); got != want {
				t.Errorf("%s %s: Allow is %q, want %q", method, path, got, want)
			}
		}
		if a := w.callAs("", "OPTIONS", path, "").is(204); a.header.Get("Allow") != want || a.raw != "" {
			t.Errorf("OPTIONS %s: Allow %q and body %q", path, a.header.Get("Allow"), a.raw)
		}
	}
	get, head := w.call("GET", "/api/v1/webhooks", ""), w.call("HEAD", "/api/v1/webhooks", "").is(200)
	if head.raw != "" || head.header.Get("Content-Length") != get.header.Get("Content-Length") {
		t.Errorf("HEAD: body %q, Content-Length %s; GET's is %s", head.raw, head.header.Get("Content-Length"), get.header.Get("Content-Length"))
	}
	w.callAs("", "HEAD", "/api/v1/webhooks", "").is(401)
}

// counted is a body that tells how much of it was read.
type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

func TestAnOversizedBodyIsNotReadBeyondTheLimit(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/api/v1/webhook-events", "/api/v1/webhooks", "/general/update-webhook"} {
		body := &counted{Reader: io.LimitReader(endless{}, 64<<20)}
		r := httptest.NewRequest("POST", path, body)
		r.ContentLength = -1
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+w.key.Reveal())
		r.Header.Set("sivi-api-key", w.key.Reveal())
		want := http.StatusRequestEntityTooLarge
		if path == "/general/update-webhook" {
			want = http.StatusUnprocessableEntity
		}
		w.send(r).is(want)
		if body.n > relay.MaxPayload+64<<10 {
			t.Errorf("%s: %d bytes were read", path, body.n)
		}
	}
	// Said beforehand, nothing is read; without a key neither.
	body := &counted{Reader: endless{}}
	r := httptest.NewRequest("POST", "/api/v1/webhook-events", body)
	r.ContentLength = relay.MaxPayload + 1
	r.Header.Set("Content-Type", "application/json")
	w.send(r).refused(relay.KindKeyMissing, "")
	r.Header.Set("Authorization", "Bearer "+w.key.Reveal())
	w.send(r).refused(relay.KindPayloadTooLarge, "")
	if body.n != 0 {
		t.Errorf("%d bytes were read", body.n)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestOverARealConnection(t *testing.T) {
	w := newWorld(t)
	srv := httptest.NewServer(New(w.Config))
	defer srv.Close()
	big := bytes.Repeat([]byte(" "), relay.MaxPayload+1)
	req, _ := http.NewRequest("POST", srv.URL+"/api/v1/webhook-events", io.MultiReader(bytes.NewReader(big))) // chunked
	req.Header.Set("Authorization", "Bearer "+w.key.Reveal())
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 413 || !strings.Contains(string(body), "payload_too_large") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestAWriteOutlivesItsClient(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w.send(w.request(w.key, "POST", "/api/v1/webhooks", newEndpoint).WithContext(ctx)).is(201)
	w.send(w.request(w.key, "GET", "/api/v1/webhooks", "").WithContext(ctx)).refused(relay.KindUnavailable, "")
}

func TestAKeyEndsWhenItExpires(t *testing.T) {
	w := newWorld(t)
	at := w.clock.Now().Add(time.Hour)
	key := relay.Secret(w.call("POST", "/api/v1/api-keys", `{"name":"short","expires_at":"`+relay.FormatTime(at)+`"}`).is(201).text("api_key"))
	w.callAs(key, "GET", "/api/v1/webhooks", "").is(200)
	w.clock.Set(at.Add(-time.Millisecond))
	w.callAs(key, "GET", "/api/v1/webhooks", "").is(200)
	w.clock.Set(at)
	w.callAs(key, "GET", "/api/v1/webhooks", "").refused(relay.KindKeyExpired, "")
}
