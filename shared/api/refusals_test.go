package api

import (
	"context"
	"testing"
	"time"

	"hookferry/shared/relay"
)

func TestRefusalsOfASourceAreListedByReasonAndHour(t *testing.T) {
	w := newWorld(t)
	id := w.call("POST", "/api/v1/sources", `{"provider":"rivya","name":"s"}`).is(201).text("id")
	path := "/api/v1/sources/" + id + "/refusals"
	w.call("GET", path, "").is(200).equal(map[string]any{"data": []any{}, "has_more": false})
	hour := w.clock.Now().UTC().Truncate(time.Hour)
	for i, reason := range []string{"signature_stale", "no_secret", "signature_stale"} {
		r := relay.Refusal{SourceID: id, Reason: reason, Hour: hour.Add(time.Duration(i/2) * time.Hour), Count: 3, LastAt: hour.Add(time.Duration(i) * time.Hour / 2)}
		if err := w.Store.AddRefusals(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	first := w.call("GET", path+"?limit=2", "").is(200).equal(map[string]any{
		"data.0.reason": "signature_stale", "data.0.hour": relay.FormatTime(hour.Add(time.Hour)), "data.0.count": 3, "data.0.source_id": id,
		"data.1.hour": relay.FormatTime(hour), "has_more": true,
	})
	w.call("GET", path+"?limit=2&cursor="+first.text("next_cursor"), "").is(200).equal(map[string]any{"data.0.reason": "no_secret", "has_more": false})
	_, _, w.key = w.newAccount("second")
	w.call("GET", path, "").refused(relay.KindNotFound, "")
	w.call("GET", "/api/v1/sources/src_00000000000000000000/refusals", "").refused(relay.KindNotFound, "")
}
