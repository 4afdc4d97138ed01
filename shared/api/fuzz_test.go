package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"hookferry/shared/relay"
)

// FuzzBodies sends any bytes to every call that takes a body: the answer is the
// documented one, never a fault of ours, and what is taken is JSON.
func FuzzBodies(f *testing.F) {
	for _, s := range []string{
		newEndpoint, `{"type":"order.paid","data":{"a":[1,"\ud800"]}}`, `{"provider":"sivi","name":"s","sivi_api_key":"k","confirm":"require"}`,
		`{"provider":"rivya","name":"s","signing_secret":"12345678"}`, `{"overlap_seconds":604800}`, `{"since":"2026-05-10T00:00:00Z","max_per_second":5}`,
		`{"request_ids":["a","b"]}`, `{"name":"k","scopes":["webhooks:read"],"expires_at":null}`, `{"webhookUrl":"https://a.example.com"}`,
		`{"status":"disabled","signatures":["rivya"],"source_ids":[]}`, `{"a":{"b":[[[]]]}}`, "{}", "", "null", "{\"\xff\":1}", `{"url":"https://[::1]/"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w := newWorld(t)
		ep := w.createEndpoint()
		src := w.call("POST", "/api/v1/sources", `{"provider":"sivi","name":"s","sivi_api_key":"k"}`).is(201).text("id")
		for _, rt := range routes() {
			if rt.method == "GET" || rt.method == "DELETE" && !strings.HasSuffix(rt.path, "/expect") {
				continue
			}
			id := ep
			if strings.Contains(rt.path, "/sources/") {
				id = src
			}
			r := httptest.NewRequest(rt.method, strings.NewReplacer("{id}", id, "{attempt_id}", "x").Replace(rt.path), strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+w.key.Reveal())
			r.Header.Set("sivi-api-key", w.key.Reveal())
			r.Header.Set("Content-Type", "application/json")
			a := w.send(r)
			if a.status >= http.StatusInternalServerError {
				t.Errorf("%s: %d %s", a.what, a.status, a.raw)
			}
			if a.status < 300 && body != "" && (!json.Valid([]byte(body)) || !utf8.ValidString(body)) {
				t.Errorf("%s took what is not JSON: %q", a.what, body)
			}
		}
	})
}

// FuzzCursor opens any text as a cursor: only what was sealed opens.
func FuzzCursor(f *testing.F) {
	w := newWorld(f)
	for _, position := range []string{"", "x", "2026-05-11T09:30:00.000Zwhend_1", strings.Repeat("p", 2000)} {
		f.Add("acct\x00list\x00status=failed", w.sealCursor("acct\x00list\x00status=failed", position), position)
	}
	f.Add("", "AAAAAAAAAAAAAAAAAAAAAAAA", "x")
	f.Fuzz(func(t *testing.T, binding, cursor, position string) {
		if got, err := w.openCursor(binding, cursor); err == nil && w.sealCursor(binding, got) != cursor {
			t.Errorf("%q opens to %q, which seals to another", cursor, got)
		}
		sealed := w.sealCursor(binding, position)
		got, err := w.openCursor(binding, sealed)
		if takes := position != "" && len(sealed) <= maxCursor; takes != (err == nil) || takes && got != position {
			t.Errorf("sealed %q, opened %q, %v", position, got, err)
		}
		if _, err := w.openCursor(binding+"x", sealed); err == nil {
			t.Errorf("a cursor of %q is good for %qx", binding, binding)
		}
	})
}

// FuzzQuery sends any query to a list with every kind of filter.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"limit=5", "since=2026-05-11T00:00:00Z&until=2026-05-12T00:00:00%2B02:00", "type=a.b&status=failed", "a;b", "%zz", "cursor=AAAA",
		"status=&final=true&event_id=evt_1", "since=9999-12-31T23:59:59.999-23:59", "source_id=src_00000000000000000000",
	} {
		f.Add(s)
	}
	w := newWorld(f)
	w.Log, w.Audit = nil, nil
	w.h = w.handler()
	ep := w.createEndpoint()
	f.Fuzz(func(t *testing.T, query string) {
		w := *w
		w.t = t
		for _, path := range []string{"/api/v1/webhook-events", "/api/v1/webhooks/" + ep + "/deliveries"} {
			r := httptest.NewRequest("GET", path, nil)
			r.Header.Set("Authorization", "Bearer "+w.key.Reveal())
			r.URL.RawQuery = query
			if a := w.send(r); a.status != 200 && a.at("error.code") != string(relay.KindValidation) {
				t.Errorf("%q: %d %s", query, a.status, a.raw)
			}
		}
	})
}
