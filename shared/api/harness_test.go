package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
	"hookferry/shared/seal"
	"hookferry/shared/sqlite"
	"hookferry/shared/telemetry"
)

// onSQLite makes worlds stand on a data file instead of memory.
var onSQLite = false

// A world is an API over a store and queues, with one account and a key of
// every scope. Each of its answers is held against openapi.json.
type world struct {
	*server
	t       testing.TB
	h       http.Handler
	clock   *relaytest.Clock
	events  relay.Queue
	retries relay.Queue
	log     *bytes.Buffer // lines of the log and the audit
	account string
	keyID   string
	key     relay.Secret
}

func newWorld(t testing.TB, configure ...func(*Config)) *world {
	clock := relaytest.NewClock()
	w := &world{t: t, clock: clock, log: new(bytes.Buffer)}
	var store relay.Store
	if onSQLite {
		db, err := sqlite.Open(context.Background(), sqlite.Config{Path: filepath.Join(t.TempDir(), "data.db"), Retention: relaytest.Retention, Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		store, w.events, w.retries = db, db.Queue("events"), db.Queue("retries")
	} else {
		store = relaytest.NewMemory(clock.Now, relaytest.Retention)
		w.events, w.retries = relaytest.NewMemoryQueue(clock.Now), relaytest.NewMemoryQueue(clock.Now)
	}
	logger := slog.New(slog.NewJSONHandler(&locked{w: w.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg := Config{
		Store: store, Events: w.events, Retries: w.retries,
		Keys: seal.Generate(), Now: clock.Now, Log: telemetry.New(logger, clock.Now), Audit: logger,
	}
	for _, f := range configure {
		f(&cfg)
	}
	w.server = newServer(cfg)
	w.retryWait = time.Millisecond
	w.h = w.handler()
	w.account, w.keyID, w.key = w.newAccount("first")
	return w
}

// locked makes a buffer safe for concurrent writers.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (w *world) newAccount(name string) (account, keyID string, key relay.Secret) {
	w.t.Helper()
	account = relay.NewID(relay.AccountPrefix, w.clock.Now())
	if err := w.Store.CreateAccount(context.Background(), relay.Account{ID: account, Name: name, CreatedAt: w.clock.Now()}); err != nil {
		w.t.Fatal(err)
	}
	keyID, key = w.newKey(account, append(relay.Scopes(), relay.ScopeAccounts)...)
	return account, keyID, key
}

func (w *world) newKey(account string, scopes ...relay.Scope) (id string, key relay.Secret) {
	w.t.Helper()
	key = relay.NewAPIKey()
	k := relay.Key{
		ID: relay.NewID(relay.KeyPrefix, w.clock.Now()), Account: account, Name: "test", Hash: relay.HashSecret(key),
		Prefix: key.Reveal()[:12], Scopes: scopes, CreatedAt: w.clock.Now(),
	}
	if err := w.Store.CreateKey(context.Background(), k, 1000); err != nil {
		w.t.Fatal(err)
	}
	return k.ID, key
}

// A reply is an answer that has been held against the document.
type reply struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	raw    string
	json   map[string]any
}

// call makes a call with the world's key.
func (w *world) call(method, path, body string) *reply {
	w.t.Helper()
	return w.callAs(w.key, method, path, body)
}

func (w *world) callAs(key relay.Secret, method, path, body string) *reply {
	w.t.Helper()
	return w.send(w.request(key, method, path, body))
}

func (w *world) request(key relay.Secret, method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "relay.example.org" // not where the endpoints are
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key.Reveal())
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func (w *world) send(r *http.Request) *reply {
	w.t.Helper()
	rec := httptest.NewRecorder()
	asked := new(bytes.Buffer)
	if r.Body != nil {
		r.Body = io.NopCloser(io.TeeReader(r.Body, asked))
	}
	w.h.ServeHTTP(rec, r)
	a := &reply{t: w.t, what: r.Method + " " + r.URL.String(), status: rec.Code, header: rec.Header(), raw: rec.Body.String()}
	if !validID(relay.RequestPrefix, a.header.Get("X-Request-Id")) {
		w.t.Errorf("%s: X-Request-Id is %q", a.what, a.header.Get("X-Request-Id"))
	}
	if r.Method != http.MethodHead && a.status != http.StatusNoContent {
		if err := json.Unmarshal(rec.Body.Bytes(), &a.json); err != nil {
			w.t.Fatalf("%s: %d with a body that is no object: %q", a.what, a.status, a.raw)
		}
		document(w.t).check(w.t, r, asked.Bytes(), a)
	}
	return a
}

// is fails the test unless the answer has this status, and returns it.
func (a *reply) is(status int) *reply {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: %d, want %d: %s", a.what, a.status, status, a.raw)
	}
	return a
}

// refused fails the test unless the answer is this error about this param.
func (a *reply) refused(kind relay.Kind, param string) *reply {
	a.t.Helper()
	e, _ := a.json["error"].(map[string]any)
	if a.status != statuses[kind] || e["code"] != string(kind) || (e["param"] != param && !(param == "" && e["param"] == nil)) {
		a.t.Fatalf("%s: %d %s, want %s about %q", a.what, a.status, a.raw, kind, param)
	}
	if e["requestId"] != a.header.Get("X-Request-Id") || e["message"] == "" {
		a.t.Errorf("%s: error %v, want requestId %s and a message", a.what, e, a.header.Get("X-Request-Id"))
	}
	return a
}

// text returns the string at a path of names and indexes, like data.0.id.
func (a *reply) text(path string) string {
	a.t.Helper()
	s, ok := a.at(path).(string)
	if !ok {
		a.t.Fatalf("%s: %s is %v, want a string", a.what, path, a.at(path))
	}
	return s
}

func (a *reply) at(path string) any {
	a.t.Helper()
	var v any = a.json
	for _, name := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			i := int(name[0] - '0')
			if i >= len(x) {
				a.t.Fatalf("%s: there is no %s in %s", a.what, path, a.raw)
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// equal fails the test unless the values at the paths are those given.
func (a *reply) equal(want map[string]any) *reply {
	a.t.Helper()
	for path, v := range want {
		got, _ := json.Marshal(a.at(path))
		exp, _ := json.Marshal(v)
		if !bytes.Equal(got, exp) {
			a.t.Errorf("%s: %s is %s, want %s", a.what, path, got, exp)
		}
	}
	return a
}

const newEndpoint = `{"name":"Production webhook","url":"https://example.com/rivya/webhook","event_types":["generation.succeeded","generation.failed"]}`

func (w *world) createEndpoint() string {
	w.t.Helper()
	return w.call("POST", "/api/v1/webhooks", newEndpoint).is(201).text("id")
}

func (w *world) stored(id string) relay.Endpoint {
	w.t.Helper()
	ep, err := w.Store.Endpoint(context.Background(), w.account, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return ep
}

// queued takes what a queue has.
func queued(t testing.TB, q relay.Queue) []relay.Message {
	t.Helper()
	got, err := q.Receive(context.Background(), relay.MaxBatch, 0, 12*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	msgs := make([]relay.Message, len(got))
	for i, r := range got {
		if msgs[i], err = relay.DecodeMessage(r.Body); err != nil {
			t.Fatal(err)
		}
	}
	return msgs
}

// record puts an event and one final attempt of it to an endpoint, as the
// dispatcher would.
func (w *world) record(event, endpoint string, status relay.AttemptStatus, run int) relay.Attempt {
	w.t.Helper()
	ctx, now := context.Background(), w.clock.Now()
	ev := relay.Event{
		ID: event, Account: w.account, Type: "generation.succeeded", Format: relay.FormatRivya,
		VerifiedBy: relay.VerifiedBySignature, CreatedAt: now, Payload: relay.NewPayload([]byte(`{"id":"` + event + `"}`)),
	}
	a := relay.Attempt{
		ID: relay.AttemptID(w.account, event, endpoint, run, 1, now), Account: w.account, EventID: event,
		EventType: ev.Type, EndpointID: endpoint, Run: run, Number: 1, Status: status, Final: true,
		RequestID: relay.NewID(relay.RequestPrefix, now), Duration: 12 * time.Millisecond, DueAt: now, CreatedAt: now, MID: relay.NewMID(), EventCreatedAt: now,
	}
	switch status {
	case relay.AttemptSucceeded:
		a.HTTPStatus, a.Snippet = 200, "ok"
	case relay.AttemptFailed:
		a.HTTPStatus, a.Snippet, a.ErrorCode, a.ErrorMessage = 500, "no", relay.CodeHTTPError, "The endpoint answered 500."
	case relay.AttemptSkipped:
		a.ErrorCode, a.ErrorMessage = relay.CodeEndpointDisabled, "The endpoint is disabled."
	}
	_, err1 := w.Store.PutEvent(ctx, relay.EventRecord{Event: ev, MID: a.MID, Matched: []string{endpoint}})
	_, err2 := w.Store.RecordAttempt(ctx, a)
	err3 := w.Store.ListEvent(ctx, ev, []relay.Delivery{a.Delivery()})
	if err := errors.Join(err1, err2, err3); err != nil {
		w.t.Fatal(err)
	}
	return a
}
