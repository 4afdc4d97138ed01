package functions

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/signature"
)

const (
	tenant       = "acct_00000000000000000000000002"
	tenantSource = "src_00000000000000000000000002"
)

// A stage is a deployment with a tenant of its own, whose functions run: the
// receiver as it is deployed, api and dispatcher so that they reach 127.0.0.1.
type stage struct {
	deployment
	receiver, api, dispatcher *instance
	key                       relay.Secret
	// invocation is how long the dispatcher may take, visibility how long what
	// it failed at stays hidden. The stack has 60 s and 360 s.
	invocation, visibility time.Duration
}

func newStage(tb testing.TB, env ...string) *stage {
	tb.Helper()
	s := &stage{deployment: deploy(tb), key: relay.NewAPIKey(), invocation: 20 * time.Second, visibility: 2 * time.Second}
	s.env = append(append(s.env, "RETRY_SCHEDULE=0s,1s,1s", "DELIVERY_TIMEOUT=1s", "SSL_CERT_FILE="+certificate(tb)), env...)
	ctx, now := context.Background(), relay.Millis(time.Now())
	check := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	check(s.store.CreateAccount(ctx, relay.Account{ID: tenant, Name: "two", CreatedAt: now}))
	check(s.store.CreateKey(ctx, relay.Key{
		ID: "key_00000000000000000000000002", Account: tenant, Name: "all", Hash: relay.HashSecret(s.key),
		Prefix: s.key.Reveal()[:12], Scopes: relay.Scopes(), CreatedAt: now,
	}, 10))
	check(s.store.CreateSource(ctx, relay.Source{
		ID: tenantSource, Account: tenant, Provider: relay.Rivya, Name: "rivya", Status: relay.Active,
		CreatedAt: now, UpdatedAt: now, Secret: s.keys.Seal(secret, seal.Place{Account: tenant, Object: tenantSource, Field: "signing_secret"}),
	}, 10))
	s.start(tb)
	return s
}

// start runs the three functions.
func (s *stage) start(tb testing.TB) {
	tb.Helper()
	s.receiver, s.api, s.dispatcher = start(tb, "receiver", s.env), startLoopback(tb, "api", s.env), startLoopback(tb, "dispatcher", s.env)
}

// manage makes a call of the API and returns the status and the answer.
func (s *stage) manage(tb testing.TB, api *instance, method, path string, in any) (int, map[string]any) {
	tb.Helper()
	body := ""
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			tb.Fatal(err)
		}
		body = string(text)
	}
	path, query, _ := strings.Cut(path, "?")
	req := call(method, path, body, map[string]string{"authorization": "Bearer " + s.key.Reveal(), "content-type": "application/json"})
	req.RawQueryString = query
	resp := gatewayAnswer(tb, api.invoke(tb, req, 20*time.Second))
	var answer map[string]any
	if err := json.Unmarshal([]byte(resp.Body), &answer); err != nil {
		tb.Fatalf("%s %s: answer %q: %v", method, path, resp.Body, err)
	}
	return resp.StatusCode, answer
}

// must is manage for a call that is answered with want.
func (s *stage) must(tb testing.TB, want int, method, path string, in any) map[string]any {
	tb.Helper()
	status, answer := s.manage(tb, s.api, method, path, in)
	if status != want {
		tb.Fatalf("%s %s: got %d %v, want %d", method, path, status, answer, want)
	}
	return answer
}

// endpoint creates an endpoint through the API.
func (s *stage) endpoint(tb testing.TB, name, url string, types ...string) (id string, signing relay.Secret) {
	tb.Helper()
	if len(types) == 0 {
		types = []string{"*"}
	}
	ep := s.must(tb, 201, "POST", "/api/v1/webhooks", map[string]any{"name": name, "url": url, "event_types": types})
	return ep["id"].(string), relay.Secret(ep["signing_secret"].(string))
}

