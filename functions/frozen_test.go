package functions

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/seal"
)

// frozenAt is when the messages in events/messages were due.
const frozenAt = 1778457600123

var frozenTime = regexp.MustCompile(`\b17\d{11}\b`)

const siviComplete = `{"status":200,"body":{"status":"complete","requestId":"sbhMkIZKCPp","result":{"variations":[{"variantImageUrl":"https://x/1.png"}]}}}`

// A frozenWorld is what a frozen message is about: the account, endpoint, source
// and event that it names, which are of its own. Its times are moved so that it
// is due now; nothing else of it changes.
type frozenWorld struct {
	*stage
	kind, account, endpoint, source string
	now                             time.Time // when the message is due
	event                           relay.Event
	body                            []byte // the message
}

func thaw(t *testing.T, s *stage, kind, url string) frozenWorld {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "events", "messages", "v1-"+kind+".json"))
	if err != nil {
		t.Fatal(err)
	}
	w := frozenWorld{stage: s, kind: kind, now: relay.Millis(time.Now())}
	text := frozenTime.ReplaceAllStringFunc(string(raw), func(ms string) string {
		n, err := strconv.ParseInt(ms, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return strconv.FormatInt(n-frozenAt+w.now.UnixMilli(), 10)
	})
	w.body = []byte(strings.ReplaceAll(text, "_frozen", "_frozen_"+kind))
	w.account, w.endpoint, w.source = "acct_frozen_"+kind, "whend_frozen_"+kind, "src_frozen_"+kind
	w.event = relay.Event{
		ID: "evt_frozen_" + kind, Account: w.account, Type: "generation.succeeded", Format: relay.FormatRivya, SourceID: w.source,
		VerifiedBy: relay.VerifiedBySignature, CreatedAt: w.now.Add(-time.Hour), RequestID: "req_1", Payload: relay.NewPayload([]byte(providerBody("evt_frozen_" + kind))),
	}

	ctx, place := context.Background(), seal.Place{Account: w.account}
	w.check(t, s.store.CreateAccount(ctx, relay.Account{ID: w.account, Name: w.account, CreatedAt: w.now}))
	place.Object, place.Field = w.endpoint, "signing_secret"
	w.check(t, s.store.CreateEndpoint(ctx, relay.Endpoint{
		ID: w.endpoint, Account: w.account, Name: kind, URL: url + "/" + kind, EventTypes: []string{"*"},
		Format: relay.FormatRivya, Signatures: []relay.Scheme{relay.SchemeRivya}, Status: relay.Active, CreatedAt: w.now, UpdatedAt: w.now,
		Secret: s.keys.Seal(relay.NewSigningSecret(), place),
	}, 10))
	place.Object, place.Field = w.source, "sivi_api_key"
	w.check(t, s.store.CreateSource(ctx, relay.Source{
		ID: w.source, Account: w.account, Provider: relay.Sivi, Name: kind, Status: relay.Active,
		CreatedAt: w.now, UpdatedAt: w.now, APIKey: s.keys.Seal("the-key", place), API: "general", Confirm: relay.ConfirmPrefer,
	}, 10))
	return w
}

func (w frozenWorld) check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", w.kind, err)
	}
}

// put puts the event, and its deliveries, on the table.
func (w frozenWorld) put(t *testing.T, ds ...relay.Delivery) {
	t.Helper()
	_, err := w.store.PutEvent(context.Background(), relay.EventRecord{Event: w.event, MID: "MIDEVENT", ClaimedUntil: w.event.CreatedAt, Matched: []string{w.endpoint}})
	w.check(t, err)
	w.check(t, w.store.ListEvent(context.Background(), w.event, ds))
}

// runs begins two runs, so that the message's is the latest.
func (w frozenWorld) runs(t *testing.T) {
	t.Helper()
	w.put(t, relay.Delivery{EndpointID: w.endpoint, Attempts: 3, Status: relay.DeliveryFailed})
	for i, token := range []string{"a", "b"} {
		run, err := w.store.StartRun(context.Background(), w.account, w.event.ID, w.endpoint, token, w.now.Add(-time.Minute))
		if err != nil || run.Number != i+1 {
			t.Fatalf("%s: run %d: %v", w.kind, run.Number, err)
		}
	}
}

