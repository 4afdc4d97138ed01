package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const siviKey = "key-of-sivi"

// A siviAPI stands in for Sivi: it says of each request what it was told to, and
// takes the webhook URL of a key.
type siviAPI struct {
	*httptest.Server
	mu       sync.Mutex
	says     map[string]string // the whole answer, by request; none: 404
	asked    map[string]int
	webhooks []string
}

func newSiviAPI(t testing.TB) *siviAPI {
	s := &siviAPI{says: map[string]string{}, asked: map[string]int{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *siviAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, message string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"status":%d,"body":{"message":%q}}`, status, message)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.Header.Get("sivi-api-key") != siviKey:
		answer(401, "Failed to authenticate request")
	case r.URL.Path == "/general/get-request-status" && r.Method == "GET":
		var query struct{ RequestID string }
		if err := json.Unmarshal([]byte(r.URL.Query().Get("queryParams")), &query); err != nil {
			answer(400, err.Error())
			return
		}
		s.asked[query.RequestID]++
		if body, ok := s.says[query.RequestID]; ok {
			io.WriteString(w, body)
			return
		}
		answer(404, "no such request")
	case r.URL.Path == "/general/update-webhook" && r.Method == "POST":
		var body struct{ WebhookURL string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			answer(422, "Invalid input")
			return
		}
		s.webhooks = append(s.webhooks, body.WebhookURL)
		answer(200, "Successfully updated the webhook URL")
	default:
		answer(404, "no such call")
	}
}

// say sets what Sivi answers about a request.
func (s *siviAPI) say(request, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.says[request] = body
}

func (s *siviAPI) askedAbout(request string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[request]
}

// siviBody is a body of Sivi's, with white space and an order of fields that a
// relay which decodes it would lose.
func siviBody(request, status string) string {
	return `{"status": 200, "body": {"queueWaitTime":0,  "status":"` + status + `","requestId":"` + request +
		`","link":"https://instant.sivi.ai/?a=1&b=<2>","result":{"variations":[{"variantImageUrl":"https://example.com/1.jpg","variantWidth":1.0}]}}}`
}

// siviCalls posts a body as Sivi does, and returns the event's id.
func siviCalls(t testing.TB, url, body string) string {
	t.Helper()
	resp, err := plain.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Received bool
		ID       string
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != 200 || !answer.Received {
		t.Fatalf("call as Sivi: got %d %+v %v", resp.StatusCode, answer, err)
	}
	return answer.ID
}

// event waits until the event has the status, and returns it.
func (r *relayProc) event(id, status string) map[string]any {
	r.t.Helper()
	var ev map[string]any
	eventually(r.t, 15*time.Second, func() string {
		var code int
		if code, ev, _ = r.try("GET", "/api/v1/webhook-events/"+id, nil); code != 200 || ev["status"] != status {
			return fmt.Sprintf("event %s: %d %v, want %s", id, code, ev["status"], status)
		}
		return ""
	})
	return ev
}

// about returns the deliveries that a destination got for an event.
func (d *destination) about(event string) (found []delivery) {
	for _, del := range d.deliveries() {
		if del.header.Get("Rivya-Webhook-Id") == event {
			found = append(found, del)
		}
	}
	return found
}

// A siviSetup is a relay with a Sivi source and an endpoint in each format.
type siviSetup struct {
	*relayProc
	api        *siviAPI
	verbatim   *destination // an endpoint in format sivi
	translated *destination // one in format rivya
	source     string       // path of the source
	ingest     string
}

func setUpSivi(t testing.TB, env ...string) *siviSetup {
	t.Helper()
	s := &siviSetup{api: newSiviAPI(t), verbatim: newDestination(t, nil), translated: newDestination(t, nil)}
	s.relayProc = dev(t, start{env: append(env, "SIVI_BASE_URL="+s.api.URL)})
	src := s.call(201, "POST", "/api/v1/sources", map[string]any{"name": "Sivi", "provider": "sivi"})
	s.source, s.ingest = "/api/v1/sources/"+src["id"].(string), src["ingest_url"].(string)
	for format, dest := range map[string]*destination{"sivi": s.verbatim, "rivya": s.translated} {
		s.call(201, "POST", "/api/v1/webhooks", map[string]any{
			"name": format, "url": dest.URL, "event_types": []string{"*"}, "format": format,
		})
	}
	return s
}

// relayed fails unless the event went once to each endpoint: the body as it is,
// and its translation of the type.
func (s *siviSetup) relayed(id, body, typ string) {
	s.t.Helper()
	s.event(id, "delivered")
	if got := s.verbatim.about(id); len(got) != 1 || string(got[0].body) != body {
		s.t.Errorf("format sivi: got %d deliveries of %s, want one: %s", len(got), id, body)
	}
	got := s.translated.about(id)
	if len(got) != 1 {
		s.t.Fatalf("format rivya: got %d deliveries of %s, want 1", len(got), id)
	}
	var ev struct {
		ID, Type string
		Data     struct {
			Generation struct {
				ID     string
				Result struct {
					PrimaryURL string `json:"primary_url"`
				}
			}
			Sivi json.RawMessage
		}
	}
	if err := json.Unmarshal(got[0].body, &ev); err != nil {
		s.t.Fatal(err)
	}
	if g := ev.Data.Generation; ev.ID != id || ev.Type != typ || g.ID == "" || g.Result.PrimaryURL != "https://example.com/1.jpg" || string(ev.Data.Sivi) != body {
		s.t.Errorf("format rivya: got %s, want type %s and the body under data.sivi", got[0].body, typ)
	}
}

func TestASiviCallIsRelayedOnceInBothFormats(t *testing.T) {
	t.Parallel()
	s := setUpSivi(t)
	pending, complete := siviBody("r1", "pending"), siviBody("r1", "complete")
	first := siviCalls(t, s.ingest, pending)
	s.relayed(first, pending, "generation.updated")
	if again := siviCalls(t, s.ingest, pending); again != first {
		t.Errorf("the same call again is event %s, want %s", again, first)
	}
	second := siviCalls(t, s.ingest, complete)
	if second == first {
		t.Error("another status is the same event")
	}
	s.relayed(second, complete, "generation.succeeded")
	s.relayed(first, pending, "generation.updated") // and its duplicate went nowhere

	resp, err := plain.Post(s.ingest[:len(s.ingest)-1]+"!", "application/json", strings.NewReader(complete))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 401 {
		t.Errorf("another token: got %d, want 401", resp.StatusCode)
	}
	token := s.ingest[strings.LastIndex(s.ingest, "/")+1:]
	if log := s.tail(); strings.Contains(log, token) {
		t.Errorf("the token is in the log:\n%s", log)
	}
}

func TestAnEndpointMadeByUpdateWebhookGetsSivisBodies(t *testing.T) {
	t.Parallel()
	s := setUpSivi(t)
	own, next := newDestination(t, nil), newDestination(t, nil)
	updateWebhook := func(url string, headers ...string) {
		t.Helper()
		got := s.call(200, "POST", "/api/prod/v2/general/update-webhook", map[string]any{"webhookUrl": url},
			append(headers, "sivi-api-key", s.Key, "Authorization", "")...)
		if body, _ := got["body"].(map[string]any); body["message"] != "Successfully updated the webhook URL" {
			t.Errorf("got %v", got)
		}
	}
	updateWebhook(own.URL, "Content-Type", "text/plain")
	body := siviBody("r1", "failed")
	id := siviCalls(t, s.ingest, body)
	s.event(id, "delivered")
	if got := own.about(id); len(got) != 1 || string(got[0].body) != body {
		t.Errorf("got %d deliveries, want one of %s", len(got), body)
	}
	updateWebhook(next.URL)
	id = siviCalls(t, s.ingest, siviBody("r2", "complete"))
	s.event(id, "delivered")
	if len(next.about(id)) != 1 || len(own.about(id)) != 0 {
		t.Error("the new URL does not get the events alone")
	}
	if n := len(s.list("/api/v1/webhooks")); n != 3 {
		t.Errorf("got %d endpoints, want the two of the test and the key's one", n)
	}
}

func TestSiviIsAskedBeforeAFinalEventIsRelayed(t *testing.T) {
	t.Parallel()
	s := setUpSivi(t, "RETRY_SCHEDULE=0s,500ms,500ms")
	s.call(200, "PATCH", s.source, map[string]any{"sivi_api_key": siviKey, "confirm": "prefer"})

	genuine := siviBody("true", "complete")
	s.api.say("true", siviBody("true", "completed"))
	id := siviCalls(t, s.ingest, genuine)
	s.relayed(id, genuine, "generation.succeeded")
	if ev := s.event(id, "delivered"); ev["verified_by"] != "token+fetch" {
		t.Errorf("verified_by: got %v", ev["verified_by"])
	}
	for _, ev := range s.list("/api/v1/webhook-events") {
		if ev["id"] == id && ev["verified_by"] != "token+fetch" {
			t.Errorf("verified_by in the list: got %v", ev["verified_by"])
		}
	}

	s.api.say("forged", siviBody("forged", "failed"))
	forged := siviCalls(t, s.ingest, siviBody("forged", "complete"))
	if ev := s.event(forged, "rejected"); ev["verified_by"] != "token" {
		t.Errorf("verified_by: got %v", ev["verified_by"])
	}
	unknown := siviCalls(t, s.ingest, siviBody("unknown", "complete"))
	s.event(unknown, "rejected")
	if n := s.api.askedAbout("unknown"); n != 3 {
		t.Errorf("Sivi, which does not know the request, was asked %d times, want 3", n)
	}

	s.api.say("down", "<html>502</html>")
	down := siviBody("down", "complete")
	id = siviCalls(t, s.ingest, down)
	s.relayed(id, down, "generation.succeeded")
	if ev := s.event(id, "delivered"); ev["verified_by"] != "token" {
		t.Errorf("verified_by of what could not be checked: got %v", ev["verified_by"])
	}
	for _, id := range []string{forged, unknown} {
		if n := len(s.verbatim.about(id)) + len(s.translated.about(id)); n != 0 {
			t.Errorf("a rejected event was delivered %d times", n)
		}
	}
}

func TestAMissedFinalEventIsFetchedAndRelayedOnce(t *testing.T) {
	t.Parallel()
	s := setUpSivi(t, "EXPECT_FIRST=1s")
	s.call(200, "PATCH", s.source, map[string]any{"sivi_api_key": siviKey})

	learnt, named := siviBody("learnt", "complete"), siviBody("named", "failed")
	s.api.say("learnt", learnt)
	s.api.say("named", named)
	siviCalls(t, s.ingest, siviBody("learnt", "processing"))
	s.call(202, "POST", s.source+"/expect", map[string]any{"request_ids": []string{"named"}})

	found := map[string]string{}
	eventually(t, 15*time.Second, func() string {
		for _, x := range s.list(s.source + "/expect") {
			if x["status"] == "resolved" {
				found[x["request_id"].(string)] = x["event_id"].(string)
			}
		}
		if len(found) != 2 {
			return fmt.Sprintf("found only %v", slices.Collect(maps.Keys(found)))
		}
		return ""
	})
	s.relayed(found["learnt"], learnt, "generation.succeeded")
	s.relayed(found["named"], named, "generation.failed")
	for _, id := range found {
		if ev := s.event(id, "delivered"); ev["verified_by"] != "fetch" {
			t.Errorf("verified_by: got %v", ev["verified_by"])
		}
	}

	// The real calls come late: answered, and relayed no more. The last call shows
	// that they have been handled.
	before := len(s.list("/api/v1/webhook-events"))
	late := []string{siviCalls(t, s.ingest, learnt), siviCalls(t, s.ingest, named)}
	last := siviCalls(t, s.ingest, siviBody("last", "pending"))
	s.event(last, "delivered")
	eventually(t, 15*time.Second, func() string {
		if n := len(s.list("/api/v1/webhook-events")); n != before+1 {
			return fmt.Sprintf("%d events are listed, want %d", n, before+1)
		}
		return ""
	})
	time.Sleep(time.Second)
	for _, id := range late {
		if n := len(s.verbatim.about(id)) + len(s.translated.about(id)); n != 0 {
			t.Errorf("a late call was delivered %d times", n)
		}
	}
	s.relayed(found["learnt"], learnt, "generation.succeeded")
	s.relayed(found["named"], named, "generation.failed")
}
