package receiver

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/signature"
	"hookferry/shared/telemetry"
)

const (
	rivyaSecret = relay.Secret("whsec_rivya-secret-now")
	oldSecret   = relay.Secret("whsec_rivya-secret-before")
	siviToken   = relay.Secret("tok-Zk3w9QdR5sTn1uVb7xYc0aEf2gHi4jKl6mNo8pQr")
	oldToken    = relay.Secret("tok-OldOldOldOldOldOldOldOldOldOldOldOldOldO")

	rivyaBody = `{"id":"evt_1","type":"generation.succeeded","api_version":"2026-05-11","created_at":"2026-05-11T00:00:00.000Z","data":{"generation":{"id":"task_1"}}}`
	siviBody  = `{"status":200,"body":{"status":"complete","requestId":"sb1","result":{"variations":[]}}}`
)

var start = time.Date(2026, 5, 11, 0, 0, 0, 123_456_789, time.UTC)

// A bench is a receiver on sources and a lane in memory.
type bench struct {
	http.Handler
	now     time.Time
	keys    *seal.Keyring
	mu      sync.Mutex
	sources map[string]relay.Source
	lookups []string
	lookErr error
	sent    []relay.Outgoing
	sendErr error
	onSend  func(context.Context)
	log     bytes.Buffer
	bodies  *Bodies
	relay.Queue
}

func newBench(tb testing.TB) *bench {
	b := &bench{now: start, keys: seal.Generate(), sources: map[string]relay.Source{}}
	sealed := func(source, field string, s relay.Secret) relay.Sealed {
		return b.keys.Seal(s, seal.Place{Account: "acct_1", Object: source, Field: field})
	}
	for _, s := range []relay.Source{
		{ID: "src_rivya", Provider: relay.Rivya, Secret: sealed("src_rivya", "signing_secret", rivyaSecret)},
		{
			ID: "src_rotated", Provider: relay.Rivya, Secret: sealed("src_rotated", "signing_secret", rivyaSecret),
			OldSecret: sealed("src_rotated", "old_signing_secret", oldSecret), OldSecretUntil: start.Add(time.Hour),
		},
		{ID: "src_nosecret", Provider: relay.Rivya},
		{ID: "src_damaged", Provider: relay.Rivya, Secret: sealed("src_other", "signing_secret", rivyaSecret)},
		{ID: "src_off", Provider: relay.Rivya, Status: relay.Disabled, Secret: sealed("src_off", "signing_secret", rivyaSecret)},
		{
			ID: "src_sivi", Provider: relay.Sivi, TokenHash: relay.HashSecret(siviToken),
			OldTokenHash: relay.HashSecret(oldToken), OldTokenUntil: start.Add(time.Hour),
		},
		{ID: "src_sivioff", Provider: relay.Sivi, Status: relay.Disabled, TokenHash: relay.HashSecret(siviToken)},
		{ID: "src_notoken", Provider: relay.Sivi},
	} {
		s.Account = "acct_1"
		if s.Status == "" {
			s.Status = relay.Active
		}
		b.sources[s.ID] = s
	}
	now := func() time.Time { return b.now }
	logger := slog.New(slog.NewJSONHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b.Handler = New(Config{Sources: b, Events: b, Keys: b.keys, Now: now, Log: telemetry.New(logger, now)})
	return b
}

// bounded gives the receiver a bound on the bodies in hand.
func (b *bench) bounded(total int64) *Bodies {
	b.bodies = NewBodies(total)
	rc := b.Handler.(*receiver).Config
	rc.Bodies = b.bodies
	b.Handler = New(rc)
	return b.bodies
}

func (b *bench) IngestSource(ctx context.Context, id string) (relay.Source, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lookups = append(b.lookups, id)
	if b.lookErr != nil {
		return relay.Source{}, b.lookErr
	}
	s, ok := b.sources[id]
	if !ok {
		return s, relay.ErrNotFound
	}
	return s, nil
}

func (b *bench) Send(ctx context.Context, msgs ...relay.Outgoing) error {
	if b.onSend != nil {
		b.onSend(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sendErr != nil {
		return b.sendErr
	}
	b.sent = append(b.sent, msgs...)
	return nil
}

// events decodes what was sent.
func (b *bench) events(tb testing.TB) []relay.Event {
	tb.Helper()
	var evs []relay.Event
	for _, out := range b.sent {
		m, err := relay.DecodeMessage(out.Body)
		if err != nil || m.Kind != relay.MessageEvent {
			tb.Fatalf("sent %s: %v", out.Body, err)
		}
		evs = append(evs, *m.Event)
	}
	return evs
}

func (b *bench) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

func post(path, body string) *http.Request {
	return httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
}

// signed returns a call that Rivya would make at the time.
func signed(tb testing.TB, source, body string, at time.Time, secrets ...relay.Secret) *http.Request {
	tb.Helper()
	sig, err := signature.SignRivya(at.Unix(), []byte(body), secrets...)
	if err != nil {
		tb.Fatal(err)
	}
	r := post("/in/"+source, body)
	r.Header.Set(headerID, "evt_1")
	r.Header.Set(headerTimestamp, strconv.FormatInt(at.Unix(), 10))
	r.Header.Set(headerSignature, sig)
	return r
}

func siviPath(source string, token relay.Secret) string {
	return "/in/" + source + "/" + token.Reveal()
}

// wantError checks a refusal's status and body, and that nothing was sent.
func (b *bench) wantError(tb testing.TB, w *httptest.ResponseRecorder, status int, code relay.Kind) {
	tb.Helper()
	var got struct {
		Error struct{ Code, Message, RequestID string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		tb.Fatalf("answer %d %s: %v", w.Code, w.Body, err)
	}
	e := got.Error
	if w.Code != status || e.Code != string(code) {
		tb.Errorf("got %d %s, want %d %s: %s", w.Code, e.Code, status, code, w.Body)
	}
	if id := w.Header().Get("X-Request-Id"); !strings.HasPrefix(id, "req_") || e.RequestID != id {
		tb.Errorf("request id %q in the body, %q in the header", e.RequestID, id)
	}
	if e.Message == "" || w.Header().Get("Content-Type") != "application/json" {
		tb.Errorf("message %q, content type %q", e.Message, w.Header().Get("Content-Type"))
	}
	if len(b.sent) != 0 {
		tb.Errorf("%d messages were sent", len(b.sent))
	}
}

func wantAccepted(tb testing.TB, w *httptest.ResponseRecorder, id string) {
	tb.Helper()
	if want := `{"received":true,"id":"` + id + `"}`; w.Code != 200 || w.Body.String() != want {
		tb.Errorf("got %d %s, want 200 %s", w.Code, w.Body, want)
	}
	if !strings.HasPrefix(w.Header().Get("X-Request-Id"), "req_") || w.Header().Get("Content-Type") != "application/json" {
		tb.Errorf("headers %v", w.Header())
	}
}

// cmpEvents compares events with their payloads inflated.
var cmpEvents = cmp.Transformer("payload", func(p relay.Payload) string {
	b, err := p.Bytes()
	if err != nil {
		return "damaged: " + err.Error()
	}
	return string(b)
})

func (b *bench) setSecret(source string, s relay.Secret) {
	src := b.sources[source]
	src.Secret = b.keys.Seal(s, seal.Place{Account: "acct_1", Object: source, Field: "signing_secret"})
	b.sources[source] = src
}

// TestNoTokenIsEverSeen makes every kind of answer with a token in the URL and
// looks for it, and for the secrets, in all that comes out.
