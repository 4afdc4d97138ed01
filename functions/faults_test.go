package functions

import (
	"context"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"hookferry/shared/api"
	"hookferry/shared/awstest"
	"hookferry/shared/cache"
	"hookferry/shared/dispatcher"
	"hookferry/shared/dynamo"
	"hookferry/shared/egress"
	"hookferry/shared/receiver"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
	"hookferry/shared/sivi"
	"hookferry/shared/sqsqueue"
)

// rates are how many requests of 1,000 are spoiled, each time the SDK makes
// them.
var rates = map[awstest.Fault]int{awstest.Throttled: 15, awstest.Broken: 10, awstest.Lost: 15, awstest.Stalled: 2}

// A fleet is the functions, as many instances of them as Lambda would run, in
// this process and on the real adapters, of which any request may fail, stall,
// or succeed without an answer.
type fleet struct {
	*town
	t    *testing.T
	seed uint64
	life int // how many effects a mortal dispatcher has at most

	mu     sync.Mutex
	faults []*awstest.Faults
	rng    *rand.Rand
	mortal int // how many dispatchers are still to be started that die
	deaths atomic.Int64
}

// adapters are the ports of one process, with faults of their own.
func (f *fleet) adapters() (store relay.Store, events, retries relay.Queue) {
	f.mu.Lock()
	faults := awstest.Seeded(f.seed+uint64(len(f.faults)), rates)
	f.faults = append(f.faults, faults)
	f.mu.Unlock()
	db := awstest.DynamoDB(f.dynamoURL, func(o *dynamodb.Options) { o.APIOptions = append(o.APIOptions, faults.AddTo) })
	queues := awstest.SQS(f.sqsURL, func(o *sqs.Options) { o.APIOptions = append(o.APIOptions, faults.AddTo) })
	return dynamo.New(db, dynamo.Config{Table: "relay"}),
		sqsqueue.New(queues, sqsqueue.Config{URL: f.urls.Events, DeadURL: f.urls.EventsDead}),
		sqsqueue.New(queues, sqsqueue.Config{URL: f.urls.Retries, DeadURL: f.urls.RetriesDead})
}

// entrance is the receiver and the API.
func (f *fleet) entrance() http.Handler {
	store, events, retries := f.adapters()
	cached := cache.Wrap(store, cache.TTL, time.Now)
	mux := http.NewServeMux()
	mux.Handle("/in/", receiver.New(receiver.Config{Sources: cached, Events: events, Keys: f.keys, Now: time.Now}))
	mux.Handle("/", api.New(api.Config{Store: cached, Events: events, Retries: retries, Keys: f.keys, Now: time.Now}))
	return mux
}

// An incarnation is a dispatcher that may die at one of its effects.
type incarnation struct {
	*dispatcher.Dispatcher
	process         *relaytest.Process
	events, retries relay.Queue
}

func (f *fleet) incarnate(url string, client *egress.Client) incarnation {
	f.mu.Lock()
	p := relaytest.Live()
	if f.mortal > 0 && url == f.urls.Events {
		f.mortal--
		p = relaytest.DieAt(f.life/10+f.rng.IntN(f.life), f.rng.IntN(2) == 0)
	}
	f.mu.Unlock()
	store, events, retries := f.adapters()
	in := incarnation{process: p, events: p.Queue(events), retries: p.Queue(retries)}
	in.Dispatcher = dispatcher.New(dispatcher.Config{
		Store: cache.Wrap(p.Store(store), cache.TTL, time.Now), Events: in.events, Retries: in.retries, Keys: f.keys, Client: client,
		Schedule: relay.Schedule{0, time.Second, time.Second}, DeliveryTimeout: 2 * time.Second, Sivi: sivi.NewClient(f.server.URL, client), Now: time.Now,
	})
	return in
}

// work is one instance after the other, each invoked with one batch at a time,
// until ctx ends. What an invocation that died had in hand is not deleted.
func (f *fleet) work(ctx context.Context, url string, client *egress.Client) {
	const invocation, visibility = 10 * time.Second, 5
	in := f.incarnate(url, client)
	mapping := awstest.SQS(f.sqsURL)
	for ctx.Err() == nil {
		out, err := mapping.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1,
			VisibilityTimeout: visibility, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})
		if err != nil || len(out.Messages) == 0 {
			continue
		}
		batch := make([]relay.Received, len(out.Messages))
		for i, m := range out.Messages {
			batch[i] = sqsqueue.Message(*m.MessageId, *m.ReceiptHandle, *m.Body, m.Attributes)
		}
		lane := in.events
		if url == f.urls.Retries {
			lane = in.retries
		}
		ictx, cancel := context.WithTimeout(context.WithoutCancel(ctx), invocation)
		failed := in.Handle(ictx, lane, batch)
		cancel()
		if in.process.Dead() {
			f.deaths.Add(1)
			in = f.incarnate(url, client)
			continue
		}
		batch = slices.DeleteFunc(batch, func(m relay.Received) bool { return slices.Contains(failed, m.ID) })
		if len(batch) > 0 {
			clean := sqsqueue.New(mapping, sqsqueue.Config{URL: url})
			if err := clean.Delete(context.WithoutCancel(ctx), batch...); err != nil {
				f.t.Error(err)
			}
		}
	}
}

