package functions

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

func TestASignedProviderCallIsDeliveredSigned(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	dest := newDestination(t, nil)
	id, signing := s.endpoint(t, "one", dest.URL+"/hook")

	for _, c := range []struct {
		event   string
		encoded bool
	}{{"evt_base64", true}, {"evt_text", false}} {
		resp := gatewayAnswer(t, s.receiver.invoke(t, s.providerCall(t, c.event, c.encoded), 10*time.Second))
		if resp.StatusCode != 200 || resp.Body != fmt.Sprintf(`{"received":true,"id":%q}`, c.event) {
			t.Fatalf("%s: got %d %s", c.event, resp.StatusCode, resp.Body)
		}
		s.until(t, 10*time.Second, func() string { return s.is(t, "delivered", c.event) })
		posts := dest.posts(c.event)
		if len(posts) != 1 {
			t.Fatalf("%s: %d calls of the destination, want 1", c.event, len(posts))
		}
		p := posts[0]
		if p.body != providerBody(c.event) || p.path != "/hook" {
			t.Errorf("%s: to %s came %q, want %q", c.event, p.path, p.body, providerBody(c.event))
		}
		if err := signature.VerifyRivya(p.header.Get("Rivya-Webhook-Signature"), p.header.Get("Rivya-Webhook-Timestamp"),
			[]byte(p.body), time.Now(), signing); err != nil {
			t.Errorf("%s: the signature: %v", c.event, err)
		}
		for name, want := range map[string]string{"Rivya-Webhook-Attempt": "1", "Rivya-Webhook-Endpoint-Id": id, "Content-Type": "application/json"} {
			if got := p.header.Get(name); got != want {
				t.Errorf("%s: %s: got %q, want %q", c.event, name, got, want)
			}
		}
	}
	// One byte more than was signed: refused, and nothing comes of it.
	forged := s.providerCall(t, "evt_forged", false)
	forged.Body += " "
	if resp := gatewayAnswer(t, s.receiver.invoke(t, forged, 10*time.Second)); resp.StatusCode != 401 {
		t.Errorf("a forged call: got %d %s", resp.StatusCode, resp.Body)
	}
	s.drain(t, 5*time.Second)
	if n := len(dest.posts("")); n != 2 {
		t.Errorf("%d calls of the destination, want 2", n)
	}
}

func TestAFailedAttemptIsMadeAgainAfterItsWait(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	dest := newDestination(t, func(n int, _ post) int { return []int{500, 200}[min(n-1, 1)] })
	s.endpoint(t, "one", dest.URL)
	s.accept(t, "evt_1")
	s.until(t, 20*time.Second, func() string { return s.is(t, "delivered", "evt_1") })
	posts := dest.posts("evt_1")
	if len(posts) != 2 {
		t.Fatalf("%d calls, want 2", len(posts))
	}
	for i, p := range posts {
		if got, want := p.header.Get("Rivya-Webhook-Attempt"), fmt.Sprint(i+1); got != want {
			t.Errorf("call %d: attempt %s", i+1, got)
		}
		if p.body != providerBody("evt_1") {
			t.Errorf("call %d: body %q", i+1, p.body)
		}
	}
	if wait := posts[1].at.Sub(posts[0].at); wait < time.Second {
		t.Errorf("the second attempt came %v after the first, want 1s", wait)
	}
	as := s.attempts(t, "evt_1")
	if len(as) != 2 || as[0].Status != relay.AttemptFailed || as[0].HTTPStatus != 500 || as[0].Final || as[1].Status != relay.AttemptSucceeded || !as[1].Final {
		t.Errorf("on record: %+v", as)
	}
}

func TestAnEventWhoseAttemptsAllFailIsFailedAndNothingIsLeftOver(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	dest := newDestination(t, func(int, post) int { return 503 })
	s.endpoint(t, "one", dest.URL)
	s.accept(t, "evt_1")
	s.until(t, 30*time.Second, func() string { return s.is(t, "failed", "evt_1") })
	s.drain(t, 5*time.Second)
	if n := len(dest.posts("")); n != 3 {
		t.Errorf("%d calls, want the 3 of the schedule", n)
	}
}

func TestABatchThatComesTwiceMakesOneCallForEachEvent(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.invocation = 8 * time.Second
	dest := newDestination(t, nil)
	s.endpoint(t, "one", dest.URL)
	ids := []string{"evt_1", "evt_2", "evt_3"}
	s.accept(t, ids...)
	batch := s.receive(t, s.urls.Events, time.Second, time.Minute)
	if len(batch.Records) != len(ids) {
		t.Fatalf("%d messages, want %d", len(batch.Records), len(ids))
	}
	for range 2 {
		out := s.dispatcher.invoke(t, batch, s.invocation)
		if failed := s.finish(t, s.urls.Events, batch, out); out.failed || len(failed) > 0 {
			t.Fatalf("got %s", out.payload)
		}
	}
	s.drain(t, 30*time.Second)
	for _, id := range ids {
		if n := len(dest.posts(id)); n != 1 {
			t.Errorf("%s: %d calls, want 1", id, n)
		}
	}
	if wrong := s.is(t, "delivered", ids...); wrong != "" {
		t.Error(wrong)
	}
}

