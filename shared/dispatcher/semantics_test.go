package dispatcher_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"hookferry/events"
	"hookferry/shared/dispatcher"
	"hookferry/shared/egress"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
	"hookferry/shared/signature"
)

// The happy path of one event: three writes, no consistent read, no send.
func TestTheHappyPathIsThreeWrites(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.accept("evt_0")
	r.settleNow() // the endpoint's first outcome is counted at once
	r.store.reset()
	r.events.reset()
	r.retries.reset()
	r.accept("evt_1")
	r.handle(r.events)
	want := map[string]int{"PutEvent": 1, "RecordAttempt": 1, "ListEvent": 1}
	if diff := cmp.Diff(want, r.store.seen()); diff != "" {
		t.Error(diff)
	}
	if got := r.retries.seen(); len(got) != 0 {
		t.Errorf("on the retries queue: %v", got)
	}
	if diff := cmp.Diff(map[string]int{"Send": 1}, r.events.seen()); diff != "" { // the acceptance
		t.Error(diff)
	}
}

func TestADeliveryIsSignedAndCarriesTheContractsHeaders(t *testing.T) {
	r := newRig(t)
	ep := r.endpoint("a", func(ep *relay.Endpoint) { ep.Signatures = []relay.Scheme{relay.SchemeRivya, relay.SchemeStandard} })
	body := "{\"id\":\"evt_1\",\n \"weird\":\"\\u0000 \u2028 \U0001F600\"}"
	r.accept("evt_1", func(ev *relay.Event) { ev.Payload = relay.NewPayload([]byte(body)) })
	r.settleNow()
	calls, as := r.dest.to("a"), r.attempts(ep.ID)
	if len(calls) != 1 || len(as) != 1 {
		t.Fatalf("got %d calls, %d attempts", len(calls), len(as))
	}
	c, a := calls[0], as[0]
	if c.body != body {
		t.Errorf("body: got %q, want %q", c.body, body)
	}
	ts := strconv.FormatInt(r.clock.Now().Unix(), 10)
	for name, want := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "Hookferry/1", "Rivya-Webhook-Id": "evt_1",
		"Rivya-Webhook-Timestamp": ts, "Rivya-Webhook-Attempt": "1", "Rivya-Webhook-Endpoint-Id": ep.ID,
		"Rivya-Request-Id": a.RequestID, "Webhook-Id": "evt_1", "Webhook-Timestamp": ts,
	} {
		if got := c.header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if _, ok := c.header["Idempotency-Key"]; ok {
		t.Error("an Idempotency-Key was sent")
	}
	if !strings.HasPrefix(a.RequestID, relay.RequestPrefix) {
		t.Errorf("request id %q", a.RequestID)
	}
	now := r.clock.Now()
	if err := signature.VerifyRivya(c.header.Get("Rivya-Webhook-Signature"), ts, []byte(c.body), now, secretOf("a")); err != nil {
		t.Error("rivya:", err)
	}
	if err := signature.VerifyStandard("evt_1", c.header.Get("Webhook-Signature"), ts, []byte(c.body), now, secretOf("a")); err != nil {
		t.Error("standard:", err)
	}
	if a.Status != relay.AttemptSucceeded || !a.Final || a.ErrorCode != "" || a.HTTPStatus != 200 || a.EventType != "generation.succeeded" {
		t.Errorf("attempt: %+v", a)
	}
}

func TestTheHeaderPrefixIsASetting(t *testing.T) {
	r := newRig(t, func(c *dispatcher.Config) { c.HeaderPrefix = "Acme" })
	r.endpoint("a")
	r.accept("evt_1")
	r.settleNow()
	h := r.dest.to("a")[0].header
	if h.Get("Acme-Webhook-Id") != "evt_1" || h.Get("Acme-Request-Id") == "" || h.Get("Rivya-Webhook-Id") != "" {
		t.Errorf("headers: %v", h)
	}
}

