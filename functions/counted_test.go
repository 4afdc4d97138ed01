package functions

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

// A bill is what requests to AWS have cost.
type bill struct {
	calls      map[string]int // by operation
	writes     float64        // units
	reads      float64
	consistent int
}

func (b bill) add(c bill) bill {
	sum := bill{map[string]int{}, b.writes + c.writes, b.reads + c.reads, b.consistent + c.consistent}
	for _, calls := range []map[string]int{b.calls, c.calls} {
		for op, n := range calls {
			sum.calls[op] += n
		}
	}
	return sum
}

// sends is how many requests put messages on queues.
func (b bill) sends() int { return b.calls["SendMessage"] + b.calls["SendMessageBatch"] }

// itemise returns the bill of a request. The server is asked to say what it
// consumed, which a function does not pay for asking.
func itemise(op string, request, answer []byte) bill {
	_, op, _ = strings.Cut(op, ".")
	b := bill{calls: map[string]int{op: 1}}
	if strings.Contains(string(request), `"ConsistentRead":true`) || op == "TransactGetItems" {
		b.consistent = 1
	}
	var said struct{ ConsumedCapacity json.RawMessage }
	type capacity struct{ CapacityUnits float64 }
	var one capacity
	var many []capacity
	if json.Unmarshal(answer, &said) != nil {
		return b
	}
	if json.Unmarshal(said.ConsumedCapacity, &one) != nil {
		_ = json.Unmarshal(said.ConsumedCapacity, &many) // neither: nothing was consumed
	}
	for _, c := range append(many, one) {
		if op == "GetItem" || op == "Query" || op == "BatchGetItem" || op == "TransactGetItems" {
			b.reads += c.CapacityUnits
		} else {
			b.writes += c.CapacityUnits
		}
	}
	return b
}

// generation returns the body of a provider's event, of exactly size bytes: its
// words are JSON's and the provider's, everything else is random.
func generation(r *rand.Rand, id, typ string, size int) []byte {
	const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	random := func(n int) string {
		text := make([]byte, n)
		for i := range text {
			text[i] = letters[r.IntN(len(letters))]
		}
		return string(text)
	}
	head := fmt.Sprintf(`{"id":%q,"type":%q,"api_version":"2026-05-11","created_at":"2026-05-11T00:00:0%d.%03dZ","data":{"generation":{"id":"task_%s",`+
		`"status":"succeeded","model":"z-image","reserved_credits":%d,"final_credits":%d,"created_at":"2026-05-11T00:00:00.000Z","updated_at":"2026-05-11T00:01:00.000Z",`+
		`"result":{"primary_url":"https://cdn.example.com/%s.png","urls":[`, id, typ, r.IntN(10), r.IntN(1000), random(20), r.IntN(90), r.IntN(90), random(22))
	const tail = `"]},"error":null}}}`
	var urls strings.Builder
	sep := `"`
	for len(head)+urls.Len()+len(tail) < size {
		urls.WriteString(sep + "https://cdn.example.com/" + random(22) + ".png")
		sep = `","`
	}
	text := head + urls.String()
	return []byte(text[:size-len(tail)] + tail)
}

