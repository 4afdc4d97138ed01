//go:build cdk

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/telemetry"
)

// price is what AWS lists for us-east-1, in dollars, without free tiers and
// discounts. Requests, units, traces and calls are for a million.
var price = struct {
	httpAPI, lambdaRequests, lambdaGBSecond, sqsRequests float64
	sqsGroup                                             float64
	writeUnits, readUnits, storageGB, recoveryGB         float64
	logsGB, logsStoredGB, egressGB, traces               float64
	metric, alarmMetric, dashboard, insightRule          float64
	insightEvents, secret, secretCalls                   float64
}{
	httpAPI: 1.00, lambdaRequests: 0.20, lambdaGBSecond: 0.0000133334, sqsRequests: 0.40, sqsGroup: 0.10,
	writeUnits: 0.625, readUnits: 0.125, storageGB: 0.25, recoveryGB: 0.20,
	logsGB: 0.50, logsStoredGB: 0.03, egressGB: 0.09, traces: 5.00,
	metric: 0.30, alarmMetric: 0.10, dashboard: 3.00, insightRule: 0.50,
	insightEvents: 0.02, secret: 0.40, secretCalls: 5.00,
}

// What the model takes for granted and an account would show. Each is in the
// text of README.md.
const (
	acceptMS     = 10.0      // the receiver: a verification, one send to SQS
	endpointMS   = 300.0     // how long an endpoint takes to answer
	overheadMS   = 50.0      // the dispatcher besides: reads, writes, signing
	gatewayLine  = 480.0     // bytes of an access line, with what CloudWatch adds
	logOverhead  = 26.0      // bytes that CloudWatch adds to a line
	httpOverhead = 900.0     // bytes of request line, headers and TLS records of a delivery
	pollsAMonth  = 650_000.0 // of an idle event source mapping
	logsDeflate  = 0.15      // what stored logs are compressed to
)

// A plan is what a deployment has chosen that its bill depends on.
type plan struct {
	name         string
	days         float64 // that events are kept
	window       float64 // seconds for which the events lane gathers a batch
	dispatcherMB float64
	traceRate    float64
	subject      bool // events are found by their subject
}

// The plans of README.md: as the parameters come, and with every switch that
// saves.
var (
	defaultPlan = plan{"default", 30, 0, 512, 0.01, true}
	leanPlan    = plan{"lean", 7, 1, 256, 0, false}
)

// load is how events come: how many share a batch, and how often an endpoint or
// account is new to a dispatcher's cache.
type load struct {
	batch float64
	miss  float64
}

// receiveMS is how long a receive of Lambda's poller takes: without a window a
// batch has what has come meanwhile.
const receiveMS = 20.0

// at is the load of events that come at an even rate a second.
func (p plan) at(rate float64) load {
	l := load{batch: min(10, max(1, rate*max(receiveMS/1000, p.window)))}
	// A dispatcher, of as many as the rate keeps at work, asks again after 5 s.
	busy := max(1, rate*(endpointMS+overheadMS)/1000/l.batch)
	l.miss = 1 / (1 + 5*rate/busy)
	return l
}

// A cost is dollars for a million events, or a month, by part.
type cost struct {
	part    string
	dollars float64
}

func total(costs []cost) float64 {
	sum := 0.0
	for _, c := range costs {
		sum += c.dollars
	}
	return sum
}

