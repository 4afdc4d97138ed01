package api

import (
	"context"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

var requestID = regexp.MustCompile(`req_[a-z0-9]+`)

// Every route with an id in its path is called with each id of another account,
// and with ids that nobody has: the answers are the same 404, but for the
// request's id.
func TestAForeignIDIsAnsweredAsAnUnknownOne(t *testing.T) {
	w := newWorld(t)
	ep := w.createEndpoint()
	attempt := w.record("evt_theirs", ep, relay.AttemptFailed, 0)
	src := w.call("POST", "/api/v1/sources", `{"provider":"sivi","name":"s","sivi_api_key":"k"}`).is(201).text("id")
	w.call("POST", "/api/v1/sources/"+src+"/expect", `{"request_ids":["r"]}`).is(202)
	replay := w.call("POST", "/api/v1/webhooks/"+ep+"/replay", `{"since":"2026-05-10T00:00:00Z"}`).is(202).text("id")
	own, ours := w.key, w.account
	before := w.everything()

	_, _, w.key = w.newAccount("second")
	mine := w.createEndpoint()
	now := w.clock.Now()
	unknown := map[string]string{
		"webhooks": relay.NewID(relay.EndpointPrefix, now), "sources": relay.NewID(relay.SourcePrefix, now),
		"webhook-events": relay.NewID(relay.EventPrefix, now), "replays": relay.NewID(relay.ReplayPrefix, now), "api-keys": relay.NewID(relay.KeyPrefix, now),
	}
	foreign := map[string]string{"webhooks": ep, "sources": src, "webhook-events": "evt_theirs", "replays": replay, "api-keys": w.keyID}
	bodies := map[string]string{"replay": `{"since":"2026-05-10T00:00:00Z"}`, "expect": `{"request_ids":["r"]}`, "{id}": `{"name":"taken"}`, "match": `{"body":{}}`, "deliver": `{"event_id":"evt_theirs"}`}
	tried := 0
	for _, rt := range routes() {
		if !strings.Contains(rt.path, "{id}") {
			continue
		}
		kind := strings.Split(rt.path, "/")[3]
		body := bodies[rt.path[strings.LastIndex(rt.path, "/")+1:]]
		path := func(id string) string {
			return strings.NewReplacer("{id}", url.PathEscape(id), "{attempt_id}", attempt.ID).Replace(rt.path)
		}
		if rt.method == "GET" || rt.method == "DELETE" && !strings.HasSuffix(rt.path, "/expect") {
			body = ""
		}
		theirs := w.call(rt.method, path(foreign[kind]), body).refused(relay.KindNotFound, "")
		nobodys := w.call(rt.method, path(unknown[kind]), body).refused(relay.KindNotFound, "")
		if diff := cmp.Diff(requestID.ReplaceAllString(nobodys.raw, ""), requestID.ReplaceAllString(theirs.raw, "")); diff != "" {
			t.Errorf("%s %s tells a foreign id from an unknown one:\n%s", rt.method, rt.path, diff)
		}
		for _, odd := range []string{"", "x", strings.ToUpper(foreign[kind]), foreign[kind] + "\x00", foreign[kind] + "/", "../" + foreign[kind], strings.Repeat("x", 3000)} {
			if odd != "" {
				w.call(rt.method, path(odd), body).refused(relay.KindNotFound, "")
			}
		}
		tried++
	}
	if tried < 19 {
		t.Errorf("only %d routes were tried", tried)
	}
	// Another account's attempt under one's own endpoint, and its source in one's
	// own list.
	w.call("POST", "/api/v1/webhooks/"+mine+"/deliveries/"+attempt.ID+"/retry", "").refused(relay.KindNotFound, "")
	w.call("PATCH", "/api/v1/webhooks/"+mine, `{"source_ids":["`+src+`"]}`).refused(relay.KindValidation, "source_ids[0]")
	w.call("GET", "/api/v1/webhook-events?source_id="+src, "").is(200).equal(map[string]any{"data": []any{}})
	w.call("GET", "/api/v1/webhooks/"+mine+"/deliveries?event_id=evt_theirs", "").is(200).equal(map[string]any{"data": []any{}})
	for _, path := range []string{"/api/v1/sources", "/api/v1/webhook-events"} {
		w.call("GET", path, "").is(200).equal(map[string]any{"data": []any{}})
	}

	w.key, w.account = own, ours
	if diff := cmp.Diff(before, w.everything()); diff != "" {
		t.Errorf("another account changed something (-before +after):\n%s", diff)
	}
}

// everything is what the account's lists show.
func (w *world) everything() (all []string) {
	w.t.Helper()
	for _, path := range []string{"webhooks", "sources", "webhook-events", "api-keys"} {
		all = append(all, w.call("GET", "/api/v1/"+path, "").is(200).raw)
	}
	eps, err := w.Store.LiveEndpoints(context.Background(), w.account)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, ep := range eps {
		all = append(all, w.call("GET", "/api/v1/webhooks/"+ep.ID+"/deliveries", "").is(200).raw)
	}
	return all
}

func TestACursorIsGoodForItsListAlone(t *testing.T) {
	w := newWorld(t)
	ep, other := w.createEndpoint(), w.createEndpoint()
	for _, id := range []string{"evt_1", "evt_2", "evt_3"} {
		w.clock.Advance(1e9)
		w.record(id, ep, relay.AttemptFailed, 0)
		w.record("o"+id, other, relay.AttemptFailed, 0)
	}
	deliveries := "/api/v1/webhooks/" + ep + "/deliveries?limit=1"
	lists := []string{
		"/api/v1/webhooks?limit=1", deliveries, deliveries + "&status=failed", deliveries + "&final=true",
		"/api/v1/webhooks/" + other + "/deliveries?limit=1", "/api/v1/webhook-events?limit=1", "/api/v1/webhook-events?limit=1&status=failed",
		"/api/v1/webhook-events?limit=1&since=2026-05-11T00:00:00Z", "/api/v1/webhook-events?limit=1&until=2030-05-11T00:00:00Z",
	}
	cursors := make([]string, len(lists))
	for i, path := range lists {
		cursors[i] = w.call("GET", path, "").is(200).text("next_cursor")
	}
	for i, path := range lists {
		for j, cursor := range cursors {
			a := w.call("GET", path+"&cursor="+cursor, "")
			if i == j {
				a.is(200)
			} else {
				a.refused(relay.KindValidation, "cursor")
			}
		}
	}
	// The page's size and the way a time is written are no filters.
	w.call("GET", strings.Replace(lists[7], "limit=1", "limit=2", 1)+"&cursor="+cursors[7], "").is(200)
	w.call("GET", "/api/v1/webhook-events?since=2026-05-11T02:00:00%2B02:00&cursor="+cursors[7], "").is(200)
	// Nor is it good for another account, when it is changed, or on another ring.
	for _, forged := range []string{cursors[0][1:], cursors[0] + "A", cursors[0][:len(cursors[0])-2], "AAAA", "=", "%20", strings.Repeat("A", 5000)} {
		w.call("GET", lists[0]+"&cursor="+forged, "").refused(relay.KindValidation, "cursor")
	}
	_, _, w.key = w.newAccount("second")
	w.call("GET", lists[0]+"&cursor="+cursors[0], "").refused(relay.KindValidation, "cursor")
	w.call("GET", lists[5]+"&cursor="+cursors[5], "").refused(relay.KindValidation, "cursor")
}

// staleView answers old lists of live endpoints for a while, as a cache does.
type staleView struct {
	relay.Store
	old   []relay.Endpoint
	times int
}

func (s *staleView) LiveEndpoints(ctx context.Context, account string) ([]relay.Endpoint, error) {
	if s.times--; s.times >= 0 {
		return s.old, nil
	}
	return s.Store.LiveEndpoints(ctx, account)
}

func TestUpdateWebhookBearsAnOldView(t *testing.T) {
	w := newWorld(t)
	const body = `{"webhookUrl":"https://a.example.com"}`
	store := w.Store
	w.update(w.key, siviPaths[0], body).exactly(200, sivi200)
	w.Store = &staleView{store, nil, 2} // as if there were none yet
	w.update(w.key, siviPaths[0], `{"webhookUrl":"https://b.example.com"}`).exactly(200, sivi200)
	eps := w.webhooks()
	if len(eps) != 1 || eps[0].URL != "https://b.example.com" {
		t.Fatalf("live: %+v", eps)
	}
	w.Store = &staleView{store, eps, 2} // as if it were still there
	w.call("DELETE", "/api/v1/webhooks/"+eps[0].ID, "").is(200)
	w.update(w.key, siviPaths[0], body).exactly(200, sivi200)
	w.Store = store
	if now := w.webhooks(); len(now) != 1 || now[0].ID == eps[0].ID {
		t.Errorf("live: %+v", now)
	}
}