func TestEachOutcomeHasItsCode(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	r := newRig(t, func(c *dispatcher.Config) {
		c.DeliveryTimeout = 300 * time.Millisecond
		c.Client = egress.New(egress.Config{Policy: egress.Policy{AllowPrivate: true}, Resolver: func(_ context.Context, host string) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}})
	})
	r.dest.answers(func(c call) reply {
		switch c.name {
		case "slow":
			return reply{hold: 5 * time.Second}
		case "moved":
			return reply{status: 302, location: r.dest.url + "/elsewhere"}
		case "choices":
			return reply{status: 300}
		case "same":
			return reply{status: 304}
		case "choice":
			return reply{status: 300, location: r.dest.url + "/elsewhere"}
		case "lost":
			return reply{status: 308}
		case "broken":
			return reply{status: 500, body: "oops"}
		case "notfound":
			return reply{status: 404}
		}
		return reply{status: 200}
	})
	for _, c := range []struct {
		name, url string
		code      relay.ErrorCode
		status    int
	}{
		{"slow", "", relay.CodeTimeout, 0},
		{"moved", "", relay.CodeRedirect, 302},
		{"choices", "", relay.CodeHTTPError, 300},
		{"same", "", relay.CodeHTTPError, 304},
		{"choice", "", relay.CodeRedirect, 300},
		{"lost", "", relay.CodeRedirect, 308},
		{"broken", "", relay.CodeHTTPError, 500},
		{"notfound", "", relay.CodeHTTPError, 404},
		{"refused", "http://" + closed.Addr().String() + "/x", relay.CodeConnectionFailed, 0},
		{"nodns", "http://nowhere.example.net/x", relay.CodeDNSFailure, 0},
		{"notls", strings.Replace(r.dest.url, "http:", "https:", 1) + "/x", relay.CodeTLSFailure, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ep := r.endpoint(c.name, func(ep *relay.Endpoint) {
				ep.EventTypes = []string{"only." + c.name}
				if c.url != "" {
					ep.URL = c.url
				}
			})
			r.accept("evt_"+c.name, func(ev *relay.Event) { ev.Type = "only." + c.name })
			r.handle(r.events)
			as := r.attempts(ep.ID)
			if len(as) != 1 {
				t.Fatalf("got %d attempts", len(as))
			}
			a := as[0]
			if a.Status != relay.AttemptFailed || a.ErrorCode != c.code || a.HTTPStatus != c.status || a.ErrorMessage == "" {
				t.Errorf("got %+v", a)
			}
			if strings.Contains(a.ErrorMessage, "127.0.0.1") {
				t.Errorf("an internal address shows: %s", a.ErrorMessage)
			}
		})
	}
	if n := len(r.dest.to("elsewhere")); n != 0 {
		t.Error("a redirect was followed")
	}
}

func TestABlockedAddressIsAnOutcome(t *testing.T) {
	r := newRig(t, func(c *dispatcher.Config) { c.Client = egress.New(egress.Config{}) })
	r.endpoint("a", func(ep *relay.Endpoint) { ep.URL = "https://127.0.0.1/x" })
	r.accept("evt_1")
	if _, failed := r.handle(r.events); failed != 0 {
		t.Error("the message failed")
	}
	if as := r.attempts("whend_a"); len(as) != 1 || as[0].ErrorCode != relay.CodeAddressBlocked || as[0].NextAttemptAt.IsZero() {
		t.Errorf("got %+v", as)
	}
	if r.dest.count() != 0 {
		t.Error("called")
	}
}

func TestTheSnippetIsCutToValidText(t *testing.T) {
	huge := strings.Repeat("é", 600) + strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"failure", 500, huge, strings.Repeat("é", 512)},
		{"success", 200, huge, strings.Repeat("é", 128)},
		{"odd cut", 500, "x" + huge, "x" + strings.Repeat("é", 511)},
		{"short", 500, "no", "no"},
		{"growing", 500, strings.Repeat("a\xff", 1000), strings.Repeat("a\uFFFD", 256)},
		{"binary", 500, "a\xff\xfeb", "a\uFFFDb"},
		{"empty", 500, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.endpoint("a")
			r.dest.answers(func(call) reply { return reply{status: c.status, body: c.body} })
			r.accept("evt_1")
			r.settleNow()
			got := r.attempts("whend_a")[0].Snippet
			if got != c.want || !utf8.ValidString(got) {
				t.Errorf("got %d bytes %.20q, want %d bytes %.20q", len(got), got, len(c.want), c.want)
			}
		})
	}
}

