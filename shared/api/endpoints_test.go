package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
	"hookferry/shared/seal"
)

// The seed's answer to its create call, and ours after it: the same names in
// the same order.
func TestCreateAnswersAsTheSeedShows(t *testing.T) {
	w := newWorld(t)
	a := w.call("POST", "/api/v1/webhooks", newEndpoint).is(201)
	id, secret := a.text("id"), a.text("signing_secret")
	at := relay.FormatTime(w.clock.Now())
	want := `{"id":"` + id + `","object":"webhook_endpoint","name":"Production webhook","url":"https://example.com/rivya/webhook",` +
		`"event_types":["generation.succeeded","generation.failed"],"status":"active","secret_preview":"` + secret[:8] + "..." + secret[len(secret)-6:] + `",` +
		`"signing_secret":"` + secret + `","last_success_at":null,"last_failure_at":null,"failure_count":0,` +
		`"created_at":"` + at + `","updated_at":"` + at + `","disabled_at":null,"revoked_at":null,` +
		`"format":"rivya","signatures":["rivya"],"source_ids":[],"disabled_reason":null,"health":"healthy","failing_since":null,"filter":null,"old_secret_until":null}`
	if diff := cmp.Diff(want, a.raw); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", a.header)
	}
	for _, path := range []string{"/api/v1/webhooks", "/api/v1/webhooks/" + id} {
		if a := w.call("GET", path, "").is(200); strings.Contains(a.raw, "signing_secret") || strings.Contains(a.raw, secret) {
			t.Errorf("GET %s shows the secret: %s", path, a.raw)
		}
	}
	ep := w.stored(id)
	opened, err := w.Keys.Open(ep.Secret, seal.Place{Account: w.account, Object: id, Field: "signing_secret"})
	if err != nil || opened.Reveal() != secret {
		t.Errorf("the store has %v, %v", opened.Reveal() == secret, err)
	}
}

func TestCreateTakesEveryField(t *testing.T) {
	w := newWorld(t)
	src := w.call("POST", "/api/v1/sources", `{"provider":"sivi","name":"s"}`).is(201).text("id")
	w.call("POST", "/api/v1/webhooks", `{"name":"n","url":"https://example.com/","event_types":["*","order.paid","*"],"format":"sivi",`+
		`"signatures":["standard","rivya"],"source_ids":["`+src+`"],"status":"disabled"}`).is(201).equal(map[string]any{
		"event_types": []string{"*", "order.paid"}, "format": "sivi", "signatures": []string{"rivya", "standard"}, "source_ids": []string{src},
		"status": "disabled", "disabled_reason": "manual", "disabled_at": relay.FormatTime(w.clock.Now()),
	})
}

func TestCountersAreShown(t *testing.T) {
	w := newWorld(t)
	id, at := w.createEndpoint(), w.clock.Now()
	if _, err := w.Store.AddOutcomes(context.Background(), id, relay.Outcomes{LastSuccessAt: at.Add(-time.Hour), LastFailureAt: at, FailuresAfter: 5, FailingSince: at.Add(-time.Minute)}); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"last_success_at": relay.FormatTime(at.Add(-time.Hour)), "last_failure_at": relay.FormatTime(at), "failure_count": 5, "health": "degraded"}
	w.call("GET", "/api/v1/webhooks/"+id, "").is(200).equal(want)
	l := w.call("GET", "/api/v1/webhooks", "").is(200)
	for name, v := range want {
		l.equal(map[string]any{"data.0." + name: v})
	}
}

func TestPatchChangesWhatIsGiven(t *testing.T) {
	w := newWorld(t)
	src := w.call("POST", "/api/v1/sources", `{"provider":"rivya","name":"s"}`).is(201).text("id")
	id := w.createEndpoint()
	path := "/api/v1/webhooks/" + id
	created := relay.FormatTime(w.clock.Now())
	w.clock.Advance(time.Minute)
	// Nothing given, or nothing new, is no change.
	for _, body := range []string{"", "{}", `{"name":"Production webhook","status":"active","signatures":["rivya"]}`} {
		w.call("PATCH", path, body).is(200).equal(map[string]any{"updated_at": created})
	}
	w.log.Reset()
	for name, v := range map[string]any{
		"name": "N", "url": "https://example.org/x?y=1&z=<2>", "event_types": []string{"*"}, "format": "sivi",
		"signatures": []string{"rivya", "standard"}, "source_ids": []string{src},
	} {
		body, _ := json.Marshal(map[string]any{name: v})
		w.call("PATCH", path, string(body)).is(200).equal(map[string]any{name: v, "updated_at": relay.FormatTime(w.clock.Now()), "created_at": created})
		if want := `"action":"endpoint.update","object":"` + id + `","fields":["` + name + `"]`; !strings.Contains(w.log.String(), want) {
			t.Errorf("the audit has no %s:\n%s", want, w.log)
		}
	}
	w.call("PATCH", path, `{"source_ids":[]}`).is(200).equal(map[string]any{"source_ids": []string{}, "name": "N"})
	if raw := w.call("GET", path, "").raw; !strings.Contains(raw, `"url":"https://example.org/x?y=1&z=<2>"`) {
		t.Errorf("the URL is not shown as it was given: %s", raw)
	}
}