// TestABatchThatTwoInstancesHaveAtOnceMakesOneCallForEachEvent: SQS may give a
// message to two at the same time.
func TestABatchThatTwoInstancesHaveAtOnceMakesOneCallForEachEvent(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.invocation = 8 * time.Second
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	dest := newDestination(t, func(int, post) int {
		entered <- struct{}{}
		<-leave
		return 200
	})
	s.endpoint(t, "one", dest.URL)
	s.accept(t, "evt_1")
	batch := s.receive(t, s.urls.Events, time.Second, time.Minute)
	other := startLoopback(t, "dispatcher", s.env)
	other.await(t)

	first := make(chan outcome, 1)
	go func() {
		out, err := s.dispatcher.try(batch, s.invocation)
		if err != nil {
			t.Error(err)
		}
		first <- out
	}()
	<-entered // the first has claimed the event and calls the destination
	second := other.invoke(t, batch, s.invocation)
	close(leave)
	for _, out := range []outcome{<-first, second} {
		if failed := s.finish(t, s.urls.Events, batch, out); out.failed || len(failed) > 0 {
			t.Errorf("got %s", out.payload)
		}
	}
	s.drain(t, 30*time.Second)
	if n := len(dest.posts("")); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	if wrong := s.is(t, "delivered", "evt_1"); wrong != "" {
		t.Error(wrong)
	}
}

// TestOneMessageThatFailsComesAgainAlone: every write of one event is throttled,
// then no longer.
func TestOneMessageThatFailsComesAgainAlone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	weather := newWeather(t, s.deployment)
	s.dispatcher = startLoopback(t, "dispatcher", append(s.env, weather.env...))
	dest := newDestination(t, nil)
	s.endpoint(t, "one", dest.URL)
	weather.set(func(op, body string) fault {
		if op == "DynamoDB_20120810.PutItem" && strings.Contains(body, "evt_bad") {
			return refused
		}
		return none
	})
	s.accept(t, "evt_1", "evt_bad", "evt_2")
	batch := s.receive(t, s.urls.Events, time.Second, 2*time.Second)
	var bad string
	for _, m := range batch.Records {
		if strings.Contains(m.Body, `"evt_bad"`) {
			bad = m.MessageId
		}
	}
	failed := s.finish(t, s.urls.Events, batch, s.dispatcher.invoke(t, batch, s.invocation))
	if len(batch.Records) != 3 || len(failed) != 1 || failed[0] != bad {
		t.Fatalf("of %d messages %v failed, want of 3 %s", len(batch.Records), failed, bad)
	}
	if wrong := s.is(t, "delivered", "evt_1", "evt_2"); wrong != "" {
		t.Error(wrong)
	}
	weather.set(nil)
	s.until(t, 30*time.Second, func() string { return s.is(t, "delivered", "evt_bad") })
	s.drain(t, 5*time.Second)
	for _, id := range []string{"evt_1", "evt_bad", "evt_2"} {
		if n := len(dest.posts(id)); n != 1 {
			t.Errorf("%s: %d calls, want 1", id, n)
		}
	}
}

func TestAPanicFailsItsMessageAloneAndTheFunctionGoesOn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	dest := newDestination(t, nil)
	id, _ := s.endpoint(t, "panics", dest.URL+panicPath, "generation.failed")
	s.endpoint(t, "other", dest.URL+"/hook", "generation.succeeded")
	s.accept(t, "evt_1")
	s.publish(t, "generation.failed", "evt_panics")
	batch := s.receive(t, s.urls.Events, time.Second, 2*time.Second)
	failed := s.finish(t, s.urls.Events, batch, s.dispatcher.invoke(t, batch, s.invocation))
	if len(batch.Records) != 2 || len(failed) != 1 {
		t.Fatalf("of %d messages %v failed, want one of 2", len(batch.Records), failed)
	}
	if log := s.dispatcher.wrote(t, 1, "panic: made by a test"); !strings.Contains(log, "evt_panics") {
		t.Errorf("the log does not say what panicked:\n%s", log)
	}
	if wrong := s.is(t, "delivered", "evt_1"); wrong != "" {
		t.Error(wrong)
	}
	// Once the cause is gone, the message is delivered by the same process.
	s.must(t, 200, "PATCH", "/api/v1/webhooks/"+id, map[string]any{"url": dest.URL + "/mended"})
	s.until(t, 60*time.Second, func() string { return s.is(t, "delivered", "evt_panics") })
	if n := len(dest.posts("evt_panics")); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