func TestEditsBetweenAttemptsTakeEffect(t *testing.T) {
	r := newRig(t)
	ep := r.endpoint("a", func(ep *relay.Endpoint) { ep.Format = relay.FormatSivi })
	r.endpoint("b", func(ep *relay.Endpoint) { ep.EventTypes = []string{"none.such"} })
	r.dest.always(500)
	body := `{"status":200,"body":{"status":"complete","requestId":"r1","result":null}}`
	r.accept("evt_1", func(ev *relay.Event) { ev.Format, ev.Payload = relay.FormatSivi, relay.NewPayload([]byte(body)) })
	r.settleNow()
	newSecret := relay.Secret("whsec_" + strings.Repeat("Z", 32))
	r.edit(ep.ID, func(ep *relay.Endpoint) {
		ep.URL = r.dest.url + "/a2"
		ep.Format = relay.FormatRivya
		ep.Secret = r.seal(*ep, "signing_secret", newSecret)
		ep.EventTypes = []string{"another.type"} // matched is matched
	})
	r.run(61 * time.Second)
	first, second := r.dest.to("a"), r.dest.to("a2")
	if len(first) != 1 || len(second) != 1 {
		t.Fatalf("got %d and %d calls", len(first), len(second))
	}
	if first[0].body != body {
		t.Errorf("first body: %s", first[0].body)
	}
	if !strings.Contains(second[0].body, `"api_version"`) || !strings.Contains(second[0].body, `"id":"r1"`) {
		t.Errorf("second body: %s", second[0].body)
	}
	h := second[0].header
	if err := signature.VerifyRivya(h.Get("Rivya-Webhook-Signature"), h.Get("Rivya-Webhook-Timestamp"), []byte(second[0].body), r.clock.Now(), newSecret); err != nil {
		t.Error(err)
	}
	if h.Get("Rivya-Webhook-Attempt") != "2" {
		t.Errorf("attempt %s", h.Get("Rivya-Webhook-Attempt"))
	}
}

func TestRotationOrderAlternatesWhileTheOldSecretHolds(t *testing.T) {
	r := newRig(t)
	oldSecret := relay.Secret("whsec_" + strings.Repeat("O", 32))
	start := r.clock.Now()
	r.endpoint("a", func(ep *relay.Endpoint) {
		ep.OldSecret = r.seal(*ep, "old_signing_secret", oldSecret)
		ep.OldSecretUntil = start.Add(10 * time.Minute) // over before attempt 4
	})
	r.dest.always(500)
	r.accept("evt_1")
	r.run(4 * time.Hour)
	calls := r.dest.to("a")
	if len(calls) != 5 {
		t.Fatalf("got %d calls", len(calls))
	}
	for i, c := range calls {
		var got []string
		for _, part := range strings.Split(c.header.Get("Rivya-Webhook-Signature"), ",") {
			ts := c.header.Get("Rivya-Webhook-Timestamp")
			switch {
			case signature.VerifyRivya(part, ts, []byte(c.body), c.at, secretOf("a")) == nil:
				got = append(got, "new")
			case signature.VerifyRivya(part, ts, []byte(c.body), c.at, oldSecret) == nil:
				got = append(got, "old")
			}
		}
		want := [][]string{{"new", "old"}, {"old", "new"}, {"new", "old"}, {"new"}, {"new"}}[i]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("attempt %d: %s", i+1, diff)
		}
	}
}