func TestDisableAndActivate(t *testing.T) {
	w := newWorld(t)
	id := w.createEndpoint()
	path, at := "/api/v1/webhooks/"+id, relay.FormatTime(w.clock.Now())
	w.call("PATCH", path, `{"status":"disabled"}`).is(200).equal(map[string]any{"status": "disabled", "disabled_at": at, "disabled_reason": "manual", "revoked_at": nil})
	w.clock.Advance(time.Hour)
	w.call("PATCH", path, `{"status":"disabled"}`).is(200).equal(map[string]any{"disabled_at": at})
	failures := relay.Outcomes{LastFailureAt: w.clock.Now(), FailuresAfter: 7, FailingSince: w.clock.Now()}
	if _, err := w.Store.AddOutcomes(context.Background(), id, failures); err != nil {
		t.Fatal(err)
	}
	w.call("PATCH", path, `{"status":"active"}`).is(200).equal(map[string]any{"status": "active", "disabled_at": nil, "disabled_reason": nil, "failure_count": 0, "health": "healthy"})
	if n, err := w.Store.Counters(context.Background(), id); err != nil || !n[id].FailingSince.IsZero() {
		t.Errorf("counters %v, %v", n, err)
	}
	// Also of one that is active: the count begins anew.
	if _, err := w.Store.AddOutcomes(context.Background(), id, failures); err != nil {
		t.Fatal(err)
	}
	w.log.Reset()
	w.call("PATCH", path, `{"status":"active"}`).is(200).equal(map[string]any{"failure_count": 0})
	if want := `"action":"endpoint.update","object":"` + id + `","fields":["failure_count"]`; !strings.Contains(w.log.String(), want) {
		t.Errorf("the audit has no %s:\n%s", want, w.log)
	}
}

func TestDeleteKeepsTheEndpointReadable(t *testing.T) {
	w := newWorld(t)
	id := w.createEndpoint()
	path := "/api/v1/webhooks/" + id
	w.record("evt_1", id, relay.AttemptFailed, 0)
	at := relay.FormatTime(w.clock.Now())
	gone := map[string]any{"status": "disabled", "disabled_at": at, "revoked_at": at, "disabled_reason": "manual"}
	w.call("DELETE", path, "").is(200).equal(gone)
	w.clock.Advance(time.Hour)
	w.call("DELETE", path, "").is(200).equal(gone)
	w.call("GET", path, "").is(200).equal(gone)
	w.call("GET", path+"/deliveries", "").is(200).equal(map[string]any{"data.0.event_id": "evt_1"})
	if n := strings.Count(w.log.String(), `"action":"endpoint.delete"`); n != 1 {
		t.Errorf("%d audit lines for one deletion", n)
	}
}

func TestTheLimitCountsLiveEndpoints(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		w.call("POST", "/api/v1/webhooks", strings.Replace(newEndpoint, "Production", fmt.Sprint(i), 1)).is(201)
	}
	w.call("POST", "/api/v1/webhooks", newEndpoint).refused(relay.KindLimitExceeded, "")
	w.call("DELETE", "/api/v1/webhooks/"+w.call("GET", "/api/v1/webhooks", "").text("data.0.id"), "").is(200)
	w.createEndpoint()
	w.call("POST", "/api/v1/webhooks", newEndpoint).refused(relay.KindLimitExceeded, "")
}

func TestListsArePagedNewestFirst(t *testing.T) {
	w := newWorld(t)
	var want []string
	for range 25 {
		w.clock.Advance(time.Second)
		want = append([]string{w.createEndpoint()}, want...)
	}
	for _, limit := range []int{0, 1, 7, 100} {
		var got []string
		path := "/api/v1/webhooks?"
		if limit > 0 {
			path = fmt.Sprintf("/api/v1/webhooks?limit=%d&", limit)
		}
		for next := ""; ; {
			a := w.call("GET", path+"cursor="+next, "").is(200)
			page := a.at("data").([]any)
			if max := map[bool]int{true: 20, false: limit}[limit == 0]; len(page) > max {
				t.Errorf("limit %d: a page of %d", limit, len(page))
			}
			for _, ep := range page {
				got = append(got, ep.(map[string]any)["id"].(string))
			}
			if a.at("has_more") == false {
				if a.at("next_cursor") != nil {
					t.Errorf("the last page has a next_cursor: %s", a.raw)
				}
				break
			}
			next = a.text("next_cursor")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, diff)
		}
	}
}

