package api

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"hookferry/shared/egress"
	"hookferry/shared/relay"
)

func TestAURLOfThisDeploymentIsNoEndpoint(t *testing.T) {
	for _, c := range []struct {
		public, host, url string
		private, refused  bool
	}{
		{public: "https://hooks.acme.dev", url: "https://hooks.acme.dev/in/src_1", refused: true},
		{public: "https://hooks.acme.dev", url: "https://HOOKS.acme.dev.:443/", refused: true},
		{public: "https://hooks.acme.dev/base", url: "https://hooks.acme.dev/elsewhere", refused: true},
		{public: "https://hooks.acme.dev", url: "https://hooks.acme.dev:8443/in/src_1"},
		{public: "https://hooks.acme.dev", url: "https://other.acme.dev/in/src_1"},
		{public: "https://hooks.acme.dev", host: "abc.execute-api.eu-west-1.amazonaws.com", url: "https://abc.execute-api.eu-west-1.amazonaws.com/in/src_1", refused: true},
		{host: "relay.acme.dev", url: "https://relay.acme.dev/", refused: true},
		{host: "127.0.0.1:8080", url: "http://localhost:8080/in/src_1", private: true, refused: true},
		{host: "127.0.0.1:8080", url: "http://[::1]:8080/in/src_1", private: true, refused: true},
		{host: "127.0.0.1:8080", url: "http://127.0.0.1:9000/", private: true},
	} {
		w := newWorld(t, func(cfg *Config) {
			cfg.PublicURL, cfg.URLs = c.public, egress.Policy{AllowPrivate: c.private}
		})
		for path, body := range map[string]string{
			"/api/v1/webhooks":        fmt.Sprintf(`{"name":"n","url":%q,"event_types":["*"]}`, c.url),
			"/general/update-webhook": fmt.Sprintf(`{"webhookUrl":%q}`, c.url),
		} {
			req := httptest.NewRequest("POST", path, strings.NewReader(body))
			if c.host != "" {
				req.Host = c.host
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+string(w.key))
			req.Header.Set("sivi-api-key", string(w.key))
			rec := httptest.NewRecorder()
			w.h.ServeHTTP(rec, req)
			if got := rec.Code >= 400; got != c.refused {
				t.Errorf("%s at %s, %s: %d %s", path, c.public+" "+c.host, c.url, rec.Code, rec.Body)
			}
		}
	}
}

func TestAPublishedEventKeepsItsPassesAndTrace(t *testing.T) {
	w := newWorld(t)
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	req := httptest.NewRequest("POST", "/api/v1/webhook-events", strings.NewReader(`{"type":"order.paid","data":{}}`))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+string(w.key))
	req.Header.Set(relay.PassesHeader, "3")
	req.Header.Set("traceparent", trace)
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, req)
	msgs, err := w.events.Receive(t.Context(), 10, 0, 0)
	if rec.Code != 202 || err != nil || len(msgs) != 1 {
		t.Fatalf("%d %s, %d messages, %v", rec.Code, rec.Body, len(msgs), err)
	}
	m, err := relay.DecodeMessage(msgs[0].Body)
	if err != nil || m.Event.Passes != 3 || m.Event.TraceParent != trace {
		t.Errorf("got %d passes and trace %q, %v", m.Event.Passes, m.Event.TraceParent, err)
	}
}
