package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

// A maker is a call that makes something.
type maker struct {
	path, body string
	other      string // a body that is as good
	id         string // where the answer names what was made
	count      func(w *world) int
}

func (w *world) counted(path string) int {
	w.t.Helper()
	return len(w.call("GET", path, "").is(200).at("data").([]any))
}

// makers are the calls that take an Idempotency-Key, on a world that has an
// endpoint with one failed attempt.
func makers(w *world) map[string]maker {
	w.t.Helper()
	ep := w.createEndpoint()
	a := w.record("evt_00000000000000000001", ep, relay.AttemptFailed, 0)
	latest := func(w *world) int {
		r, err := w.Store.Event(context.Background(), w.account, a.EventID, true)
		if err != nil {
			w.t.Fatal(err)
		}
		return r.Latest(ep)
	}
	events := func(w *world) int {
		sent := map[string]bool{}
		for _, m := range queued(w.t, w.events) {
			sent[m.Event.ID] = true
		}
		return len(sent)
	}
	replays := func(w *world) int {
		started := map[string]bool{}
		for _, m := range queued(w.t, w.retries) {
			started[m.ReplayID] = true
		}
		return len(started)
	}
	since := relay.FormatTime(w.clock.Now().Add(-time.Hour))
	return map[string]maker{
		"createEndpoint":   {"/api/v1/webhooks", newEndpoint, strings.Replace(newEndpoint, "Production", "Other", 1), "id", func(w *world) int { return w.counted("/api/v1/webhooks") - 1 }},
		"createSource":     {"/api/v1/sources", `{"provider":"sivi","name":"s"}`, `{"provider":"sivi","name":"t"}`, "id", func(w *world) int { return w.counted("/api/v1/sources") }},
		"createKey":        {"/api/v1/api-keys", `{"name":"k"}`, `{"name":"l"}`, "id", func(w *world) int { return w.counted("/api/v1/api-keys") - 1 }},
		"createPortalLink": {"/api/v1/portal-links", `{}`, `{"expires_in":60}`, "object", func(w *world) int { return strings.Count(w.log.String(), `"portal_link.create"`) }},
		"createAccount": {"/api/v1/accounts", `{"name":"customer"}`, `{"name":"customers"}`, "id", func(w *world) int {
			accounts, _, err := w.Store.Accounts(context.Background(), relay.Page{Limit: 100})
			if err != nil {
				w.t.Fatal(err)
			}
			return len(accounts) - 1
		}},
		"publishEvent":  {"/api/v1/webhook-events", `{"type":"order.paid","data":{}}`, `{"type":"order.paid","data":{"n":1}}`, "id", events},
		"testEndpoint":  {"/api/v1/webhooks/" + ep + "/test", "", "", "id", events},
		"retryDelivery": {"/api/v1/webhooks/" + ep + "/deliveries/" + a.ID + "/retry", "", "", "next_attempt_id", latest},
		"deliverEvent":  {"/api/v1/webhooks/" + ep + "/deliver", `{"event_id":"` + a.EventID + `"}`, `{ "event_id":"` + a.EventID + `"}`, "next_attempt_id", latest},
		"createReplay":  {"/api/v1/webhooks/" + ep + "/replay", `{"since":"` + since + `"}`, `{"since":"` + since + `","max_per_second":3}`, "id", replays},
	}
}

func (w *world) keyed(key relay.Secret, path, body, idempotency string) *http.Request {
	r := w.request(key, "POST", path, body)
	r.Header.Set("Idempotency-Key", idempotency)
	return r
}