// TestAMessageThatFailsForEverEndsWithTheDeadLetters: no table, and SQS itself
// moves the message after its receives.
func TestAMessageThatFailsForEverEndsWithTheDeadLetters(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.accept(t, "evt_1")
	s.dispatcher = start(t, "dispatcher", append(s.env, "TABLE_NAME=missing"))
	receives := 0
	for end := time.Now().Add(60 * time.Second); ; {
		batch := s.receive(t, s.urls.Events, 0, time.Minute)
		if _, dead := s.count(t, s.urls.EventsDead); dead == "1" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("not dead after %d receives", receives)
		}
		if len(batch.Records) == 0 {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		receives++
		if receives%10 == 1 { // the others are as if the function had died
			if failed := s.finish(t, s.urls.Events, batch, s.dispatcher.invoke(t, batch, s.invocation)); len(failed) != 1 {
				t.Fatalf("receive %d: %v failed, want the one", receives, failed)
			}
		}
		url, receipt := s.urls.Events, batch.Records[0].ReceiptHandle
		if _, err := s.sqs.ChangeMessageVisibility(context.Background(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: &receipt}); err != nil {
			t.Fatal(err)
		}
	}
	if receives != relay.MaxReceives {
		t.Errorf("dead after %d receives, want %d", receives, relay.MaxReceives)
	}
}

// TestTheScheduledEventStartsTheRepairWalk: the event is what EventBridge sends
// for the rule of the stack, and the message of the retry is lost.
func TestTheScheduledEventStartsTheRepairWalk(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	dest := newDestination(t, nil)
	id, _ := s.endpoint(t, "one", dest.URL)
	ctx, at := context.Background(), relay.Millis(time.Now().Add(-20*time.Minute))
	ev := relay.Event{
		ID: "evt_lost", Account: tenant, Type: "generation.succeeded", Format: relay.FormatRivya, SourceID: tenantSource,
		VerifiedBy: relay.VerifiedBySignature, CreatedAt: at, RequestID: "req_1", Payload: relay.NewPayload([]byte(providerBody("evt_lost"))),
	}
	next := at.Add(time.Minute)
	a := relay.Attempt{
		ID: relay.AttemptID(tenant, ev.ID, id, 0, 1, at), Account: tenant, EventID: ev.ID, EventType: ev.Type, EndpointID: id,
		Number: 1, Status: relay.AttemptFailed, HTTPStatus: 500, ErrorCode: relay.CodeHTTPError, ErrorMessage: "The endpoint answered with status 500.",
		RequestID: "req_2", DueAt: at, CreatedAt: at, NextAttemptAt: next, MID: "MID1", EventCreatedAt: at,
	}
	if existing, err := s.store.PutEvent(ctx, relay.EventRecord{Event: ev, MID: "MID1", ClaimedUntil: at.Add(time.Minute), Matched: []string{id}}); err != nil || existing != nil {
		t.Fatal(existing, err)
	}
	if _, err := s.store.RecordAttempt(ctx, a); err != nil {
		t.Fatal(err)
	}
	if err := s.store.ListEvent(ctx, ev, []relay.Delivery{a.Delivery()}); err != nil {
		t.Fatal(err)
	}

	scheduled := json.RawMessage(`{"version":"0","id":"53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa","detail-type":"Scheduled Event","source":"aws.events",
		"account":"123456789012","time":"2026-05-11T00:00:00Z","region":"us-east-1",
		"resources":["arn:aws:events:us-east-1:123456789012:rule/hookferry-test-repair"],"detail":{}}`)
	repair := start(t, "repair", s.env)
	out := repair.invoke(t, scheduled, s.invocation)
	if out.failed {
		t.Fatalf("got %s", out.payload)
	}
	if log := repair.wrote(t, 1, `"msg":"repair"`); !strings.Contains(log, `"overdue":1`) || !strings.Contains(log, `"Name":"overdue"`) || !strings.Contains(log, `"repair_walks":1`) {
		t.Errorf("no metric of the overdue delivery, or of the walk:\n%s", log)
	}
	s.until(t, 10*time.Second, func() string { return s.is(t, "delivered", "evt_lost") })
	if posts := dest.posts("evt_lost"); len(posts) != 1 || posts[0].header.Get("Rivya-Webhook-Attempt") != "2" {
		t.Errorf("got %d calls %v, want attempt 2", len(posts), posts)
	}
	// A second walk finds nothing.
	if out := repair.invoke(t, scheduled, s.invocation); out.failed {
		t.Errorf("got %s", out.payload)
	}
	s.drain(t, 5*time.Second)
	if n := strings.Count(repair.wrote(t, 2, `"msg":"repair"`), `"overdue":`); n != 1 || len(dest.posts("")) != 1 {
		t.Errorf("after a second walk: %d lines of overdue deliveries, %d calls", n, len(dest.posts("")))
	}
}

// TestAFailedWalkIsAFailedInvocation: nothing else tells the alarm from silence.
func TestAFailedWalkIsAFailedInvocation(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	repair := start(t, "repair", append(d.env, "TABLE_NAME=missing"))
	if out := repair.invoke(t, map[string]any{"source": "aws.events"}, 20*time.Second); !out.failed {
		t.Errorf("got %s", out.payload)
	}
	if log := repair.wrote(t, 1, `"msg":"repair"`); strings.Contains(log, "repair_walks") {
		t.Errorf("a failed walk counts as one:\n%s", log)
	}
}

func TestABatchOfNothingIsNoScheduledEvent(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if out := s.dispatcher.invoke(t, events.SQSEvent{Records: []events.SQSMessage{}}, s.invocation); out.failed {
		t.Errorf("got %s", out.payload)
	}
}