// TestWhatAnEventCosts counts the requests of the built functions, at the servers
// that stand in for AWS: what an event costs is a promise (architecture: 3 write
// units, one send, a tenth of an invocation).
func TestWhatAnEventCosts(t *testing.T) {
	// A look-up by subject costs one more write unit, which package dynamo counts.
	s := newStage(t, "RETRY_SCHEDULE=0s,1s,1h", "LOG_LEVEL=error", "SUBJECT_LOOKUP=false")
	w := newWeather(t, s.deployment)
	s.env = append(s.env, w.env...)
	s.start(t)
	status := 200
	dest := newDestination(t, func(int, post) int { return status })
	s.endpoint(t, "one", dest.URL+"/one", "generation.succeeded")
	s.endpoint(t, "two", dest.URL+"/two", "generation.failed")
	s.endpoint(t, "three", dest.URL+"/three", "generation.failed")

	const events = 10
	rng, made := rand.New(rand.NewPCG(1, 2)), 0
	// round has the receiver accept a batch of events and the dispatcher handle
	// it in one invocation.
	round := func(typ string, size int) (accepted, dispatched bill, deflated float64) {
		t.Helper()
		w.take()
		for range events {
			made++
			id := fmt.Sprintf("evt_%022d", made)
			body, now := generation(rng, id, typ, size), time.Now().Unix()
			if len(body) != size || !json.Valid(body) {
				t.Fatalf("a body of %d bytes, want %d: %s", len(body), size, body)
			}
			deflated += float64(len(relay.NewPayload(body).Deflated())) / events
			sig, err := signature.SignRivya(now, body, secret)
			if err != nil {
				t.Fatal(err)
			}
			resp := gatewayAnswer(t, s.receiver.invoke(t, call("POST", "/in/"+tenantSource, string(body), map[string]string{
				"content-type": "application/json", "rivya-webhook-id": id,
				"rivya-webhook-timestamp": strconv.FormatInt(now, 10), "rivya-webhook-signature": sig,
			}), 10*time.Second))
			if resp.StatusCode != 200 {
				t.Fatalf("got %d %s", resp.StatusCode, resp.Body)
			}
		}
		accepted = w.take()
		batch := s.receive(t, s.urls.Events, time.Second, time.Minute)
		if len(batch.Records) != events {
			t.Fatalf("a batch of %d, want %d", len(batch.Records), events)
		}
		before := len(dest.posts(""))
		out := s.dispatcher.invoke(t, batch, time.Minute)
		if failed := s.finish(t, s.urls.Events, batch, out); out.failed || len(failed) > 0 {
			t.Fatalf("got %s", out.payload)
		}
		if n := len(dest.posts("")) - before; n < events {
			t.Fatalf("%d calls of the destination for %d events", n, events)
		}
		return accepted, w.take(), deflated
	}
	// steady is round with caches that are warm and counters that have just been
	// written; a slow machine gets more than one try.
	steady := func(typ string, size int) (accepted, dispatched bill, deflated float64) {
		t.Helper()
		for range 5 {
			began := time.Now()
			round(typ, size)
			if accepted, dispatched, deflated = round(typ, size); time.Since(began) < 4*time.Second {
				return accepted, dispatched, deflated
			}
		}
		t.Fatal("this machine takes over 4 s for 20 events: what is seldom cannot be told from what each event costs")
		return
	}
	say := func(what string, accepted, dispatched bill, deflated float64) {
		all := accepted.add(dispatched)
		t.Logf("counted: %s (%.0f B deflated): each %g write units, %g read units, %g sends; %d consistent reads; of %d events in 1 invocation: %v",
			what, deflated, all.writes/events, all.reads/events, float64(all.sends())/events, all.consistent, events, all.calls)
	}

	seldomAccept, seldom, size := round("generation.succeeded", 1024)
	say("the first batch of a new instance, whose caches are empty and which writes counters", seldomAccept, seldom, size)
	if extra := seldom.writes - 3*events; extra > 1 || seldom.consistent > 0 {
		t.Errorf("the counters of one endpoint cost %g more write units, and %d consistent reads; want 1 and none", extra, seldom.consistent)
	}

	accepted, dispatched, size := steady("generation.succeeded", 1024)
	say("a 1 KB event to one endpoint, first attempt", accepted, dispatched, size)
	all := accepted.add(dispatched)
	if all.writes > 3*events {
		t.Errorf("%g write units for %d events, want at most %d", all.writes, events, 3*events)
	}
	if all.writes < 1*events {
		t.Errorf("%g write units for %d events: not everything was counted", all.writes, events)
	}
	if all.sends() != events || dispatched.sends() != 0 {
		t.Errorf("%d sends at acceptance and %d by the dispatcher, want %d and none", accepted.sends(), dispatched.sends(), events)
	}
	if all.consistent != 0 || all.reads != 0 {
		t.Errorf("%d consistent reads and %g read units, want none", all.consistent, all.reads)
	}
	one := dispatched.writes

	accepted, dispatched, size = steady("generation.failed", 1024)
	say("a 1 KB event to two endpoints", accepted, dispatched, size)
	if more := (dispatched.writes - one) / events; more > 1 || dispatched.consistent > 0 {
		t.Errorf("the second endpoint costs %g write units and %d consistent reads, want 1 and none", more, dispatched.consistent)
	}

	accepted, dispatched, size = steady("generation.succeeded", 16<<10)
	say("a 16 KB event to one endpoint", accepted, dispatched, size)
	// The event's item grows by its payload, and nothing else does.
	if most := one/events + size/1024 + 1; dispatched.writes/events > most || dispatched.consistent > 0 {
		t.Errorf("%g write units, want at most %g; %d consistent reads", dispatched.writes/events, most, dispatched.consistent)
	}

	status = 500
	accepted, dispatched, size = steady("generation.succeeded", 1024)
	say("a 1 KB event to one endpoint, first attempt failed", accepted, dispatched, size)
	if more := (dispatched.writes - one) / events; more > 4 || dispatched.consistent > 0 {
		t.Errorf("a failed attempt costs %g write units more and %d consistent reads, want at most 4 and none", more, dispatched.consistent)
	}
	if n := dispatched.sends(); n < 1 || n > 2 {
		t.Errorf("%d requests send the retries of one batch, want 1 or, if they are not ready at about the same time, 2", n)
	}

	// A retry reads what happened before, consistently: this also shows that such
	// reads are counted where there are any.
	batch := s.receive(t, s.urls.Retries, 5*time.Second, time.Minute)
	w.take()
	if out := s.dispatcher.invoke(t, batch, time.Minute); out.failed || len(batch.Records) == 0 {
		t.Fatalf("got %s for %d retries", out.payload, len(batch.Records))
	}
	retried, n := w.take(), float64(len(batch.Records))
	t.Logf("counted: a second attempt that fails too: each %.2g write units, %.2g read units, %.2g sends; %.2g consistent reads; of %g in 1 invocation: %v",
		retried.writes/n, retried.reads/n, float64(retried.sends())/n, float64(retried.consistent)/n, n, retried.calls)
	if retried.consistent < len(batch.Records) {
		t.Errorf("%d consistent reads for %d retries: not everything was counted", retried.consistent, len(batch.Records))
	}
}
