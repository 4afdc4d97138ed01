package functions

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"hookferry/shared/awstest"
	"hookferry/shared/dynamo"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/signature"
	"hookferry/shared/sqsqueue"
)

const (
	region  = "us-east-1"
	account = "acct_00000000000000000000000001"
	source  = "src_00000000000000000000000001"
	webhook = "whend_00000000000000000000000001"
	secret  = relay.Secret("whsec_of-the-provider")
	body    = `{"id":"evt_1","type":"generation.succeeded","data":{"x":"é\ufffe, and more"}}`
)

// A deployment is what the stack makes, on servers that stand in for AWS.
type deployment struct {
	env               []string
	dynamoURL, sqsURL string
	store             *dynamo.Store
	urls              sqsqueue.URLs
	sqs               *sqs.Client
	keys              *seal.Keyring
}

func deploy(tb testing.TB) deployment {
	tb.Helper()
	ctx := context.Background()
	dynamoURL, sqsURL := awstest.StartDynamoDB(tb), awstest.StartSQS(tb)
	d := deployment{dynamoURL: dynamoURL, sqsURL: sqsURL, sqs: awstest.SQS(sqsURL), keys: seal.Generate()}
	client := awstest.DynamoDB(dynamoURL)
	if err := dynamo.CreateTable(ctx, client, "relay"); err != nil {
		tb.Fatal(err)
	}
	var err error
	if d.urls, err = sqsqueue.CreateQueues(ctx, d.sqs, "relay"); err != nil {
		tb.Fatal(err)
	}
	d.store = dynamo.New(client, dynamo.Config{Table: "relay"})
	secrets := secretsManager(tb, d.keys.Marshal())
	d.env = []string{
		"AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_ENDPOINT_URL_DYNAMODB=" + dynamoURL, "AWS_ENDPOINT_URL_SQS=" + sqsURL, "AWS_ENDPOINT_URL_SECRETS_MANAGER=" + secrets,
		"TABLE_NAME=relay", "SEALING_KEYRING_SECRET=arn:aws:secretsmanager:us-east-1:000000000000:secret:keyring",
		"EVENTS_QUEUE_URL=" + d.urls.Events, "EVENTS_DLQ_URL=" + d.urls.EventsDead,
		"RETRIES_QUEUE_URL=" + d.urls.Retries, "RETRIES_DLQ_URL=" + d.urls.RetriesDead,
	}

	now := relay.Millis(time.Now())
	if err := d.store.CreateAccount(ctx, relay.Account{ID: account, Name: "one", CreatedAt: now}); err != nil {
		tb.Fatal(err)
	}
	if err := d.store.CreateSource(ctx, relay.Source{
		ID: source, Account: account, Provider: relay.Rivya, Name: "rivya", Status: relay.Active,
		CreatedAt: now, UpdatedAt: now, Secret: d.keys.Seal(secret, seal.Place{Account: account, Object: source, Field: "signing_secret"}),
	}, 10); err != nil {
		tb.Fatal(err)
	}
	// A documentation address: put here past the API, which would refuse it.
	own := relay.NewSigningSecret()
	if err := d.store.CreateEndpoint(ctx, relay.Endpoint{
		ID: webhook, Account: account, Name: "one", URL: "https://203.0.113.10/hook",
		EventTypes: []string{"*"}, Format: relay.FormatRivya, Signatures: []relay.Scheme{relay.SchemeRivya}, Status: relay.Active,
		Secret: d.keys.Seal(own, seal.Place{Account: account, Object: webhook, Field: "signing_secret"}), CreatedAt: now, UpdatedAt: now,
	}, 10); err != nil {
		tb.Fatal(err)
	}
	return d
}