func TestADisabledEndpointIsSkippedAndSaidSo(t *testing.T) {
	r := newRig(t)
	r.endpoint("a", func(ep *relay.Endpoint) { ep.Disable(relay.DisabledManual, r.clock.Now()) })
	r.accept("evt_1")
	r.settleNow()
	as := r.attempts("whend_a")
	if len(as) != 1 || as[0].Status != relay.AttemptSkipped || !as[0].Final || as[0].ErrorCode != relay.CodeEndpointDisabled || as[0].Number != 1 {
		t.Fatalf("got %+v", as)
	}
	if r.status("evt_1") != relay.EventSkipped || r.dest.count() != 0 {
		t.Errorf("event is %s, %d calls", r.status("evt_1"), r.dest.count())
	}
	rec, err := r.store.Event(t.Context(), account, "evt_1", true)
	r.check(err)
	if diff := cmp.Diff([]relay.Unmatched{{EndpointID: "whend_a", Reason: relay.MismatchDisabled}}, rec.Unmatched); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"whend_a"}, rec.Matched); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsDisabledOrDeletedBetweenAttemptsIsSkippedOnce(t *testing.T) {
	for name, end := range map[string]func(*relay.Endpoint, time.Time){
		"disabled": func(ep *relay.Endpoint, at time.Time) { ep.Disable(relay.DisabledManual, at) },
		"deleted": func(ep *relay.Endpoint, at time.Time) {
			ep.Disable(relay.DisabledManual, at)
			ep.RevokedAt = at
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.endpoint("a")
			r.dest.always(500)
			r.accept("evt_1")
			r.settleNow()
			r.edit("whend_a", func(ep *relay.Endpoint) { end(ep, r.clock.Now()) })
			r.run(12 * time.Hour)
			as := r.attempts("whend_a")
			if len(as) != 2 || as[1].Status != relay.AttemptSkipped || as[1].Number != 2 || !as[1].Final {
				t.Fatalf("got %+v", as)
			}
			if got := len(r.dest.to("a")); got != 1 {
				t.Errorf("got %d calls, want 1", got)
			}
			if d, _ := r.deliveries("evt_1"); d["whend_a"].Status != relay.DeliverySkipped {
				t.Errorf("delivery: %+v", d)
			}
			if left := append(r.onQueue(r.events), r.onQueue(r.retries)...); len(left) != 0 {
				t.Errorf("a loop: %+v", left)
			}
		})
	}
}

// staleStore has a list of live endpoints that is some seconds old.
type staleStore struct {
	*faultyStore
	list []relay.Endpoint
}

func (s *staleStore) LiveEndpoints(context.Context, string) ([]relay.Endpoint, error) {
	return s.list, nil
}