// sample returns a body like a provider's, of about size bytes: JSON with
// identifiers and URLs that do not compress.
func sample(size int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(size)))
	random := func(n int) string {
		raw := make([]byte, n)
		for i := range raw {
			raw[i] = byte(r.Uint32())
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	var urls []string
	build := func() []byte {
		b, err := json.Marshal(map[string]any{"id": "evt_" + random(18), "type": "generation.succeeded", "api_version": "2026-05-11",
			"created_at": "2026-05-11T00:00:00.000Z", "data": map[string]any{"generation": map[string]any{"id": "gen_" + random(18), "status": "succeeded",
				"model": "rivya-video-2", "reserved_credits": 12, "final_credits": 12, "created_at": "2026-05-11T00:00:00.000Z", "updated_at": "2026-05-11T00:01:00.000Z",
				"result": map[string]any{"primary_url": "https://cdn.example.com/generations/" + random(24) + "/output.mp4", "urls": urls}, "error": nil}}})
		if err != nil {
			panic(err) // texts and numbers always marshal
		}
		return b
	}
	body := build()
	for len(body) < size {
		urls = append(urls, "https://cdn.example.com/generations/"+random(24)+"/output.mp4?signature="+random(32))
		body = build()
	}
	return body
}

// sizes are what an event of a body has on the wire and on the table, in bytes.
type sizes struct{ body, message, item float64 }

// Bytes of the items besides the payload, at most; conformance tests of
// shared/dynamo hold the write units.
const (
	eventItemBytes = 420
	rowBytes       = 300
	attemptBytes   = 700
)

func sizesOf(body []byte) sizes {
	ev := relay.Event{ID: "evt_01234567890123456789", Account: "acct_0123456789012345678", Type: "generation.succeeded", Format: relay.FormatRivya,
		SourceID: "src_01234567890123456789", CreatedAt: time.Unix(1778457600, 0), Payload: relay.NewPayload(body)}
	return sizes{body: float64(len(body)), message: float64(len(relay.NewEventMessage(ev).Encode())),
		item: float64(len(ev.Payload.Deflated())) + eventItemBytes}
}

// writes is the write units of an event with one delivery that succeeds at once:
// the event, its row on the list, the attempt.
func (s sizes) writes() float64 { return math.Ceil(s.item/1024) + 1 + 1 }

func (s sizes) stored() float64 { return s.item + rowBytes + attemptBytes }

// acceptLine is how long the line is that the receiver writes for an event.
func acceptLine() float64 {
	var out bytes.Buffer
	log := telemetry.New(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})), func() time.Time { return time.Unix(1778457600, 0) }).
		WithMetrics(telemetry.Metrics{Stage: "prod", Function: "receiver"})
	line := log.Line("receive")
	line.Count(telemetry.Accepted, 1)
	line.Observe(telemetry.AcceptLatency, 8.123)
	line.End(context.Background(), slog.LevelDebug)
	return float64(out.Len()) + logOverhead
}

// dispatchLine is the same for a batch of n first attempts.
func dispatchLine(n int) float64 {
	var out bytes.Buffer
	log := telemetry.New(slog.New(slog.NewJSONHandler(&out, nil)), func() time.Time { return time.Unix(1778457600, 0) }).
		WithMetrics(telemetry.Metrics{Stage: "prod", Function: "dispatcher"})
	line := log.Line("dispatch")
	line.Observe(telemetry.BatchSize, float64(n))
	line.Count(telemetry.Delivered, n)
	for range n {
		line.Observe(telemetry.AcceptToAttempt, 123.456)
		line.Observe(telemetry.AttemptDuration, 321.123)
	}
	line.End(context.Background(), slog.LevelInfo)
	return float64(out.Len()) + logOverhead
}

func memoryGB(name string) float64 {
	for _, f := range functions {
		if f.name == name {
			return f.memory / 1024
		}
	}
	panic("no function " + name)
}

// perMillion is what a million events cost that a provider sends, one endpoint
// gets, and the first attempt delivers.
func perMillion(s sizes, p plan, rate float64) []cost {
	const million, gb = 1e6, 1e9
	l := p.at(rate)
	sqs := math.Ceil(s.message/65536) + // the send
		math.Ceil(l.batch*s.message/65536)/l.batch + // the receive
		1/l.batch // the delete
	subject := 0.0
	if p.subject {
		subject = 1
	}
	writes := s.writes() + 0.05 + 0.95*l.miss // a counter's write, at most one in 5 s for an endpoint
	reads := l.miss * (0.5 + 0.5 + 0.5)       // source, endpoints, counters
	logs := gatewayLine + acceptLine() + dispatchLine(int(math.Round(l.batch)))/l.batch
	return []cost{
		{"HTTP API requests", price.httpAPI},
		{"Lambda requests", price.lambdaRequests * (1 + 1/l.batch)},
		{"Lambda time, receiver", acceptMS / 1000 * memoryGB("receiver") * price.lambdaGBSecond * million},
		{"Lambda time, dispatcher", (endpointMS + overheadMS) / 1000 / l.batch * p.dispatcherMB / 1024 * price.lambdaGBSecond * million},
		{"SQS requests", sqs * price.sqsRequests},
		{"SQS fair queue, on the send", price.sqsGroup},
		{"DynamoDB writes", writes * price.writeUnits},
		{"Its look-up by subject", subject * price.writeUnits},
		{"DynamoDB reads", reads * price.readUnits},
		{"Storage while it is kept", s.stored() * million / gb * p.days / 30 * price.storageGB},
		{"Its recovery", s.stored() * million / gb * p.days / 30 * price.recoveryGB},
		{"Logs and metrics in them", logs * million / gb * (price.logsGB + logsDeflate*price.logsStoredGB)},
		{"X-Ray", p.traceRate * (1 + 1/l.batch) * price.traces},
		{"Egress", (s.body + httpOverhead) * million / gb * price.egressGB},
	}
}