// secretsManager serves the one call that a function makes.
func secretsManager(tb testing.TB, ring []byte) string {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ SecretId string }
		text, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(text, &in) != nil || r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" ||
			!strings.HasSuffix(in.SecretId, ":secret:keyring") || !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=test/") {
			http.Error(w, `{"__type":"InvalidRequestException"}`, http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		json.NewEncoder(w).Encode(map[string]string{"ARN": in.SecretId, "SecretString": string(ring)})
	}))
	tb.Cleanup(srv.Close)
	return srv.URL
}

// call is a request as the gateway hands it to a function.
func call(method, rawPath, body string, headers map[string]string) events.APIGatewayV2HTTPRequest {
	ev := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RawPath: rawPath, Headers: headers,
		Body: base64.StdEncoding.EncodeToString([]byte(body)), IsBase64Encoded: true,
	}
	ev.RequestContext.HTTP.Method, ev.RequestContext.HTTP.SourceIP = method, "203.0.113.7"
	ev.RequestContext.DomainName = "abc.execute-api.us-east-1.amazonaws.com"
	return ev
}

func (d deployment) signed(tb testing.TB) events.APIGatewayV2HTTPRequest {
	tb.Helper()
	now := time.Now().Unix()
	sig, err := signature.SignRivya(now, []byte(body), "whsec_another-one", secret)
	if err != nil {
		tb.Fatal(err)
	}
	return call("POST", "/in/"+source, body, map[string]string{
		"content-type":     "application/json",
		"rivya-webhook-id": "evt_1", "rivya-webhook-timestamp": strconv.FormatInt(now, 10), "rivya-webhook-signature": sig,
	})
}

func gatewayAnswer(tb testing.TB, out outcome) events.APIGatewayV2HTTPResponse {
	tb.Helper()
	var resp events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(out.payload, &resp); err != nil || out.failed {
		tb.Fatalf("answer %s: %v", out.payload, err)
	}
	return resp
}

// batch receives what is on a queue, as Lambda's poller hands it on.
func (d deployment) batch(tb testing.TB, url string) events.SQSEvent {
	tb.Helper()
	return d.receive(tb, url, time.Second, 10*time.Minute)
}

func arn(url string) string { return "arn:aws:sqs:" + region + ":000000000000:" + path.Base(url) }

// count returns how many messages of a queue wait for their delay, and how many
// do not.
func (d deployment) count(tb testing.TB, url string) (delayed, visible string) {
	tb.Helper()
	out, err := d.sqs.GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil {
		tb.Fatal(err)
	}
	return out.Attributes["ApproximateNumberOfMessagesDelayed"], out.Attributes["ApproximateNumberOfMessages"]
}

func TestASignedCallBecomesARecordedAttemptThroughTheBuiltLambdas(t *testing.T) {
	d := deploy(t)
	ctx := context.Background()
	receiver, dispatcher := start(t, "receiver", d.env), start(t, "dispatcher", d.env)

	resp := gatewayAnswer(t, receiver.invoke(t, d.signed(t), 10*time.Second))
	if resp.StatusCode != 200 || resp.Body != `{"received":true,"id":"evt_1"}` || resp.IsBase64Encoded {
		t.Fatalf("got %+v", resp)
	}
	wrong := d.signed(t)
	wrong.Body = base64.StdEncoding.EncodeToString([]byte(body + " "))
	if resp := gatewayAnswer(t, receiver.invoke(t, wrong, 10*time.Second)); resp.StatusCode != 401 || !strings.HasPrefix(resp.Headers["X-Request-Id"], "req_") {
		t.Fatalf("got %+v", resp)
	}

	batch := d.batch(t, d.urls.Events)
	if len(batch.Records) != 1 {
		t.Fatalf("%d messages on the queue, want 1", len(batch.Records))
	}
	// The second time it is a redelivery: what happened is on record.
	for range 2 {
		if out := dispatcher.invoke(t, batch, 60*time.Second); out.failed || string(out.payload) != `{"batchItemFailures":[]}` {
			t.Fatalf("got %s", out.payload)
		}
		attempts, _, err := d.store.Attempts(ctx, webhook, relay.AttemptFilter{}, relay.Page{Limit: 10})
		if err != nil || len(attempts) != 1 {
			t.Fatalf("%d attempts on record, %v, want 1", len(attempts), err)
		}
		// The guard of a deployed function is on whatever the environment says.
		if a := attempts[0]; a.ErrorCode != relay.CodeAddressBlocked || a.Final || a.EventID != relay.EventKey(source, "evt_1") {
			t.Errorf("got %+v", a)
		}
	}
	if delayed, _ := d.count(t, d.urls.Retries); delayed == "0" {
		t.Error("no retry waits on the queue")
	}
	ev, err := d.store.Event(ctx, account, relay.EventKey(source, "evt_1"), true)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ev.Payload.Bytes(); err != nil || string(got) != body {
		t.Errorf("payload %q, %v, want %q", got, err, body)
	}
}