func TestRotateKeepsTheOldSecretForTheOverlap(t *testing.T) {
	for body, overlap := range map[string]time.Duration{
		"": 24 * time.Hour, "{}": 24 * time.Hour, `{"overlap_seconds":0}`: 0,
		`{"overlap_seconds":90}`: 90 * time.Second, `{"overlap_seconds":604800}`: 7 * 24 * time.Hour,
	} {
		w := newWorld(t)
		created := w.call("POST", "/api/v1/webhooks", newEndpoint).is(201)
		id, first := created.text("id"), created.text("signing_secret")
		a := w.call("POST", "/api/v1/webhooks/"+id+"/rotate-secret", body).is(200)
		second := a.text("signing_secret")
		if second == first || a.text("secret_preview") != relay.Secret(second).Preview() {
			t.Errorf("%s: %s after %s", body, second, first)
		}
		ep := w.stored(id)
		now, err1 := w.Keys.Open(ep.Secret, seal.Place{Account: w.account, Object: id, Field: "signing_secret"})
		old, err2 := w.Keys.Open(ep.OldSecret, seal.Place{Account: w.account, Object: id, Field: "old_signing_secret"})
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if now.Reveal() != second {
			t.Errorf("%s: the store has another secret than was shown", body)
		}
		if overlap == 0 {
			if old != "" || !ep.OldSecretUntil.IsZero() {
				t.Errorf("%s: the old secret is kept", body)
			}
		} else if old.Reveal() != first || !ep.OldSecretUntil.Equal(w.clock.Now().Add(overlap)) {
			t.Errorf("%s: the old secret is kept until %v", body, ep.OldSecretUntil)
		}
	}
}

func TestRotateRefusesAWrongOverlap(t *testing.T) {
	w := newWorld(t)
	id := w.createEndpoint()
	before := w.stored(id)
	for _, v := range []string{"-1", "604801", "1.5", `"60"`, "null", "1e99"} {
		w.call("POST", "/api/v1/webhooks/"+id+"/rotate-secret", `{"overlap_seconds":`+v+`}`).refused(relay.KindValidation, "overlap_seconds")
	}
	if diff := cmp.Diff(before, w.stored(id)); diff != "" {
		t.Errorf("a refused call changed the endpoint:\n%s", diff)
	}
}

// An SDK repeats a write whose answer was lost, and the repetition is refused
// because the first one took effect. The secret before must not be lost by it.
func TestARotationThatIsReportedAsAConflictHappensOnce(t *testing.T) {
	w, b := newBroken(t)
	created := w.call("POST", "/api/v1/webhooks", newEndpoint).is(201)
	id, first := created.text("id"), created.text("signing_secret")
	b.fail["UpdateEndpoint"] = relay.ErrConflict
	second := w.call("POST", "/api/v1/webhooks/"+id+"/rotate-secret", "").is(200).text("signing_secret")
	ep := w.stored(id)
	now, _ := w.Keys.Open(ep.Secret, seal.Place{Account: w.account, Object: id, Field: "signing_secret"})
	old, _ := w.Keys.Open(ep.OldSecret, seal.Place{Account: w.account, Object: id, Field: "old_signing_secret"})
	if now.Reveal() != second || old.Reveal() != first {
		t.Errorf("stored: new %v, old %v", now.Reveal() == second, old.Reveal() == first)
	}
}

func TestConcurrentPatchesBothCount(t *testing.T) {
	w := newWorld(t)
	id := w.createEndpoint()
	done := make(chan *reply)
	for _, body := range []string{`{"name":"N"}`, `{"event_types":["*"]}`, `{"format":"sivi"}`, `{"signatures":["rivya","standard"]}`} {
		go func() { done <- w.call("PATCH", "/api/v1/webhooks/"+id, body) }()
	}
	for range 4 {
		if a := <-done; a.status != 200 {
			t.Errorf("%s: %d %s", a.what, a.status, a.raw)
		}
	}
	w.call("GET", "/api/v1/webhooks/"+id, "").is(200).equal(map[string]any{
		"name": "N", "event_types": []string{"*"}, "format": "sivi", "signatures": []string{"rivya", "standard"},
	})
}

