package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

func TestExpectRegistersAndAsksLater(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.ExpectFirst, cfg.ExpectGiveUp = 20*time.Minute, 2*time.Hour })
	id := w.call("POST", "/api/v1/sources", `{"provider":"sivi","name":"s","sivi_api_key":"k"}`).is(201).text("id")
	path, now := "/api/v1/sources/"+id+"/expect", w.clock.Now()
	first := map[string]any{
		"object": "expectation", "source_id": id, "request_id": "r1", "status": "waiting", "asked": 0,
		"next_ask_at": relay.FormatTime(now.Add(20 * time.Minute)), "give_up_at": relay.FormatTime(now.Add(2 * time.Hour)), "event_id": nil, "created_at": relay.FormatTime(now),
	}
	w.call("POST", path, `{"request_ids":["r1","r2","r1"]}`).is(202).equal(map[string]any{"data.0": first, "data.1.request_id": "r2", "has_more": false})
	msgs := queued(t, w.retries)
	if len(msgs) != 0 {
		t.Fatalf("%d messages are due at once", len(msgs))
	}
	// Repeated, it sends nothing again: one message owns the chain of a request.
	w.clock.Advance(time.Minute)
	w.call("POST", path, `{"request_ids":["r1"]}`).is(202).equal(map[string]any{"data.0": first})
	w.clock.Advance(15 * time.Minute)
	msgs = queued(t, w.retries)
	if len(msgs) != 2 {
		t.Fatalf("queued %+v", msgs)
	}
	for _, m := range msgs {
		want := relay.Message{
			Kind: relay.MessageExpect, MID: m.MID, Account: w.account, SourceID: id, SiviRequest: m.SiviRequest, Number: 1,
			DueAt: now.Add(20 * time.Minute), GiveUpAt: now.Add(relay.GiveUpAfter),
		}
		if diff := cmp.Diff(want, m); diff != "" {
			t.Errorf("message (-want +got):\n%s", diff)
		}
	}
	// Asked, found, given up.
	ctx := context.Background()
	x, err := w.Store.Expectation(ctx, id, "r1")
	if err != nil {
		t.Fatal(err)
	}
	x.Asked, x.NextAt = 1, w.clock.Now().Add(time.Hour)
	if err := w.Store.UpdateExpectation(ctx, x, 0); err != nil {
		t.Fatal(err)
	}
	w.call("POST", path, `{"request_ids":["r1"]}`).is(202).equal(map[string]any{"data.0.asked": 1, "data.0.next_ask_at": relay.FormatTime(x.NextAt)})
	if _, err := w.Store.ResolveExpectation(ctx, id, "r1", "evt_9"); err != nil {
		t.Fatal(err)
	}
	w.call("POST", path, `{"request_ids":["r1"]}`).is(202).equal(map[string]any{"data.0.status": "resolved", "data.0.event_id": "evt_9", "data.0.next_ask_at": nil})
	y, _ := w.Store.Expectation(ctx, id, "r2")
	y.GaveUp = true
	if err := w.Store.UpdateExpectation(ctx, y, 0); err != nil {
		t.Fatal(err)
	}
	got := w.call("GET", path, "").is(200)
	if n := len(got.at("data").([]any)); n != 2 || !strings.Contains(got.raw, `"given_up"`) || !strings.Contains(got.raw, `"resolved"`) {
		t.Errorf("listed %s", got.raw)
	}
	w.call("DELETE", path, `{"request_ids":["r1","unknown"]}`).is(200).equal(map[string]any{"data.0": map[string]any{"object": "expectation", "request_id": "r1", "deleted": true}})
	w.call("GET", path, "").is(200).equal(map[string]any{"data.0.request_id": "r2", "data.0.status": "given_up"})
	w.call("DELETE", path, `{"request_ids":["r2"]}`).is(200)
	w.call("GET", path, "").is(200).equal(map[string]any{"data": []any{}})
	w.clock.Advance(time.Hour)
	if n := len(queued(t, w.retries)); n != 0 {
		t.Errorf("%d messages more", n)
	}
}