func TestWhatCannotBeDecodedGoesToTheDeadLettersAndTheRestGoesOn(t *testing.T) {
	d := deploy(t)
	ctx := context.Background()
	for _, text := range []string{"no message of ours", string(relay.NewEventMessage(relay.Event{
		ID: "evt_2", Account: account,
		Type: "generation.failed", Format: relay.FormatRivya, VerifiedBy: relay.VerifiedByKey, CreatedAt: relay.Millis(time.Now()),
		Payload: relay.NewPayload([]byte(body)),
	}).Encode())} {
		if _, err := d.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &d.urls.Events, MessageBody: &text}); err != nil {
			t.Fatal(err)
		}
	}
	batch := d.batch(t, d.urls.Events)
	if len(batch.Records) != 2 {
		t.Fatalf("%d messages on the queue, want 2", len(batch.Records))
	}
	if out := start(t, "dispatcher", d.env).invoke(t, batch, 60*time.Second); out.failed || string(out.payload) != `{"batchItemFailures":[]}` {
		t.Fatalf("got %s", out.payload)
	}
	if _, dead := d.count(t, d.urls.EventsDead); dead != "1" {
		t.Errorf("%s dead letters, want 1", dead)
	}
	if _, err := d.store.Event(ctx, account, "evt_2", true); err != nil {
		t.Errorf("the good message of the batch: %v", err)
	}
}

func TestABatchWhoseTableIsGoneComesAgainItemByItem(t *testing.T) {
	d := deploy(t)
	gateway := start(t, "receiver", d.env)
	if resp := gatewayAnswer(t, gateway.invoke(t, d.signed(t), 10*time.Second)); resp.StatusCode != 200 {
		t.Fatalf("got %+v", resp)
	}
	batch := d.batch(t, d.urls.Events)
	out := start(t, "dispatcher", append(d.env, "TABLE_NAME=missing")).invoke(t, batch, 60*time.Second)
	want := fmt.Sprintf(`{"batchItemFailures":[{"itemIdentifier":%q}]}`, batch.Records[0].MessageId)
	if out.failed || string(out.payload) != want {
		t.Errorf("got %s, want %s", out.payload, want)
	}
}

func TestABatchOfAnotherQueueIsAnErrorAndTheFunctionGoesOn(t *testing.T) {
	d := deploy(t)
	dispatcher := start(t, "dispatcher", d.env)
	foreign := events.SQSEvent{Records: []events.SQSMessage{{MessageId: "m", Body: "{}", EventSourceARN: arn("x/foreign")}}}
	if out := dispatcher.invoke(t, foreign, 60*time.Second); !out.failed || !strings.Contains(string(out.payload), "neither queue of ours") {
		t.Errorf("got %s", out.payload)
	}
	if out := dispatcher.invoke(t, map[string]any{"source": "aws.events", "detail": map[string]any{}}, 60*time.Second); out.failed {
		t.Errorf("the scheduled event failed: %s", out.payload)
	}
}

