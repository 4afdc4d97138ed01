package dispatcher_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/dispatcher"
	"hookferry/shared/egress"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
	"hookferry/shared/seal"
	"hookferry/shared/sivi"
)

var schedules = flag.Int("relaytest.schedules", 100, "how many seeded schedules the model test drives")

// worlds serves the destinations of several worlds, each under its own path.
type worlds struct {
	url    string
	keys   *seal.Keyring
	secret relay.Secret

	mu     sync.Mutex
	byPath map[string]*relaytest.World
}

func newWorlds(t testing.TB) *worlds {
	ws := &worlds{keys: seal.Generate(), secret: relay.NewSigningSecret(), byPath: map[string]*relaytest.World{}}
	server := httptest.NewServer(ws)
	t.Cleanup(server.Close)
	ws.url = server.URL
	return ws
}

// newClient returns the client of one world at a time: each moves its clock by
// hours, at which a client closes its idle connections, under the calls of
// others too.
func newClient(t testing.TB) *egress.Client {
	client := egress.New(egress.Config{Policy: egress.Policy{AllowPrivate: true}})
	t.Cleanup(client.CloseIdle)
	return client
}

func (ws *worlds) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(r.URL.Path[1:], "/")
	ws.mu.Lock()
	w := ws.byPath[name]
	ws.mu.Unlock()
	if w == nil {
		http.NotFound(rw, r)
		return
	}
	if params := r.URL.Query().Get("queryParams"); params != "" {
		askedSivi(w, rw, params)
		return
	}
	w.ServeHTTP(rw, r)
}

// askedSivi answers as Sivi's request-status call does.
func askedSivi(w *relaytest.World, rw http.ResponseWriter, params string) {
	var q struct {
		RequestID string `json:"requestId"`
	}
	if err := json.Unmarshal([]byte(params), &q); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	isTrue, answers := w.Verdict(q.RequestID)
	if !answers {
		http.Error(rw, "out of reach", http.StatusInternalServerError)
		return
	}
	status := "failed"
	if isTrue {
		status = "complete"
	}
	rw.Write(siviCall(q.RequestID, status))
}

func siviCall(request, status string) []byte {
	return fmt.Appendf(nil, `{"status":200,"body":{"requestId":%q,"status":%q}}`, request, status)
}

// new makes a world that ends with the function it returns.
func (ws *worlds) new(t testing.TB, client *egress.Client, name string, cfg relaytest.WorldConfig) (*relaytest.World, func()) {
	cfg.Schedule = relay.DefaultSchedule()
	cfg.URL = ws.url + "/" + name
	cfg.Seal = func(e relay.Endpoint) relay.Endpoint {
		e.Secret = ws.keys.Seal(ws.secret, seal.Place{Account: e.Account, Object: e.ID, Field: "signing_secret"})
		return e
	}
	cfg.Confirmable = func(request string) []byte { return siviCall(request, "complete") }
	cfg.Source = relay.Source{
		ID: "src_sivi", Account: relaytest.WorldAccount, Provider: relay.Sivi, Status: relay.Active,
		APIKey: ws.keys.Seal("key", seal.Place{Account: relaytest.WorldAccount, Object: "src_sivi", Field: "sivi_api_key"}), Confirm: relay.ConfirmRequire,
	}
	cfg.Dispatcher = func(p relaytest.Ports) relaytest.Dispatcher {
		return dispatcher.New(dispatcher.Config{
			Store: p.Store, Events: p.Events, Retries: p.Retries, Keys: ws.keys, Client: client, Now: p.Now,
			Sivi: sivi.NewClient(cfg.URL, client),
		})
	}
	w := relaytest.NewWorld(t.Context(), cfg)
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.byPath[name] = w
	return w, func() {
		ws.mu.Lock()
		defer ws.mu.Unlock()
		delete(ws.byPath, name)
	}
}

// judge fails with the first schedule that broke a promise, and how it came.
func judge(t *testing.T, name string, w *relaytest.World) bool {
	if v := w.Violations(); len(v) > 0 {
		t.Errorf("%s:\n%s\n\n%s", name, strings.Join(v, "\n"), w.Trace())
		return false
	}
	return true
}

