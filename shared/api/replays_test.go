package api

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

func TestAReplayIsStartedShownAndCancelled(t *testing.T) {
	w := newWorld(t)
	ep, now := w.createEndpoint(), w.clock.Now()
	path := "/api/v1/webhooks/" + ep + "/replay"
	a := w.call("POST", path, `{"since":"2026-05-10T00:00:00Z"}`).is(202)
	want := map[string]any{
		"object": "webhook_replay", "endpoint_id": ep, "status": "running", "selection": "failed_or_skipped", "since": "2026-05-10T00:00:00.000Z",
		"until": relay.FormatTime(now), "max_per_second": 10, "started": 0, "finished_at": nil,
	}
	a.equal(want)
	id := a.text("id")
	msgs := queued(t, w.retries)
	wantMsg := []relay.Message{{Kind: relay.MessageReplay, Account: w.account, ReplayID: id, EndpointID: ep, Step: 1, DueAt: now, GiveUpAt: now.Add(relay.GiveUpAfter)}}
	if len(msgs) == 1 {
		wantMsg[0].MID = msgs[0].MID
	}
	if diff := cmp.Diff(wantMsg, msgs); diff != "" {
		t.Errorf("queued (-want +got):\n%s", diff)
	}
	w.call("GET", "/api/v1/replays/"+id, "").is(200).equal(want)

	// The dispatcher goes on with it.
	r, err := w.Store.Replay(context.Background(), w.account, id)
	if err != nil {
		t.Fatal(err)
	}
	r.Started = 7
	if err := w.Store.UpdateReplay(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Minute)
	at := relay.FormatTime(w.clock.Now())
	cancelled := map[string]any{"status": "cancelled", "started": 7, "finished_at": at, "updated_at": at}
	w.call("DELETE", "/api/v1/replays/"+id, "").is(200).equal(cancelled)
	w.clock.Advance(time.Minute)
	w.call("DELETE", "/api/v1/replays/"+id, "").is(200).equal(cancelled)
}