func TestAStaleListSkipsNothing(t *testing.T) {
	r := newRig(t)
	disabled := r.endpoint("off", func(ep *relay.Endpoint) { ep.Disable(relay.DisabledManual, r.clock.Now()) })
	stale := &staleStore{faultyStore: r.store, list: []relay.Endpoint{disabled}}
	r.cfg.Store = stale
	r.restart()
	// Made and switched on since.
	r.endpoint("new")
	r.edit("whend_off", func(ep *relay.Endpoint) {
		ep.Status, ep.DisabledAt, ep.DisabledReason = relay.Active, time.Time{}, ""
	})
	ev := r.newEvent("evt_1")
	rec := relay.EventRecord{Event: ev, MID: "m", Matched: []string{"whend_new", "whend_off"}}
	if _, err := r.store.PutEvent(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	for _, id := range rec.Matched {
		r.send(r.retries, relay.NewAttemptMessage(ev.Ref(), id, 0, 1, ev.CreatedAt, ev.CreatedAt.Add(time.Hour)))
	}
	// A test of an endpoint made a moment ago, and a redelivery.
	r.accept("evt_t", func(ev *relay.Event) { ev.Only, ev.Type, ev.Test = "whend_new", relay.TypeTest, true })
	rec.Event, rec.MID = r.newEvent("evt_2"), "m2"
	if _, err := r.store.PutEvent(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	m := relay.NewEventMessage(rec.Event)
	m.MID = "m2"
	r.send(r.events, m)
	r.settleNow()
	if n, off := len(r.dest.to("new")), len(r.dest.to("off")); n != 3 || off != 2 {
		t.Errorf("got %d calls to the new one and %d to the one switched on, want 3 and 2", n, off)
	}
}

func TestATestReachesADisabledEndpointAlone(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"a", "bb"} {
		r.endpoint(name, func(ep *relay.Endpoint) {
			ep.EventTypes = []string{"*", relay.TypeTest}
			if name == "a" {
				ep.Disable(relay.DisabledManual, r.clock.Now())
			}
		})
	}
	r.dest.always(500)
	r.accept("evt_1", func(ev *relay.Event) { ev.Type, ev.Only, ev.Test = relay.TypeTest, "whend_a", true })
	r.run(61 * time.Second)
	if a, b := len(r.dest.to("a")), len(r.dest.to("bb")); a != 2 || b != 0 {
		t.Errorf("got %d calls to the endpoint under test and %d to another, want 2 and 0", a, b)
	}
}

func TestATestOfADeletedEndpointIsSkipped(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.edit("whend_a", func(ep *relay.Endpoint) { ep.RevokedAt = r.clock.Now() })
	r.accept("evt_1", func(ev *relay.Event) { ev.Type, ev.Only, ev.Test = relay.TypeTest, "whend_a", true })
	r.settleNow()
	if as := r.attempts("whend_a"); len(as) != 1 || as[0].Status != relay.AttemptSkipped {
		t.Errorf("got %+v", as)
	}
	if got := r.status("evt_1"); got != relay.EventSkipped {
		t.Errorf("event is %q", got)
	}
}

func TestFormats(t *testing.T) {
	sivi := `{"status":200,"body":{"status":"complete","requestId":"r1","result":{"variations":[{"variantImageUrl":"https://x/1"}]}}}`
	r := newRig(t)
	r.endpoint("rivya", func(ep *relay.Endpoint) { ep.EventTypes = []string{"*", relay.TypeTest} })
	r.endpoint("sivi", func(ep *relay.Endpoint) {
		ep.EventTypes, ep.Format = []string{"*", relay.TypeTest}, relay.FormatSivi
	})
	r.accept("evt_s", func(ev *relay.Event) { ev.Format, ev.Payload = relay.FormatSivi, relay.NewPayload([]byte(sivi)) })
	r.settleNow()
	if got := r.dest.to("sivi"); len(got) != 1 || got[0].body != sivi {
		t.Errorf("sivi to sivi: %+v", got)
	}
	if got := r.dest.to("rivya"); len(got) != 1 || !strings.Contains(got[0].body, `"primary_url":"https://x/1"`) {
		t.Errorf("sivi to rivya: %+v", got)
	}
	r.accept("evt_r")
	r.settleNow()
	if got := len(r.dest.to("sivi")); got != 1 {
		t.Error("a Rivya event went to an endpoint in format sivi")
	}
	at := relay.Millis(r.clock.Now())
	r.accept("evt_t", func(ev *relay.Event) {
		ev.Type, ev.Test, ev.Payload = relay.TypeTest, true, relay.NewPayload(events.TestBody(relay.FormatRivya, "evt_t", at))
	})
	r.settleNow()
	if got := r.dest.to("sivi"); len(got) != 2 || got[1].body != string(events.TestBody(relay.FormatSivi, "evt_t", at)) {
		t.Errorf("test to sivi: %+v", got)
	}
}

func TestAnEventThatDoesNotFitANewFormatIsSkipped(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.dest.always(500)
	r.accept("evt_1")
	r.settleNow()
	r.edit("whend_a", func(ep *relay.Endpoint) { ep.Format = relay.FormatSivi })
	r.run(time.Hour)
	as := r.attempts("whend_a")
	if len(as) != 2 || as[1].Status != relay.AttemptSkipped || !strings.Contains(as[1].ErrorMessage, "format") {
		t.Errorf("got %+v", as)
	}
}

func TestUnmatchedEventsAreRecordedWithTheReason(t *testing.T) {
	r := newRig(t)
	r.endpoint("a", func(ep *relay.Endpoint) { ep.EventTypes = []string{"other.type"} })
	r.endpoint("bb", func(ep *relay.Endpoint) { ep.SourceIDs = []string{"src_2"} })
	r.accept("evt_1")
	r.settleNow()
	if got := r.status("evt_1"); got != relay.EventUnmatched {
		t.Errorf("event is %q", got)
	}
	rec, err := r.store.Event(t.Context(), account, "evt_1", true)
	r.check(err)
	got := map[string]relay.Mismatch{}
	for _, u := range rec.Unmatched {
		got[u.EndpointID] = u.Reason
	}
	if diff := cmp.Diff(map[string]relay.Mismatch{"whend_a": relay.MismatchType, "whend_bb": relay.MismatchSource}, got); diff != "" {
		t.Error(diff)
	}
}

func TestANewRunTakesOverFromTheOldOne(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.dest.always(500)
	r.accept("evt_1")
	r.settleNow()
	r.clock.Advance(30 * time.Second)
	now := relay.Millis(r.clock.Now())
	run, err := r.store.StartRun(t.Context(), account, "evt_1", "whend_a", "token", now)
	r.check(err)
	ref := r.attempts("whend_a")[0]
	r.send(r.retries, relay.NewAttemptMessage(relay.EventRef{Account: account, ID: "evt_1", CreatedAt: ref.EventCreatedAt},
		"whend_a", run.Number, 1, now, now.Add(relay.GiveUpAfter)))
	r.run(12 * time.Hour)
	var runs []int
	for _, a := range r.attempts("whend_a") {
		runs = append(runs, a.Run)
	}
	if diff := cmp.Diff([]int{0, 1, 1, 1, 1, 1}, runs); diff != "" {
		t.Errorf("runs of the attempts: %s", diff)
	}
	if d, _ := r.deliveries("evt_1"); d["whend_a"].Run != 1 || d["whend_a"].Status != relay.DeliveryFailed {
		t.Errorf("delivery: %+v", d)
	}
}

func TestPastItsDeadlineADeliveryFailsWithoutACall(t *testing.T) {
	eachStore(t, func(t *testing.T, newRig func(testing.TB, ...func(*dispatcher.Config)) *rig) {
		r := newRig(t)
		r.endpoint("a")
		r.dest.always(500)
		r.accept("evt_1")
		r.settleNow()
		r.clock.Advance(relay.GiveUpAfter)
		r.accept("evt_2", func(ev *relay.Event) { ev.CreatedAt = ev.CreatedAt.Add(-relay.GiveUpAfter) })
		r.settleNow()
		if got := r.dest.count(); got != 1 {
			t.Errorf("got %d calls, want 1", got)
		}
		for _, id := range []string{"evt_1", "evt_2"} {
			if d, _ := r.deliveries(id); d["whend_a"].Status != relay.DeliveryFailed {
				t.Errorf("%s: %+v", id, d)
			}
		}
		for _, a := range r.attempts("whend_a") {
			if a.Final && (a.ErrorCode != relay.CodeExpired || a.HTTPStatus != 0) {
				t.Errorf("got %+v", a)
			}
		}
	})
}

func TestAMessageForAnEventThatHasExpiredEnds(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.dest.always(500)
	r.accept("evt_1")
	r.settleNow()
	r.clock.Advance(relaytest.Retention + time.Hour)
	r.settleNow()
	if left := r.onQueue(r.retries); len(left) != 0 || r.dest.count() != 1 {
		t.Errorf("%d calls, left: %+v", r.dest.count(), left)
	}
}

func TestAPanicFailsItsMessageAlone(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	var puts atomic.Int64
	r.store.set(func(op string) error {
		if op == "PutEvent" && puts.Add(1) == 1 {
			panic("boom")
		}
		return nil
	}, nil)
	r.accept("evt_1")
	r.accept("evt_2")
	if got, failed := r.handle(r.events); got != 2 || failed != 1 {
		t.Errorf("%d messages, %d failed", got, failed)
	}
	r.run(10 * time.Second)
	if got := r.dest.count(); got != 2 {
		t.Errorf("got %d calls, want 2", got)
	}
}

func TestOneLinePerBatch(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	for i := range 5 {
		r.accept(fmt.Sprint("evt_", i))
	}
	r.handle(r.events)
	if got := strings.Count(r.log.String(), "\n"); got != 1 {
		t.Errorf("got %d lines: %s", got, r.log)
	}
	for _, want := range []string{`"msg":"dispatch"`, `"delivered":5`, `"batch_size`, `"attempt_duration_ms`, `"accept_to_attempt`} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("no %s in %s", want, r.log)
		}
	}
}

// A connection that the server has closed while it was idle costs no attempt.
func TestADeadKeptConnectionIsReplaced(t *testing.T) {
	r := newRig(t)
	conns := make(chan net.Conn, 10)
	server := &http.Server{Handler: r.dest, ConnState: func(c net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns <- c
		}
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	r.check(err)
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	r.endpoint("a", func(ep *relay.Endpoint) { ep.URL = "http://" + l.Addr().String() + "/a" })
	for i := range 5 {
		r.accept(fmt.Sprint("evt_", i))
		r.handle(r.events)
		(<-conns).Close()
	}
	for _, a := range r.attempts("whend_a") {
		if a.Status != relay.AttemptSucceeded {
			t.Errorf("got %+v", a)
		}
	}
}