// quiet waits until nothing is on the queues, in hand, or waiting.
func (f *fleet) quiet(within time.Duration) {
	f.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(200 * time.Millisecond) {
		left := ""
		for _, url := range []string{f.urls.Events, f.urls.Retries} {
			out, err := f.sqs.GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"}})
			if err != nil {
				f.t.Fatal(err)
			}
			for _, name := range []string{"", "Delayed", "NotVisible"} {
				if n := out.Attributes["ApproximateNumberOfMessages"+name]; n != "0" {
					left += fmt.Sprintf(" %s%s: %s", url[strings.LastIndexByte(url, '/')+1:], name, n)
				}
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(end) {
			f.t.Fatalf("after %v there are messages left:%s", within, left)
		}
	}
}

// TestTheLedgerIsExactWhateverFailsAndDies is 10,000 events, of every kind and
// with every outcome, through requests that fail, stall, or succeed without an
// answer, and dispatchers that die at random.
func TestTheLedgerIsExactWhateverFailsAndDies(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 1_000
		t.Logf("%d events instead of 10,000: run without -short", n)
	}
	began := time.Now()
	seed := uint64(began.UnixNano())
	f := &fleet{town: settle(t, deploy(t)), t: t, seed: seed, life: n / 5, mortal: n / 400, rng: rand.New(rand.NewPCG(seed, 1))}
	roots := x509.NewCertPool()
	roots.AddCert(f.server.Certificate())
	client := egress.New(egress.Config{Policy: egress.Policy{AllowPrivate: true}, Timeout: 2 * time.Second, RootCAs: roots})
	defer client.CloseIdle()

	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 24 {
		url := f.urls.Events
		if i%3 == 0 {
			url = f.urls.Retries
		}
		wg.Go(func() { f.work(ctx, url, client) })
	}
	register := f.send(t, f.entrance(), n, 32)
	accepted := time.Since(began)
	f.quiet(2 * time.Minute)
	stop()
	wg.Wait()

	spoiled := map[awstest.Fault]int{}
	for _, one := range f.faults {
		for fault := awstest.Throttled; fault <= awstest.Stalled; fault++ {
			spoiled[fault] += one.Happened(fault)
		}
	}
	t.Logf("ledger: seed %d: %d dispatchers died; requests: %d throttled, %d broken, %d done without an answer, %d stalled; accepted in %v, all done in %v",
		seed, f.deaths.Load(), spoiled[awstest.Throttled], spoiled[awstest.Broken], spoiled[awstest.Lost], spoiled[awstest.Stalled],
		accepted.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	f.exact(register, n)
	for fault, count := range spoiled {
		if count == 0 {
			t.Errorf("fault %d never happened", fault)
		}
	}
}

// exact holds the ledger against what was accepted: n events.
func (f *fleet) exact(register *register, n int) {
	t := f.t
	t.Helper()
	ledger, deliveries, twice := f.audit(t, register)
	t.Logf("ledger: %d accepted = %s; %d deliveries, %d of them twice (%.2f %%); %d calls of destinations; %d calls refused with 5xx, %d answers lost",
		len(register.accepted), ledger, deliveries, twice, 100*float64(twice)/float64(deliveries), f.calls, register.refused, register.unheard)
	if len(register.accepted) != n || ledger.total != n {
		t.Errorf("%d accepted and %d on record, want %d", len(register.accepted), ledger.total, n)
	}
	if twice*50 >= deliveries {
		t.Errorf("%d of %d deliveries were made twice, want under 2 %%", twice, deliveries)
	}
	for _, url := range []string{f.urls.EventsDead, f.urls.RetriesDead} {
		if _, dead := f.count(t, url); dead != "0" {
			t.Errorf("%s dead letters on %s", dead, url)
		}
	}
	if f.deaths.Load() == 0 {
		t.Error("no dispatcher died")
	}
}