func TestEveryCallThatMakesSomethingTakesAnIdempotencyKey(t *testing.T) {
	var documented []string
	for _, item := range document(t).doc["paths"].(map[string]any) {
		for _, op := range item.(map[string]any) {
			op := op.(map[string]any)
			params, _ := op["parameters"].([]any)
			if slices.ContainsFunc(params, func(p any) bool { return p.(map[string]any)["$ref"] == "#/components/parameters/idempotency_key" }) {
				documented = append(documented, op["operationId"].(string))
			}
		}
	}
	known := makers(newWorld(t))
	for _, op := range documented {
		if _, ok := known[op]; !ok {
			t.Errorf("%s takes a key and is not tried", op)
		}
	}
	for op := range known {
		t.Run(op, func(t *testing.T) {
			if !slices.Contains(documented, op) {
				t.Error("the document does not say so")
			}
			w := newWorld(t)
			m := makers(w)[op]
			first := w.send(w.keyed(w.key, m.path, m.body, "k"))
			if first.status > 202 || first.header.Get("Idempotent-Replayed") != "" {
				t.Fatalf("%d %s, headers %v", first.status, first.raw, first.header)
			}
			w.clock.Advance(time.Hour)
			again := w.send(w.keyed(w.key, m.path, m.body, "k")).is(first.status)
			if again.text(m.id) != first.text(m.id) || again.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("the same call again: %s, headers %v; first %s", again.raw, again.header, first.raw)
			}
			if m.other != "" {
				w.send(w.keyed(w.key, m.path, m.other, "k")).refused(relay.KindIdempotencyConflict, "")
			}
			for _, other := range makers(w) { // on another endpoint, too
				if other.path != m.path {
					w.send(w.keyed(w.key, other.path, other.body, "k")).refused(relay.KindIdempotencyConflict, "")
				}
			}
		})
		t.Run(op+", once", func(t *testing.T) {
			w := newWorld(t)
			m := makers(w)[op]
			for range 3 {
				w.send(w.keyed(w.key, m.path, m.body, "k"))
			}
			if n := m.count(w); n != 1 {
				t.Errorf("%d were made", n)
			}
		})
		t.Run(op+", no body is an empty one", func(t *testing.T) {
			w := newWorld(t)
			if m := makers(w)[op]; m.body == "" {
				first := w.send(w.keyed(w.key, m.path, "", "k")).is(202)
				if again := w.send(w.keyed(w.key, m.path, "{}", "k")).is(202); again.text(m.id) != first.text(m.id) {
					t.Errorf("%s, first %s", again.raw, first.raw)
				}
			}
		})
	}
}

// All at once, so that some come between the record of the key and what it
// stands for.
func TestTheSameCallManyTimesAtOnceMakesOneThing(t *testing.T) {
	for op := range makers(newWorld(t)) {
		t.Run(op, func(t *testing.T) {
			w := newWorld(t)
			m := makers(w)[op]
			answers := make([]*httptest.ResponseRecorder, 12)
			var all sync.WaitGroup
			for i := range answers {
				answers[i] = httptest.NewRecorder()
				all.Go(func() { w.h.ServeHTTP(answers[i], w.keyed(w.key, m.path, m.body, "k")) })
			}
			all.Wait()
			shown := 0
			for _, a := range answers {
				if a.Code > 202 {
					t.Errorf("%d %s %s", a.Code, a.Body, w.log)
				}
				if strings.Contains(a.Body.String(), `"api_key":`) {
					shown++
				}
			}
			if n := m.count(w); n != 1 || op == "createKey" && shown != 1 {
				t.Errorf("%d were made, and an API key was shown %d times", n, shown)
			}
		})
	}
}

// A call that fails anywhere, before or after a write took effect, is repeated
// until it is answered: one thing is there then.
func TestACallThatFailsAnywhereIsFinishedByItsRepeat(t *testing.T) {
	const worlds = 12
	for op := range makers(newWorld(t)) {
		for seed := range worlds {
			t.Run(fmt.Sprint(op, " ", seed), func(t *testing.T) {
				w := newWorld(t)
				m := makers(w)[op]
				calm, events, retries := w.Store, w.Events, w.Retries
				dice := relaytest.NewDice(uint64(seed))
				f := relaytest.Faults{WriteFails: .3, WriteLies: .3, SendFails: .2, SendLies: .2}
				w.Store = relaytest.FaultyStore(calm, dice, f, w.clock.Now)
				w.Events = relaytest.NewFaultyQueue(events, "events", dice, f, w.clock.Now)
				w.Retries = relaytest.NewFaultyQueue(retries, "retries", dice, f, w.clock.Now)
				for tries := 0; ; tries++ {
					a := w.send(w.keyed(w.key, m.path, m.body, "k"))
					if a.status <= 202 {
						break
					}
					a.refused(relay.KindUnavailable, "")
					if w.clock.Advance(time.Second); tries > 200 {
						t.Fatal("it is never answered")
					}
				}
				w.Store, w.Events, w.Retries = calm, events, retries
				if n := m.count(w); n != 1 {
					t.Errorf("%d were made", n)
				}
			})
		}
	}
}