func TestExpectRefuses(t *testing.T) {
	w := newWorld(t)
	rivya := w.call("POST", "/api/v1/sources", `{"provider":"rivya","name":"r"}`).is(201).text("id")
	keyless := w.call("POST", "/api/v1/sources", `{"provider":"sivi","name":"s"}`).is(201).text("id")
	sivi := w.call("POST", "/api/v1/sources", `{"provider":"sivi","name":"s","sivi_api_key":"k"}`).is(201).text("id")
	var many []string
	for i := range 101 {
		many = append(many, fmt.Sprintf("%q", fmt.Sprint(i)))
	}
	for _, c := range []struct{ id, body, param string }{
		{rivya, `{"request_ids":["a"]}`, ""},
		{keyless, `{"request_ids":["a"]}`, "sivi_api_key"},
		{sivi, ``, "request_ids"},
		{sivi, `{"request_ids":[]}`, "request_ids"},
		{sivi, `{"request_ids":"a"}`, "request_ids"},
		{sivi, `{"request_ids":[1]}`, "request_ids[0]"},
		{sivi, `{"request_ids":["a",""]}`, "request_ids[1]"},
		{sivi, `{"request_ids":["a b"]}`, "request_ids[0]"},
		{sivi, `{"request_ids":["` + strings.Repeat("x", 129) + `"]}`, "request_ids[0]"},
		{sivi, `{"request_ids":[` + strings.Join(many, ",") + `]}`, "request_ids"},
	} {
		w.call("POST", "/api/v1/sources/"+c.id+"/expect", c.body).refused(relay.KindValidation, c.param)
	}
	w.call("GET", "/api/v1/sources/"+rivya+"/expect", "").refused(relay.KindValidation, "")
	w.call("GET", "/api/v1/sources/"+sivi+"/expect", "").is(200).equal(map[string]any{"data": []any{}})
	w.call("POST", "/api/v1/sources/"+sivi+"/expect", `{"request_ids":[`+strings.Join(many[:100], ",")+`]}`).is(202)
}

// full says that a source has as many expectations as it may have, from the
// n-th on.
type full struct {
	relay.Store
	n int
}

func (f *full) PutExpectation(ctx context.Context, x relay.Expectation, limit int) (*relay.Expectation, error) {
	if f.n--; f.n < 0 {
		return nil, relay.ErrLimit
	}
	return f.Store.PutExpectation(ctx, x, limit)
}

func TestExpectRegistersAllOrNone(t *testing.T) {
	w := newWorld(t)
	path := "/api/v1/sources/" + w.call("POST", "/api/v1/sources", `{"provider":"sivi","name":"s","sivi_api_key":"k"}`).is(201).text("id") + "/expect"
	w.call("POST", path, `{"request_ids":["old"]}`).is(202)
	w.Store = &full{w.Store, 2}
	w.call("POST", path, `{"request_ids":["old","a","b"]}`).refused(relay.KindLimitExceeded, "")
	w.call("GET", path, "").is(200).equal(map[string]any{"data.0.request_id": "old"})
	if n := len(w.call("GET", path, "").at("data").([]any)); n != 1 {
		t.Errorf("%d expectations, want the old one alone", n)
	}
}

func TestARequestThatIsExpectedOftenHasOneMessage(t *testing.T) {
	w := newWorld(t)
	src := w.call("POST", "/api/v1/sources", `{"provider":"sivi","name":"s","sivi_api_key":"k"}`).is(201).text("id")
	var ids []string
	for i := range 20 {
		ids = append(ids, fmt.Sprintf("r%d", i))
	}
	body, err := json.Marshal(map[string]any{"request_ids": ids})
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		w.call("POST", "/api/v1/sources/"+src+"/expect", string(body)).is(202)
	}
	w.clock.Advance(14 * time.Minute)
	n := 0
	for msgs := queued(t, w.retries); len(msgs) > 0; msgs = queued(t, w.retries) {
		n += len(msgs)
	}
	if n != 20 {
		t.Errorf("%d messages for 20 requests", n)
	}
}