func TestTheAPIAnswersBehindTheGateway(t *testing.T) {
	d := deploy(t)
	api := start(t, "api", d.env)
	resp := gatewayAnswer(t, api.invoke(t, call("GET", "/api/v1/openapi.json", "", nil), 20*time.Second))
	if resp.StatusCode != 200 || !json.Valid([]byte(resp.Body)) {
		t.Errorf("openapi.json: got %d %.100s", resp.StatusCode, resp.Body)
	}
	resp = gatewayAnswer(t, api.invoke(t, call("GET", "/api/v1/webhooks", "", nil), 20*time.Second))
	if resp.StatusCode != 401 || !strings.Contains(resp.Body, "api_key_missing") {
		t.Errorf("got %d %s", resp.StatusCode, resp.Body)
	}
}

func TestALambdaThatCannotStartSaysWhyAndEnds(t *testing.T) {
	full := deploy(t).env
	for name, c := range map[string]struct{ set, says string }{
		"no table":             {"TABLE_NAME=", "TABLE_NAME"},
		"no region":            {"AWS_REGION=", "AWS_REGION"},
		"no keyring's name":    {"SEALING_KEYRING_SECRET=", "SEALING_KEYRING_SECRET"},
		"private destinations": {"ALLOW_PRIVATE_DESTINATIONS=true", "ALLOW_PRIVATE_DESTINATIONS"},
	} {
		in := start(t, "dispatcher", append(full, c.set))
		select {
		case err := <-in.exited:
			if err == nil || !strings.Contains(in.written(), c.says) || strings.Count(in.written(), "\n") != 1 {
				t.Errorf("%s: %v, wrote %s", name, err, in.written())
			}
		case <-in.ready:
			t.Errorf("%s: started", name)
		case <-time.After(20 * time.Second):
			t.Errorf("%s: neither started nor ended", name)
		}
	}
}

// TestTheReceiverServesWithoutTheKeyringWhatNeedsNone: Secrets Manager is out of
// reach; Sivi, which never calls twice, is served by its token, and a source with
// a secret is asked to come again.
func TestTheReceiverServesWithoutTheKeyringWhatNeedsNone(t *testing.T) {
	d := deploy(t)
	token := relay.Secret("a-token-of-thirty-two-characters")
	const siviSource = "src_00000000000000000000000009"
	now := relay.Millis(time.Now())
	if err := d.store.CreateSource(context.Background(), relay.Source{
		ID: siviSource, Account: account, Provider: relay.Sivi, Name: "sivi", Status: relay.Active, CreatedAt: now, UpdatedAt: now, TokenHash: relay.HashSecret(token),
	}, 10); err != nil {
		t.Fatal(err)
	}
	receiver := start(t, "receiver", append(d.env, "SEALING_KEYRING_SECRET=arn:aws:secretsmanager:us-east-1:000000000000:secret:other"))
	resp := gatewayAnswer(t, receiver.invoke(t, call("POST", "/in/"+siviSource+"/"+token.Reveal(), `{"status":200,"body":{"status":"complete","requestId":"r"}}`,
		map[string]string{"content-type": "application/json"}), 10*time.Second))
	if resp.StatusCode != 200 {
		t.Errorf("Sivi: got %d %s", resp.StatusCode, resp.Body)
	}
	if resp := gatewayAnswer(t, receiver.invoke(t, d.signed(t), 10*time.Second)); resp.StatusCode != 503 {
		t.Errorf("Rivya: got %d %s, want 503", resp.StatusCode, resp.Body)
	}
}

// BenchmarkInit measures from the start of the process to its first question for
// work.
func BenchmarkInit(b *testing.B) {
	env := deploy(b).env
	for _, name := range lambdas {
		b.Run(name, func(b *testing.B) {
			var total time.Duration
			for b.Loop() {
				in := start(b, name, env)
				in.await(b)
				total += in.initTime
			}
			b.ReportMetric(float64(total.Microseconds())/1000/float64(b.N), "init-ms")
		})
	}
}