func TestASigningSecretIsShownAgainToTheKeyThatMadeIt(t *testing.T) {
	w := newWorld(t)
	create := func(key relay.Secret) *reply {
		return w.send(w.keyed(key, "/api/v1/webhooks", newEndpoint, "k")).is(201)
	}
	first := create(w.key)
	secret, path := first.text("signing_secret"), "/api/v1/webhooks/"+first.text("id")
	w.call("PATCH", path, `{"name":"Another"}`).is(200)
	w.call("PATCH", path, `{"status":"disabled"}`).is(200)
	if again := create(w.key); again.text("signing_secret") != secret || again.text("name") != "Another" {
		t.Errorf("again: %s", again.raw)
	}
	_, other := w.newKey(w.account, relay.ScopeManage)
	if a := create(other); a.at("signing_secret") != nil || a.text("id") != first.text("id") {
		t.Errorf("to another key of the account: %s", a.raw)
	}
	w.call("POST", path+"/rotate-secret", `{"overlap_seconds":0}`).is(200)
	if a := create(w.key); a.at("signing_secret") != nil {
		t.Errorf("after a rotation: %s", a.raw)
	}
	if n := strings.Count(w.log.String(), `"endpoint.create"`); n != 1 {
		t.Errorf("%d audit lines say that it was made", n)
	}
	w.clock.Advance(24*time.Hour + time.Second)
	if a := create(w.key); a.text("id") == first.text("id") {
		t.Error("after 24 hours the key still stands for the endpoint")
	}
}

func TestTheTextOfAnAPIKeyIsNeverShownAgain(t *testing.T) {
	w := newWorld(t)
	create := func() *reply {
		return w.send(w.keyed(w.key, "/api/v1/api-keys", `{"name":"k"}`, "k")).is(201)
	}
	first := create()
	text := relay.Secret(first.text("api_key"))
	again := create()
	if again.at("api_key") != nil || again.text("id") != first.text("id") || !strings.Contains(again.text("notice"), "revoke this key") {
		t.Errorf("again: %s", again.raw)
	}
	w.callAs(text, "GET", "/api/v1/webhooks", "").is(200) // it is still the first text

	// Made, with an answer that says otherwise: the text is known to nobody.
	failing := &lying{Store: w.Store}
	w.Store = failing
	lost := w.send(w.keyed(w.key, "/api/v1/api-keys", `{"name":"k"}`, "l"))
	if lost.status == 201 && lost.at("api_key") == nil {
		t.Errorf("the call that made the key hides it: %s", lost.raw)
	}
}

// lying makes a key and says that it did not.
type lying struct{ relay.Store }

func (s *lying) CreateKey(ctx context.Context, k relay.Key, limit int) error {
	return errors.Join(errors.New("no answer"), s.Store.CreateKey(ctx, k, limit))
}

func TestARepeatedRetryDoesNotOvertakeALaterOne(t *testing.T) {
	w := newWorld(t)
	ep := w.createEndpoint()
	a := w.record("evt_00000000000000000001", ep, relay.AttemptFailed, 0)
	path := "/api/v1/webhooks/" + ep + "/deliveries/" + a.ID + "/retry"
	w.clock.Advance(time.Second)
	w.send(w.keyed(w.key, path, "", "k")).is(202).equal(map[string]any{"run": 1})
	w.clock.Advance(time.Second)
	w.call("POST", path, "").is(202).equal(map[string]any{"run": 2})
	w.send(w.keyed(w.key, path, "", "k")).is(202).equal(map[string]any{"run": 2})
	w.send(w.keyed(w.key, path, "", "l")).is(202).equal(map[string]any{"run": 3})
}

func TestARepeatIsGoodAtTheLimit(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.EndpointLimit = 1 })
	first := w.send(w.keyed(w.key, "/api/v1/webhooks", newEndpoint, "k")).is(201)
	if again := w.send(w.keyed(w.key, "/api/v1/webhooks", newEndpoint, "k")).is(201); again.text("id") != first.text("id") {
		t.Error(again.raw)
	}
	w.send(w.keyed(w.key, "/api/v1/webhooks", newEndpoint, "l")).refused(relay.KindLimitExceeded, "")
}

func TestAnIdempotencyKeyThatIsNoneIsRefusedEverywhere(t *testing.T) {
	w := newWorld(t)
	for op, m := range makers(w) {
		for _, bad := range []string{"", "a b", strings.Repeat("x", 256)} {
			if a := w.send(w.keyed(w.key, m.path, m.body, bad)); a.at("error.param") != "Idempotency-Key" {
				t.Errorf("%s with %q: %s", op, bad, a.raw)
			}
		}
	}
}