// putEndpoint puts an endpoint on the table past the API, which would refuse it.
func (s *stage) putEndpoint(tb testing.TB, id, url string) {
	tb.Helper()
	now := relay.Millis(time.Now())
	if err := s.store.CreateEndpoint(context.Background(), relay.Endpoint{
		ID: id, Account: tenant, Name: id, URL: url, EventTypes: []string{"*"},
		Format: relay.FormatRivya, Signatures: []relay.Scheme{relay.SchemeRivya}, Status: relay.Active, CreatedAt: now, UpdatedAt: now,
		Secret: s.keys.Seal(relay.NewSigningSecret(), seal.Place{Account: tenant, Object: id, Field: "signing_secret"}),
	}, 100); err != nil {
		tb.Fatal(err)
	}
}

// providerBody is what the provider posts for an event.
func providerBody(id string) string {
	return `{"id":"` + id + `", "type":"generation.succeeded","data":{"generation":{"id":"task_1"},"x":"é` + "\ufffe\uffff\u2028" + `, \"and\" more"}}`
}

// providerCall is the signed call, as the gateway hands it on: in base64, or as
// text.
func (s *stage) providerCall(tb testing.TB, id string, encoded bool) events.APIGatewayV2HTTPRequest {
	tb.Helper()
	body, now := providerBody(id), time.Now().Unix()
	sig, err := signature.SignRivya(now, []byte(body), "whsec_another-one", secret)
	if err != nil {
		tb.Fatal(err)
	}
	req := call("POST", "/in/"+tenantSource, body, map[string]string{
		"content-type": "application/json", "rivya-webhook-id": id,
		"rivya-webhook-timestamp": strconv.FormatInt(now, 10), "rivya-webhook-signature": sig,
	})
	if !encoded {
		req.Body, req.IsBase64Encoded = body, false
	}
	return req
}

// accept has the receiver take a call of the provider.
func (s *stage) accept(tb testing.TB, ids ...string) {
	tb.Helper()
	for _, id := range ids {
		if resp := gatewayAnswer(tb, s.receiver.invoke(tb, s.providerCall(tb, id, true), 10*time.Second)); resp.StatusCode != 200 {
			tb.Fatalf("%s: got %d %s", id, resp.StatusCode, resp.Body)
		}
	}
}

// publish puts an event on the queue as the API would.
func (s *stage) publish(tb testing.TB, typ, id string) {
	tb.Helper()
	ev := relay.Event{
		ID: id, Account: tenant, Type: typ, Format: relay.FormatRivya, VerifiedBy: relay.VerifiedByKey,
		CreatedAt: relay.Millis(time.Now()), Payload: relay.NewPayload([]byte(providerBody(id))),
	}
	s.send(tb, s.urls.Events, relay.NewEventMessage(ev).Encode())
}

// send puts a message on a queue.
func (d deployment) send(tb testing.TB, url string, body []byte) {
	tb.Helper()
	text := string(body)
	if _, err := d.sqs.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &text}); err != nil {
		tb.Fatal(err)
	}
}

// receive takes what is on a queue, as Lambda's poller does, and hides it.
func (d deployment) receive(tb testing.TB, url string, wait, visibility time.Duration) events.SQSEvent {
	tb.Helper()
	out, err := d.sqs.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: 10,
		WaitTimeSeconds: int32(wait / time.Second), VisibilityTimeout: int32(visibility / time.Second),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}, MessageAttributeNames: []string{"All"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	var ev events.SQSEvent
	for _, m := range out.Messages {
		ev.Records = append(ev.Records, events.SQSMessage{
			MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body,
			Md5OfBody: *m.MD5OfBody, Attributes: m.Attributes, MessageAttributes: map[string]events.SQSMessageAttribute{},
			EventSource: "aws:sqs", AWSRegion: region, EventSourceARN: arn(url),
		})
	}
	return ev
}

