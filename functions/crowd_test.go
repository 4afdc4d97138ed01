package functions

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/signature"
)

// The kinds of event that the crowd sends, each with the status that it must
// have in the end.
const (
	bySignature = "signed"    // Rivya's, delivered
	byToken     = "token"     // Sivi's, confirmed by Sivi and delivered
	denied      = "denied"    // Sivi's, denied by Sivi
	byKey       = "published" // to two endpoints, of which one fails at first for some
	hopeless    = "hopeless"  // to an endpoint that is down
	switchedOff = "off"       // to an endpoint that is disabled
	unheard     = "unheard"   // to nobody
)

var outcomes = map[string]relay.EventStatus{
	bySignature: relay.EventDelivered, byToken: relay.EventDelivered, denied: relay.EventRejected,
	byKey: relay.EventDelivered, hopeless: relay.EventFailed, switchedOff: relay.EventSkipped, unheard: relay.EventUnmatched,
}

// kindOf gives the i-th event its kind.
func kindOf(i int) string {
	switch n := i % 100; {
	case n < 50:
		return bySignature
	case n < 56:
		return byToken
	case n < 59:
		return denied
	case n < 91:
		return byKey
	case n < 94:
		return hopeless
	case n < 97:
		return switchedOff
	}
	return unheard
}

const (
	crowdSivi = "src_00000000000000000000000003"
	siviToken = relay.Secret("token-of-the-sivi-source")
)

var crowdEndpoints = map[string][]string{
	"steady": {"generation.succeeded", "order.paid"},
	"flaky":  {"order.paid"},
	"down":   {"order.lost"},
	"off":    {"order.sent"},
}

// A town is the tenant of the crowd: its endpoints, sources, destinations, and
// the Sivi that is asked.
type town struct {
	deployment
	key    relay.Secret
	server *httptest.Server

	mu    sync.Mutex
	came  map[string]int // calls that were answered 2xx, by event and endpoint
	calls int
}

func settle(t *testing.T, d deployment) *town {
	t.Helper()
	w := &town{deployment: d, key: relay.NewAPIKey(), came: map[string]int{}}
	w.server = httptest.NewTLSServer(w)
	t.Cleanup(w.server.Close)
	ctx, now := context.Background(), relay.Millis(time.Now())
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(d.store.CreateAccount(ctx, relay.Account{ID: tenant, Name: "two", CreatedAt: now}))
	check(d.store.CreateKey(ctx, relay.Key{
		ID: "key_00000000000000000000000002", Account: tenant, Name: "all", Hash: relay.HashSecret(w.key),
		Prefix: w.key.Reveal()[:12], Scopes: relay.Scopes(), CreatedAt: now,
	}, 10))
	check(d.store.CreateSource(ctx, relay.Source{
		ID: tenantSource, Account: tenant, Provider: relay.Rivya, Name: "rivya", Status: relay.Active,
		CreatedAt: now, UpdatedAt: now, Secret: d.keys.Seal(secret, seal.Place{Account: tenant, Object: tenantSource, Field: "signing_secret"}),
	}, 10))
	check(d.store.CreateSource(ctx, relay.Source{
		ID: crowdSivi, Account: tenant, Provider: relay.Sivi, Name: "sivi", Status: relay.Active,
		CreatedAt: now, UpdatedAt: now, TokenHash: relay.HashSecret(siviToken), API: "general", Confirm: relay.ConfirmRequire,
		APIKey: d.keys.Seal("the-key", seal.Place{Account: tenant, Object: crowdSivi, Field: "sivi_api_key"}),
	}, 10))
	for name, types := range crowdEndpoints {
		id := crowdEndpoint(name)
		ep := relay.Endpoint{
			ID: id, Account: tenant, Name: name, URL: w.server.URL + "/" + name, EventTypes: types, Format: relay.FormatRivya,
			Signatures: []relay.Scheme{relay.SchemeRivya}, Status: relay.Active, CreatedAt: now, UpdatedAt: now,
			Secret: d.keys.Seal(relay.NewSigningSecret(), seal.Place{Account: tenant, Object: id, Field: "signing_secret"}),
		}
		if name == "off" {
			ep.Disable(relay.DisabledManual, now)
		}
		check(d.store.CreateEndpoint(ctx, ep, 10))
	}
	return w
}

func crowdEndpoint(name string) string { return "whend_00000000000000000000_" + name }

// ServeHTTP is every destination, and Sivi.
func (w *town) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/general/get-request-status" {
		var p struct{ RequestID string }
		if err := json.Unmarshal([]byte(r.URL.Query().Get("queryParams")), &p); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		status := "complete"
		if strings.HasPrefix(p.RequestID, denied) {
			status = "failed"
		}
		fmt.Fprintf(rw, `{"status":200,"body":{"status":%q,"requestId":%q}}`, status, p.RequestID)
		return
	}
	io.Copy(io.Discard, r.Body)
	id, attempt := r.Header.Get("Rivya-Webhook-Id"), r.Header.Get("Rivya-Webhook-Attempt")
	status := http.StatusOK
	switch {
	case r.URL.Path == "/down", r.URL.Path == "/off":
		status = http.StatusInternalServerError
	case r.URL.Path == "/flaky" && attempt != "3" && fails(id):
		status = http.StatusServiceUnavailable
	}
	w.mu.Lock()
	w.calls++
	if status == http.StatusOK {
		w.came[id+r.URL.Path]++
	}
	w.mu.Unlock()
	rw.WriteHeader(status)
}

// fails picks one event in twelve.
func fails(id string) bool {
	h := fnv.New32a()
	h.Write([]byte(id))
	return h.Sum32()%12 == 0
}