// attempts returns what is on record of the endpoint, oldest first.
func (w frozenWorld) attempts(t *testing.T) []relay.Attempt {
	t.Helper()
	as, _, err := w.store.Attempts(context.Background(), w.endpoint, relay.AttemptFilter{}, relay.Page{Limit: 10})
	w.check(t, err)
	return as
}

func (w frozenWorld) status(t *testing.T, id string) relay.EventStatus {
	t.Helper()
	ev, err := w.store.Event(context.Background(), w.account, id, true)
	w.check(t, err)
	ds, _, err := w.store.Deliveries(context.Background(), ev)
	w.check(t, err)
	return relay.StatusOf(ds)
}

// TestTheBuiltDispatcherDoesWhatFrozenMessagesAsk: messages of an earlier
// version are on the queues while a new one is deployed. Each kind is put on the
// queue as it was frozen, and has its effect.
func TestTheBuiltDispatcherDoesWhatFrozenMessagesAsk(t *testing.T) {
	t.Parallel()
	sivi := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/general/get-request-status" || r.Header.Get("sivi-api-key") != "the-key" || !strings.Contains(r.URL.Query().Get("queryParams"), "sbhMkIZKCPp") {
			http.NotFound(rw, r)
			return
		}
		rw.Write([]byte(siviComplete))
	}))
	t.Cleanup(sivi.Close)
	s := newStage(t, "SIVI_BASE_URL="+sivi.URL)
	dest := newDestination(t, nil)
	ctx := context.Background()

	kinds := map[string]func(*testing.T, frozenWorld) func() string{
		"event": func(t *testing.T, w frozenWorld) func() string {
			return func() string {
				posts, as := dest.posts(w.event.ID), w.attempts(t)
				if len(posts) != 1 || len(as) != 1 || as[0].Status != relay.AttemptSucceeded || as[0].MID != "MIDFROZEN" {
					return fmt.Sprintf("%d calls, on record: %+v", len(posts), as)
				}
				var m struct {
					Ev struct {
						Pay []byte `json:"pay"`
					} `json:"ev"`
				}
				w.check(t, json.Unmarshal(w.body, &m))
				if want, err := relay.PayloadFromDeflated(m.Ev.Pay).Bytes(); err != nil || posts[0].body != string(want) {
					return fmt.Sprintf("came %q, want %q, %v", posts[0].body, want, err)
				}
				return ""
			}
		},
		"attempt": func(t *testing.T, w frozenWorld) func() string {
			w.runs(t)
			return func() string {
				as, posts := w.attempts(t), dest.posts(w.event.ID)
				if len(as) != 1 || as[0].Run != 2 || as[0].Number != 3 || as[0].Status != relay.AttemptSucceeded || len(posts) != 1 {
					return fmt.Sprintf("%d calls, on record: %+v", len(posts), as)
				}
				if got := posts[0].header.Get("Rivya-Webhook-Attempt"); got != "3" || posts[0].body != providerBody(w.event.ID) {
					return fmt.Sprintf("attempt %s, body %q", got, posts[0].body)
				}
				return want(relay.EventDelivered, w.status(t, w.event.ID))
			}
		},
		"record": func(t *testing.T, w frozenWorld) func() string {
			w.runs(t)
			return func() string {
				as := w.attempts(t)
				if len(as) != 1 || as[0].ID != "att_03hl2k7dbgdvul4h4m5sl9v8q6gqkd2u" || as[0].HTTPStatus != 503 || as[0].Snippet != "Bad größe\u2028" || as[0].Duration != 1234*time.Millisecond {
					return fmt.Sprintf("on record: %+v", as)
				}
				if n := len(dest.posts(w.event.ID)); n != 0 {
					return fmt.Sprintf("%d calls for an outcome that was only to be recorded", n)
				}
				return want(relay.EventFailed, w.status(t, w.event.ID))
			}
		},
		"confirm": func(t *testing.T, w frozenWorld) func() string {
			w.event.Format, w.event.VerifiedBy, w.event.Confirm = relay.FormatSivi, relay.VerifiedByToken, relay.ConfirmPrefer
			w.event.Payload = relay.NewPayload([]byte(siviComplete))
			w.put(t, relay.Delivery{EndpointID: w.endpoint, Status: relay.DeliveryPending},
				relay.Delivery{EndpointID: relay.Confirmation, Attempts: 3, Status: relay.DeliveryRetrying, NextAttemptAt: w.now})
			return func() string {
				if n := len(dest.posts(w.event.ID)); n != 1 {
					return fmt.Sprintf("%d calls", n)
				}
				return want(relay.EventDelivered, w.status(t, w.event.ID))
			}
		},
		"expect": func(t *testing.T, w frozenWorld) func() string {
			_, err := w.store.PutExpectation(ctx, relay.Expectation{
				Account: w.account, SourceID: w.source, RequestID: "sbhMkIZKCPp",
				CreatedAt: w.now.Add(-time.Hour), Asked: 4, NextAt: w.now, GiveUpAt: w.now.Add(time.Hour),
			}, 10)
			w.check(t, err)
			return func() string {
				x, err := w.store.Expectation(ctx, w.source, "sbhMkIZKCPp")
				w.check(t, err)
				if x.EventID == "" || len(dest.posts(x.EventID)) != 1 {
					return fmt.Sprintf("%+v, and %d calls", x, len(dest.posts(x.EventID)))
				}
				return want(relay.EventDelivered, w.status(t, x.EventID))
			}
		},
		"replay": func(t *testing.T, w frozenWorld) func() string {
			a := relay.Attempt{
				ID: relay.AttemptID(w.account, w.event.ID, w.endpoint, 0, 1, w.event.CreatedAt), Account: w.account, EventID: w.event.ID,
				EventType: w.event.Type, EndpointID: w.endpoint, Number: 1, Status: relay.AttemptFailed, Final: true, HTTPStatus: 500, ErrorCode: relay.CodeHTTPError,
				RequestID: "req_1", DueAt: w.event.CreatedAt, CreatedAt: w.event.CreatedAt, MID: "MIDEVENT", EventCreatedAt: w.event.CreatedAt,
			}
			w.put(t, a.Delivery())
			_, err := w.store.RecordAttempt(ctx, a)
			w.check(t, err)
			w.check(t, w.store.CreateReplay(ctx, relay.Replay{
				ID: "rpl_frozen_replay", Account: w.account, EndpointID: w.endpoint,
				Since: w.now.Add(-2 * time.Hour), Until: w.now, Select: "bad", MaxPerSecond: 10, Status: relay.ReplayRunning, After: "6.0.",
				CreatedAt: w.now.Add(-time.Minute), UpdatedAt: w.now.Add(-time.Minute),
			}))
			return func() string {
				r, err := w.store.Replay(ctx, w.account, "rpl_frozen_replay")
				w.check(t, err)
				if r.Status != relay.ReplayCompleted || r.Started != 1 || len(dest.posts(w.event.ID)) != 1 {
					return fmt.Sprintf("%+v, and %d calls", r, len(dest.posts(w.event.ID)))
				}
				return want(relay.EventDelivered, w.status(t, w.event.ID))
			}
		},
	}
	// Other forms of a kind, v1-kind-form.json, are held by the tests of events.
	files, err := filepath.Glob(filepath.Join("..", "events", "messages", "*.json"))
	files = slices.DeleteFunc(files, func(path string) bool { return strings.Count(filepath.Base(path), "-") > 1 })
	if err != nil || len(files) != len(kinds) {
		t.Fatalf("%d frozen messages, %v, and %d kinds are replayed", len(files), err, len(kinds))
	}
	for kind, prepare := range kinds {
		t.Run(kind, func(t *testing.T) {
			w := thaw(t, s, kind, dest.URL)
			holds := prepare(t, w)
			// The frozen event has every field that there is. Of these, no event of
			// Rivya's was ever to be confirmed with Sivi.
			w.body = []byte(strings.Replace(string(w.body), `"con": "prefer",`, "", 1))
			s.send(t, s.urls.Retries, w.body)
			s.until(t, 15*time.Second, holds)
			s.drain(t, 15*time.Second)
			if wrong := holds(); wrong != "" {
				t.Error(wrong)
			}
		})
	}
}

func want(want, got relay.EventStatus) string {
	if got == want {
		return ""
	}
	return fmt.Sprintf("the event is %s, want %s", got, want)
}