func TestSecretsAreInNoLog(t *testing.T) {
	w := newWorld(t)
	created := w.call("POST", "/api/v1/webhooks", newEndpoint).is(201)
	rotated := w.call("POST", "/api/v1/webhooks/"+created.text("id")+"/rotate-secret", "").is(200)
	key := w.call("POST", "/api/v1/api-keys", `{"name":"k"}`).is(201).text("api_key")
	rivya := w.call("POST", "/api/v1/sources", `{"provider":"rivya","name":"r","signing_secret":"first-secret"}`).is(201).text("id")
	w.call("PATCH", "/api/v1/sources/"+rivya, `{"signing_secret":"second-secret"}`).is(200)
	sivi := w.call("POST", "/api/v1/sources", `{"provider":"sivi","name":"s","sivi_api_key":"sivi-key-text"}`).is(201)
	token := sivi.text("ingest_url")[strings.LastIndex(sivi.text("ingest_url"), "/")+1:]
	again := w.call("POST", "/api/v1/sources/"+sivi.text("id")+"/rotate-token", "").is(200).text("ingest_url")
	w.callAs(relay.Secret(key+"x"), "GET", "/api/v1/webhooks", "").is(401)
	w.call("PATCH", "/api/v1/sources/"+rivya, `{"signing_secret":"second-secret","x":1}`).is(400)
	for _, secret := range []string{
		created.text("signing_secret"), rotated.text("signing_secret"), key, "first-secret", "second-secret", "sivi-key-text",
		token, again[strings.LastIndex(again, "/")+1:], w.key.Reveal(), "example.com",
	} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
	for _, action := range []string{"endpoint.create", "endpoint.rotate_secret", "key.create", "source.create", "source.update", "source.rotate_token"} {
		if !strings.Contains(w.log.String(), `"account":"`+w.account+`","key":"`+w.keyID+`","action":"`+action+`"`) {
			t.Errorf("the audit has no %s:\n%s", action, w.log)
		}
	}
}

func TestEndpointsAreListedByStatus(t *testing.T) {
	w := newWorld(t)
	active, disabled, deleted := w.createEndpoint(), w.createEndpoint(), w.createEndpoint()
	w.call("PATCH", "/api/v1/webhooks/"+disabled, `{"status":"disabled"}`).is(200)
	w.call("DELETE", "/api/v1/webhooks/"+deleted, "").is(200)
	for query, want := range map[string][]string{
		"": {deleted, disabled, active}, "?status=active": {active}, "?status=disabled": {disabled}, "?status=deleted": {deleted},
		"?status=deleted,active": {deleted, active},
	} {
		got := []string{}
		for _, v := range w.call("GET", "/api/v1/webhooks"+query, "").is(200).at("data").([]any) {
			got = append(got, v.(map[string]any)["id"].(string))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	w.call("GET", "/api/v1/webhooks?status=gone", "").refused(relay.KindValidation, "status")
}

func TestADryRunJudgesAnEndpointAndMakesNone(t *testing.T) {
	w := newWorld(t)
	w.call("POST", "/api/v1/webhooks?dry_run=true", newEndpoint).is(200).equal(map[string]any{"object": "webhook_endpoint_dry_run", "valid": true})
	w.call("POST", "/api/v1/webhooks?dry_run=true", `{"name":"x","url":"https://10.0.0.8/hook","event_types":["*"]}`).refused(relay.KindURLRejected, "url")
	w.call("POST", "/api/v1/webhooks?dry_run=perhaps", newEndpoint).refused(relay.KindValidation, "dry_run")
	w.call("GET", "/api/v1/webhooks", "").is(200).equal(map[string]any{"data": []any{}})
}

func TestARotationTellsUntilWhenTheOldSecretSigns(t *testing.T) {
	w := newWorld(t)
	a := w.call("POST", "/api/v1/webhooks", newEndpoint).is(201).equal(map[string]any{"old_secret_until": nil})
	until := relay.FormatTime(w.clock.Now().Add(time.Hour))
	path := "/api/v1/webhooks/" + a.text("id")
	w.call("POST", path+"/rotate-secret", `{"overlap_seconds":3600}`).is(200).equal(map[string]any{"old_secret_until": until})
	w.call("GET", path, "").is(200).equal(map[string]any{"old_secret_until": until})
	w.call("POST", path+"/rotate-secret", `{"overlap_seconds":0}`).is(200).equal(map[string]any{"old_secret_until": nil})
}