// request is the i-th event's call of the receiver or the API. The same i makes
// the same event, so that it can be called again when no answer came.
func (w *town) request(t *testing.T, i int) *http.Request {
	body, kind := "", kindOf(i)
	post := func(path string) *http.Request {
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		return r
	}
	switch kind {
	case bySignature:
		id := fmt.Sprintf("evt_signed_%05d", i)
		body = `{"id":"` + id + `","type":"generation.succeeded","data":{"n":` + strconv.Itoa(i) + `}}`
		now := time.Now().Unix()
		sig, err := signature.SignRivya(now, []byte(body), secret)
		if err != nil {
			t.Error(err)
		}
		r := post("/in/" + tenantSource)
		r.Header.Set("Rivya-Webhook-Id", id)
		r.Header.Set("Rivya-Webhook-Timestamp", strconv.FormatInt(now, 10))
		r.Header.Set("Rivya-Webhook-Signature", sig)
		return r
	case byToken, denied:
		body = fmt.Sprintf(`{"status":200,"body":{"status":"complete","requestId":"%s-%05d"}}`, kind, i)
		return post("/in/" + crowdSivi + "/" + siviToken.Reveal())
	}
	typ := map[string]string{byKey: "order.paid", hopeless: "order.lost", switchedOff: "order.sent", unheard: "order.unheard"}[kind]
	body = fmt.Sprintf(`{"type":%q,"data":{"n":%d}}`, typ, i)
	r := post("/api/v1/webhook-events")
	r.Header.Set("Authorization", "Bearer "+w.key.Reveal())
	r.Header.Set("Idempotency-Key", fmt.Sprintf("order-%05d", i))
	return r
}

// A register is what the crowd was told: the accepted events, by id, with their
// kinds.
type register struct {
	mu       sync.Mutex
	accepted map[string]string
	refused  int // calls that were answered with an error of ours
	unheard  int // answers that never reached the caller, who called again
}

// send has a crowd send n events, each until it is accepted. One answer in a
// hundred is lost on its way to the caller.
func (w *town) send(t *testing.T, h http.Handler, n, people int) *register {
	g := &register{accepted: map[string]string{}}
	next := make(chan int)
	var wg sync.WaitGroup
	for range people {
		wg.Go(func() {
			for i := range next {
				w.sendOne(t, h, g, i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return g
}

func (w *town) sendOne(t *testing.T, h http.Handler, g *register, i int) {
	for range 100 {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, w.request(t, i))
		var answer struct{ ID string }
		switch err := json.Unmarshal(rec.Body.Bytes(), &answer); {
		case rec.Code/100 == 5:
			g.mu.Lock()
			g.refused++
			g.mu.Unlock()
			time.Sleep(20 * time.Millisecond)
			continue
		case err != nil || rec.Code/100 != 2 || answer.ID == "":
			t.Errorf("event %d: got %d %s", i, rec.Code, rec.Body)
			return
		}
		g.mu.Lock()
		lost := rand.IntN(100) == 0
		if lost {
			g.unheard++
		} else {
			g.accepted[answer.ID] = kindOf(i)
		}
		g.mu.Unlock()
		if !lost {
			return
		}
	}
	t.Errorf("event %d was not accepted in 100 calls", i)
}

// A ledger is what became of the accepted events, as the table has it.
type ledger struct {
	counts map[relay.EventStatus]int
	total  int
}

func (l ledger) String() string {
	text := ""
	for i, s := range []relay.EventStatus{relay.EventDelivered, relay.EventFailed, relay.EventSkipped, relay.EventUnmatched, relay.EventRejected, relay.EventPending} {
		if i > 0 {
			text += " + "
		}
		text += fmt.Sprintf("%d %s", l.counts[s], s)
	}
	return text
}

// audit holds the table and the destinations against what was accepted: every
// event is there once, with the status of its kind, arrived where it had to, and
// nothing else is there. It returns how many deliveries were made twice.
func (w *town) audit(t *testing.T, g *register) (l ledger, deliveries, twice int) {
	t.Helper()
	l.counts = map[relay.EventStatus]int{}
	seen := map[string]bool{}
	for page := (relay.Page{Limit: 100}); ; {
		evs, next, err := w.store.Events(context.Background(), tenant, relay.EventFilter{}, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range evs {
			if strings.HasPrefix(ev.Type, "endpoint.") {
				continue // what the relay itself says of an endpoint that is slow here
			}
			kind, accepted := g.accepted[ev.ID]
			switch {
			case !accepted:
				t.Errorf("%s (%s) is on record and was never accepted", ev.ID, ev.Type)
			case seen[ev.ID]:
				t.Errorf("%s is listed twice", ev.ID)
			case ev.Status != outcomes[kind]:
				t.Errorf("%s (%s) is %s, want %s", ev.ID, kind, ev.Status, outcomes[kind])
			}
			seen[ev.ID] = true
			l.total++
			l.counts[ev.Status]++
		}
		if page.After = next; next == "" {
			break
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, kind := range g.accepted {
		if !seen[id] {
			t.Errorf("%s (%s) was accepted and is lost", id, kind)
		}
		paths := map[string][]string{bySignature: {"/steady"}, byToken: {"/steady"}, byKey: {"/steady", "/flaky"}}[kind]
		for _, path := range paths {
			n := w.came[id+path]
			deliveries++
			if n == 0 {
				t.Errorf("%s (%s) never arrived at %s", id, kind, path)
			}
			if n > 1 {
				twice++
			}
			delete(w.came, id+path)
		}
	}
	for what := range w.came {
		t.Errorf("%s: a call that nothing asked for", what)
	}
	return l, deliveries, twice
}