// perMillionFailures is what a million failed attempts cost more, on a schedule
// with a wait of two hours: eight hops, most of them in full batches.
func perMillionFailures() []cost {
	const million, gb = 1e6, 1e9
	return []cost{
		{"DynamoDB writes", 3 * price.writeUnits},
		{"SQS requests", 2.4 * price.sqsRequests},
		{"Lambda time, dispatcher", (endpointMS + overheadMS) / 1000 / 10 * memoryGB("dispatcher") * price.lambdaGBSecond * million},
		{"Logs", 420 * million / gb * price.logsGB},
		{"Contributor Insights", price.insightEvents},
	}
}

// hanging is what a million attempts cost more whose endpoint does not answer
// within the default delivery timeout: the dispatcher waits, for a full batch at
// once or for one alone.
func hanging(batch float64) float64 {
	return 10.0 / batch * memoryGB("dispatcher") * price.lambdaGBSecond * 1e6
}

// openItemBytes is what an event takes on the table, besides, that was not
// delivered at once.
const openItemBytes = 380

// walked is what the repair walk costs in a month for a million such events: it
// reads them, eventually consistent, at each walk for as long as they are kept.
func walked() float64 {
	walks := 30.4 * 24 * 60 / repairMinutes
	return walks * 1e6 * openItemBytes / 4096 / 2 * price.readUnits / 1e6
}

// idle is what a deployment costs in a month without an event. The alarms are
// counted by the metrics they look at, as they are billed.
func idle(alarmMetrics int, watch string) []cost {
	repairs := 30.4 * 24 * 60 / repairMinutes
	dashboard, rule := price.dashboard, price.insightRule
	if watch == watchLoss {
		dashboard, rule = 0, 0
	}
	return []cost{
		{"Polling of two queues", 2 * pollsAMonth / 1e6 * price.sqsRequests},
		{"Alarms", float64(alarmMetrics) * price.alarmMetric},
		{"Dashboard", dashboard},
		{"Keyring secret", price.secret},
		{"Contributor Insights rule", rule},
		{"Repair walk: invocations", repairs * (price.lambdaRequests/1e6 + 0.1*memoryGB("repair")*price.lambdaGBSecond)},
		{"Repair walk: reads", repairs * 64 / 1e6 * price.readUnits},
		{"Metrics of our own", 0},
	}
}

// liveMetrics are the counts and measures that ordinary traffic writes: each is
// billed by the hours in which it is written.
var liveMetrics = []string{
	"receiver accepted", "receiver accept_ms", "api accepted", "dispatcher delivered", "dispatcher duplicates", "dispatcher attempts_failed",
	"dispatcher attempts_failed_http_error", "dispatcher attempts_failed_timeout", "dispatcher attempts_failed_connection_failed", "dispatcher exhausted",
	"dispatcher hops", "dispatcher unmatched", "dispatcher accept_to_attempt", "dispatcher attempt_duration_ms", "dispatcher retry_lateness_ms", "dispatcher batch_size",
}

// A limit is a quota or a parameter, as the events a second that it lets through.
type limit struct {
	name, moves string
	perSecond   float64
}

// limits lists what bounds the rate of events of a size, of one account to one
// endpoint, with p as deployed.
func limits(s sizes, p Parameters, shardCount int) []limit {
	dispatchers := (endpointMS + overheadMS) / 1000 / 10 // at a time, for an event a second, in batches of 10
	return []limit{
		{"stage throttle of the inbound routes", "inboundRate and inboundBurst", float64(p.InboundRate)},
		{"dispatchers for first attempts", "eventsConcurrency", float64(p.EventsConcurrency) / dispatchers},
		{"a new table's 4,000 write units a second", "warmWrites (or a slow rise: the table grows with its load)", math.Max(4000, float64(p.WarmWrites)) / s.writes()},
		{"1,000 write units a second of each shard of one account's list", "shards", 1000 * float64(shardCount)},
		{"the account's 40,000 write units a second for a table", "Service Quotas: DynamoDB, table-level write throughput", 40_000 / s.writes()},
		{"HTTP API: the account's 10,000 requests a second", "Service Quotas: API Gateway, throttle rate", 10_000},
		{"Lambda: the account's 1,000 functions at a time (a new account has 10)", "Service Quotas: Lambda, concurrent executions", 1000 / (acceptMS/1000 + dispatchers)},
		{"SQS: about 120,000 messages in flight", "nothing; more endpoints that answer faster, or a second stage", 120_000 / ((endpointMS + overheadMS) / 1000)},
	}
}