// Whatever is accepted is delivered or accounted for, in any weather and
// whatever dies: thousands of schedules of acceptances, receives, outcomes,
// deaths, edits, retries, replays and repairs, each held to the ledger after
// every step and at rest.
func TestModelLosesNothingAndSaysNoMoreThanItDid(t *testing.T) {
	seed := relaytest.Seed(t)
	ws := newWorlds(t)
	for _, weather := range []struct {
		name    string
		faults  relaytest.Faults
		crashes bool
		share   int // of ten schedules
	}{
		{"fair", relaytest.Faults{}, false, 1},
		{"deaths", relaytest.Faults{}, true, 3},
		{"weak", relaytest.Weak(), false, 1},
		{"rough", relaytest.Rough(), false, 2},
		{"rough with deaths", relaytest.Rough(), true, 3},
	} {
		t.Run(weather.name, func(t *testing.T) {
			n := max(*schedules*weather.share/10, 1)
			var next atomic.Int64
			var broken atomic.Bool
			var mu sync.Mutex
			var sum relaytest.Ledger
			var wg sync.WaitGroup
			for range 8 {
				client := newClient(t)
				wg.Go(func() {
					for {
						i := int(next.Add(1)) - 1
						if i >= n || broken.Load() {
							return
						}
						name := fmt.Sprintf("%s-%d", strings.ReplaceAll(weather.name, " ", "-"), i)
						w, end := ws.new(t, client, name, relaytest.WorldConfig{Seed: seed + uint64(i), Faults: weather.faults, Crashes: weather.crashes})
						w.Run(t.Context(), 60)
						l := w.Rest(t.Context())
						end()
						if !judge(t, fmt.Sprintf("%s (%s=%d begins with it)", name, relaytest.SeedVariable, seed+uint64(i)), w) {
							broken.Store(true)
						}
						mu.Lock()
						sum = sum.Add(l)
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			t.Logf("%d schedules: %s", n, sum)
			if n >= 20 && (sum.Delivered == 0 || sum.Failed == 0 || sum.Skipped == 0 || sum.Unmatched == 0 || sum.Rejected == 0) {
				t.Error("the schedules are too tame: some end never came")
			}
		})
	}
}

// An outcome that waits in a record-only message is not on record, and repair
// must not go on from it: with the event's message coming again as well, there
// would be two chains.
func TestRepairGoesOnFromWhatIsOnRecordAlone(t *testing.T) {
	r := newRig(t)
	ep := r.endpoint("a")
	r.dest.always(500)
	m := r.accept("evt_1")
	r.store.fail("RecordAttempt")
	if got, failed := r.handle(r.events); got != 1 || failed != 0 {
		t.Fatalf("handled %d, failed %d, want 1 and 0", got, failed)
	}
	r.store.heal()
	r.clock.Advance(15 * time.Minute) // nobody works meanwhile
	if n, err := r.d.Repair(t.Context()); n != 1 || err != nil {
		t.Fatalf("repair found %d, %v, want 1", n, err)
	}
	r.send(r.events, m) // a redelivery
	r.handle(r.events)
	r.run(6 * time.Hour)
	var numbers []int
	for _, a := range r.attempts(ep.ID) {
		numbers = append(numbers, a.Number)
	}
	if d := cmp.Diff([]int{1, 2, 3, 4, 5}, numbers); d != "" {
		t.Errorf("attempts on record (-want +got):\n%s", d)
	}
}

// An attempt that an earlier receive made itself is followed by its successor
// also when the endpoint is by now one too many to be posted to at once.
func TestAnAttemptOnRecordIsFollowedBeyondTheFanOut(t *testing.T) {
	r := newRig(t)
	for i := range 21 {
		r.endpoint(fmt.Sprintf("%02d", i))
	}
	last := "whend_20"
	r.edit("whend_00", func(e *relay.Endpoint) { e.Disable(relay.DisabledManual, r.clock.Now()) })
	r.dest.answers(func(c call) reply {
		if c.name == "20" {
			return reply{status: 500}
		}
		return reply{status: 200}
	})
	r.accept("evt_1")
	r.retries.fail("Send")
	if _, failed := r.handle(r.events); failed != 1 {
		t.Fatalf("failed %d, want 1", failed)
	}
	r.retries.heal()
	r.edit("whend_00", func(e *relay.Endpoint) { e.Status, e.DisabledReason, e.DisabledAt = relay.Active, "", time.Time{} })
	r.run(6 * time.Hour)
	if got := len(r.attempts(last)); got != 5 {
		t.Errorf("%d attempts, want 5", got)
	}
}

// The question that an event's own message comes too late for is asked by
// another message, which then has to list the event.
func TestAnEventThatIsAskedAboutLaterIsListed(t *testing.T) {
	r, _ := newSiviRig(t, relay.ConfirmRequire)
	r.invocation = time.Second
	ev := r.siviCall("complete", relay.ConfirmRequire)
	r.handle(r.events)
	r.invocation = time.Minute
	r.run(time.Minute)
	if got := r.status(ev.ID); got != relay.EventDelivered {
		t.Errorf("the event is listed as %q, want delivered", got)
	}
}

// A process that dies at any one of its effects, before it or after it, loses
// nothing: every effect of a small world in turn.
func TestModelDeathAtEveryEffect(t *testing.T) {
	ws, client := newWorlds(t), newClient(t)
	var sum relaytest.Ledger
	n := 0
	for _, seed := range []uint64{4, 5, 6} { // worlds of a few endpoints, most of which fail
		for _, after := range []bool{false, true} {
			for step, died := 1, true; died; step++ {
				name := fmt.Sprintf("death-%d-%d-%v", seed, step, after)
				w, end := ws.new(t, client, name, relaytest.WorldConfig{Seed: seed})
				p := relaytest.DieAt(step, after)
				w.StartProcess(p)
				w.Accept(t.Context())
				for range 8 {
					for lane := range 2 {
						w.Begin()
						w.Work(t.Context(), lane)
						w.Check(t.Context())
					}
					w.Clock.Advance(time.Minute)
				}
				died = p.Dead()
				sum = sum.Add(w.Rest(t.Context()))
				end()
				if !judge(t, name, w) {
					return
				}
				n++
			}
		}
	}
	t.Logf("%d deaths: %s", n, sum)
	if n < 200 {
		t.Errorf("only %d deaths: the worlds are too small", n)
	}
}