func TestACompletedReplayStaysCompleted(t *testing.T) {
	w := newWorld(t)
	ep, now := w.createEndpoint(), w.clock.Now()
	r := relay.Replay{
		ID: relay.NewID(relay.ReplayPrefix, now), Account: w.account, EndpointID: ep, Since: now.Add(-time.Hour), Until: now, Select: "all",
		MaxPerSecond: 1, Status: relay.ReplayCompleted, Started: 3, CreatedAt: now, UpdatedAt: now, FinishedAt: now,
	}
	if err := w.Store.CreateReplay(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	w.call("DELETE", "/api/v1/replays/"+r.ID, "").is(200).equal(map[string]any{"status": "completed", "started": 3, "selection": "all"})
}

func TestReplaySettings(t *testing.T) {
	w := newWorld(t)
	path := "/api/v1/webhooks/" + w.createEndpoint() + "/replay"
	for _, status := range []string{"failed", "skipped", "all"} {
		w.call("POST", path, `{"since":"2026-05-10T00:00:00.5+02:00","until":"2030-01-01T00:00:00Z","max_per_second":100,"status":"`+status+`"}`).is(202).
			equal(map[string]any{"selection": status, "since": "2026-05-09T22:00:00.500Z", "until": "2030-01-01T00:00:00.000Z", "max_per_second": 100})
	}
	for body, param := range map[string]string{
		``:                                 "since",
		`{"since":null}`:                   "since",
		`{"since":"2026-05-10"}`:           "since",
		`{"since":"2999-01-01T00:00:00Z"}`: "since",
		`{"since":"2026-05-10T00:00:00Z","until":"2026-05-10T00:00:00Z"}`:      "since",
		`{"since":"2026-05-10T00:00:00Z","until":"soon"}`:                      "until",
		`{"since":"2026-05-10T00:00:00Z","status":"pending"}`:                  "status",
		`{"since":"2026-05-10T00:00:00Z","max_per_second":0}`:                  "max_per_second",
		`{"since":"2026-05-10T00:00:00Z","max_per_second":101}`:                "max_per_second",
		`{"since":"2026-05-10T00:00:00Z","event_types":["generation.failed"]}`: "event_types",
	} {
		w.call("POST", path, body).refused(relay.KindValidation, param)
	}
}

func TestADryRunCountsAndDoesNothing(t *testing.T) {
	w := newWorld(t)
	ep := w.createEndpoint()
	path := "/api/v1/webhooks/" + ep + "/replay?dry_run=true"
	since := relay.FormatTime(w.clock.Now())
	for i := range 120 {
		status := relay.AttemptFailed
		if i >= 100 {
			status = relay.AttemptSkipped
		}
		w.record(fmt.Sprintf("evt_%d", i), ep, status, 0)
		w.clock.Advance(time.Second)
	}
	w.record("evt_ok", ep, relay.AttemptSucceeded, 0)
	w.clock.Advance(time.Second)
	count := func(fields string, n int) {
		t.Helper()
		w.call("POST", path, `{"since":"`+since+`"`+fields+`}`).is(200).equal(map[string]any{"object": "webhook_replay_dry_run", "count": n, "exact": true})
	}
	count("", 120)
	count(`,"status":"failed"`, 100)
	count(`,"status":"skipped"`, 20)
	count(`,"status":"all"`, 121)
	count(`,"until":"2026-05-11T09:30:10Z"`, 10)
	// One that a later run has taken on is not run again, nor one that was
	// delivered meanwhile.
	if _, err := w.Store.StartRun(context.Background(), w.account, "evt_5", ep, "token", w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	count("", 119)
	w.record("evt_5", ep, relay.AttemptFailed, 1)
	w.clock.Advance(time.Second)
	count("", 120)
	if n := len(queued(t, w.retries)); n != 0 || strings.Contains(w.log.String(), "replay.create") {
		t.Errorf("a dry run queued %d messages", n)
	}
	w.call("POST", strings.Replace(path, "true", "false", 1), `{"since":"`+since+`"}`).is(202)
}

func TestAReplayThatCouldNotBeQueuedDoesNotSeemToRun(t *testing.T) {
	w := newWorld(t)
	ep := w.createEndpoint()
	var made relay.Replay
	w.Store = &watched{Store: w.Store, created: &made}
	w.Retries = unsent{w.Retries}
	w.call("POST", "/api/v1/webhooks/"+ep+"/replay", `{"since":"2026-05-10T00:00:00Z"}`).refused(relay.KindUnavailable, "")
	w.call("GET", "/api/v1/replays/"+made.ID, "").is(200).equal(map[string]any{"status": "cancelled"})
}

// watched keeps the replay that was made, whose id the answer did not tell.
type watched struct {
	relay.Store
	created *relay.Replay
}

func (s *watched) CreateReplay(ctx context.Context, r relay.Replay) error {
	*s.created = r
	return s.Store.CreateReplay(ctx, r)
}

func TestReplaysAreListedAndFewRunAtATime(t *testing.T) {
	w := newWorld(t)
	path := "/api/v1/webhooks/" + w.createEndpoint() + "/replay"
	body := `{"since":"2026-05-10T00:00:00Z","status":"open"}`
	var made []string
	for range 5 {
		made = append([]string{w.call("POST", path, body).is(202).equal(map[string]any{"selection": "open", "succeeded": 0, "counted_at": nil}).text("id")}, made...)
	}
	w.call("POST", path, body).refused(relay.KindLimitExceeded, "")
	w.call("POST", path+"?dry_run=true", body).is(200)
	_, _, other := w.newAccount("other")
	theirs := w.callAs(other, "POST", "/api/v1/webhooks", newEndpoint).is(201).text("id")
	w.callAs(other, "POST", "/api/v1/webhooks/"+theirs+"/replay", body).is(202)
	var got []string
	for cursor := ""; ; {
		page := w.call("GET", "/api/v1/replays?limit=2&cursor="+cursor, "").is(200)
		for _, v := range page.at("data").([]any) {
			got = append(got, v.(map[string]any)["id"].(string))
		}
		if page.at("has_more") == false {
			break
		}
		cursor = page.text("next_cursor")
	}
	if diff := cmp.Diff(made, got); diff != "" {
		t.Errorf("replays (-want +got):\n%s", diff)
	}
	// One that drains is not counted, and can be cancelled.
	r, err := w.Store.Replay(t.Context(), w.account, made[0])
	if err != nil {
		t.Fatal(err)
	}
	r.Status, r.Started, r.Succeeded, r.Failed, r.Skipped, r.Open, r.CountedAt = relay.ReplayDraining, 10, 1, 2, 3, 4, w.clock.Now()
	if err := w.Store.UpdateReplay(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	w.call("POST", path, body).is(202)
	w.call("DELETE", "/api/v1/replays/"+made[0], "").is(200).equal(map[string]any{
		"status": "cancelled", "started": 10, "succeeded": 1, "failed": 2, "skipped": 3, "open": 4, "counted_at": relay.FormatTime(w.clock.Now()),
	})
}

func TestOfReplaysStartedAtOnceTheFirstStay(t *testing.T) {
	w := newWorld(t)
	path := "/api/v1/webhooks/" + w.createEndpoint() + "/replay"
	var wg sync.WaitGroup
	codes := make(chan int, 20)
	for range 20 {
		wg.Go(func() {
			rec := httptest.NewRecorder()
			w.h.ServeHTTP(rec, w.request(w.key, "POST", path, `{"since":"2026-05-10T00:00:00Z"}`))
			codes <- rec.Code
		})
	}
	wg.Wait()
	close(codes)
	for code := range codes {
		if code != 202 && code != 409 {
			t.Errorf("answered %d", code)
		}
	}
	running := 0
	for _, v := range w.call("GET", "/api/v1/replays?limit=100", "").is(200).at("data").([]any) {
		if v.(map[string]any)["status"] == "running" {
			running++
		}
	}
	if running == 0 || running > 5 {
		t.Errorf("%d are running", running)
	}
}

func TestADryRunCountsWhatIsOpen(t *testing.T) {
	w := newWorld(t)
	ep := w.createEndpoint()
	w.record("evt_bad", ep, relay.AttemptFailed, 0)
	for i := range 3 {
		w.clock.Advance(time.Second)
		a := w.record(fmt.Sprint("evt_", i), ep, relay.AttemptSucceeded, 0)
		ref := relay.EventRef{Account: w.account, ID: a.EventID, CreatedAt: a.EventCreatedAt}
		d := relay.Delivery{EndpointID: ep, Attempts: 2, Status: relay.DeliveryRetrying, NextAttemptAt: w.clock.Now().Add(time.Hour)}
		if err := w.Store.SaveDelivery(t.Context(), ref, d); err != nil {
			t.Fatal(err)
		}
	}
	w.clock.Advance(time.Second)
	for sel, want := range map[string]int{"open": 3, "failed": 1, "all": 7} {
		w.call("POST", "/api/v1/webhooks/"+ep+"/replay?dry_run=true", `{"since":"2026-05-10T00:00:00Z","status":"`+sel+`"}`).is(200).
			equal(map[string]any{"count": want, "exact": true})
	}
}
