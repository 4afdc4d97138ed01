package dispatcher_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
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

// staleStore has a list of live endpoints that is some seconds old.
type staleStore struct {
	*faultyStore
	list []relay.Endpoint
}

func (s *staleStore) LiveEndpoints(context.Context, string) ([]relay.Endpoint, error) {
	return s.list, nil
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