// finish does what Lambda does after an invocation: it deletes what did not fail,
// and leaves what did for its visibility to end. It returns the ids that failed.
func (s *stage) finish(tb testing.TB, url string, batch events.SQSEvent, out outcome) (failed []string) {
	tb.Helper()
	if out.failed {
		return nil // the whole batch comes again
	}
	var resp events.SQSEventResponse
	if err := json.Unmarshal(out.payload, &resp); err != nil {
		tb.Fatalf("answer %s: %v", out.payload, err)
	}
	for _, f := range resp.BatchItemFailures {
		failed = append(failed, f.ItemIdentifier)
	}
	var done []types.DeleteMessageBatchRequestEntry
	for _, m := range batch.Records {
		if !slices.Contains(failed, m.MessageId) {
			id, receipt := strconv.Itoa(len(done)), m.ReceiptHandle
			done = append(done, types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: &receipt})
		}
	}
	if len(done) > 0 {
		if _, err := s.sqs.DeleteMessageBatch(context.Background(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: done}); err != nil {
			tb.Fatal(err)
		}
	}
	return failed
}

// pump is a round of both event source mappings. It returns how many messages
// there were and how many of them failed.
func (s *stage) pump(tb testing.TB) (got, failed int) {
	tb.Helper()
	for _, url := range []string{s.urls.Events, s.urls.Retries} {
		batch := s.receive(tb, url, 0, s.visibility)
		if len(batch.Records) == 0 {
			continue
		}
		got += len(batch.Records)
		failed += len(s.finish(tb, url, batch, s.dispatcher.invoke(tb, batch, s.invocation)))
	}
	return got, failed
}

// until pumps until holds returns nothing; what it returns is what does not hold
// yet.
func (s *stage) until(tb testing.TB, within time.Duration, holds func() string) {
	tb.Helper()
	for end := time.Now().Add(within); ; {
		got, _ := s.pump(tb)
		wrong := holds()
		if wrong == "" {
			return
		}
		if time.Now().After(end) {
			tb.Fatalf("after %v: %s", within, wrong)
		}
		if got == 0 {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// drain pumps until both queues are empty, also of what waits.
func (s *stage) drain(tb testing.TB, within time.Duration) {
	tb.Helper()
	s.until(tb, within, func() string {
		for _, url := range []string{s.urls.Events, s.urls.Retries} {
			out, err := s.sqs.GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"}})
			if err != nil {
				tb.Fatal(err)
			}
			for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible"} {
				if out.Attributes[name] != "0" {
					return fmt.Sprintf("%s of %s: %s", name, url, out.Attributes[name])
				}
			}
		}
		return ""
	})
	for _, url := range []string{s.urls.EventsDead, s.urls.RetriesDead} {
		if _, dead := s.count(tb, url); dead != "0" {
			tb.Errorf("%s dead letters on %s", dead, url)
		}
	}
}

// attempts returns an event's attempts that are on record, by endpoint and number.
func (s *stage) attempts(tb testing.TB, event string) (all []relay.Attempt) {
	tb.Helper()
	ctx := context.Background()
	eps, err := s.store.LiveEndpoints(ctx, tenant)
	if err != nil {
		tb.Fatal(err)
	}
	for _, ep := range eps {
		as, _, err := s.store.Attempts(ctx, ep.ID, relay.AttemptFilter{EventID: s.eventKey(tb, event)}, relay.Page{Limit: 100})
		if err != nil {
			tb.Fatal(err)
		}
		slices.Reverse(as)
		all = append(all, as...)
	}
	return all
}

// eventKey returns the key of the newest event of this id, the id itself if there is none.
func (s *stage) eventKey(tb testing.TB, id string) string {
	tb.Helper()
	all, err := s.store.EventsByID(context.Background(), tenant, id)
	if err != nil {
		tb.Fatal(err)
	}
	if len(all) == 0 {
		return id
	}
	return all[0].Ref().ID
}

// recorded says whether as many attempts of an event are on record.
func (s *stage) recorded(tb testing.TB, event string, n int) string {
	tb.Helper()
	if got := len(s.attempts(tb, event)); got < n {
		return fmt.Sprintf("%s: %d attempts on record, want %d", event, got, n)
	}
	return ""
}

// is says whether the API shows each event with a status.
func (s *stage) is(tb testing.TB, status string, ids ...string) string {
	tb.Helper()
	for _, id := range ids {
		code, answer := s.manage(tb, s.api, "GET", "/api/v1/webhook-events/"+id, nil)
		if code != 200 || answer["status"] != status {
			return fmt.Sprintf("%s: got %d, status %v, want %s", id, code, answer["status"], status)
		}
	}
	return ""
}
