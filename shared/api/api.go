// Package api is the management API: endpoints, sources, keys, events,
// deliveries, replays and publishing under /api/v1, and the call that a client
// of Sivi knows as update-webhook. openapi.json describes every call; a test
// holds it and the routes equal.
//
// A handler parses, acts and returns an answer or an error; one wrapper
// (call.go) authenticates, turns an error into the error body, and writes one
// line. An error of a port that is not one of relay's is the port's failure:
// 503, and the call may be repeated.
package api

import (
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"hookferry/shared/egress"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/telemetry"
)

// Config is what the API works with. Store, Events, Retries, Keys and Now are
// needed, the rest may be zero.
type Config struct {
	Store   relay.Store
	Events  relay.Queue // takes published and test events
	Retries relay.Queue // takes manual retries, replays and expectations
	Keys    *seal.Keyring
	Now     func() time.Time

	// URLs judges endpoint URLs. Its zero value is the strict one.
	URLs egress.Policy
	// PublicURL begins every ingest_url. Empty: the scheme and host of the
	// request that asks.
	PublicURL string
	// FailingAfter is how long nothing but failures disables an endpoint, by which
	// its health is judged; 0: 120 hours.
	FailingAfter time.Duration
	// EndpointLimit is how many live endpoints an account may have; 0: 100.
	EndpointLimit int
	// Usage tells how much is kept of an account's events, and Limit how much may
	// be before its events are not published any more; nil: there is no bound.
	Usage relay.UsageStore
	Limit relay.Usage
	// ExpectFirst is when Sivi is first asked for an expected request, counted
	// from its registration; 0: 10 minutes. ExpectGiveUp is when for the last
	// time; 0: 24 hours.
	ExpectFirst, ExpectGiveUp time.Duration

	// Payload makes the body of an event what is kept of it; nil: relay.NewPayload,
	// which deflates it.
	Payload func([]byte) relay.Payload

	// Log takes a line for each refused and each failed call.
	Log *telemetry.Log
	// Audit takes a line at INFO for each management write: request_id, account,
	// key, action, object and the names of the changed fields.
	Audit *slog.Logger
}

// Limits of an account that are not settings.
const (
	keyLimit    = 100
	sourceLimit = 100
)

type server struct {
	Config
	cursorKey []byte
	retryWait time.Duration // before a change that met another is tried again; short in tests
}

// A route is one operation of openapi.json.
type route struct {
	method, path string
	scope        relay.Scope // empty: no Bearer key is asked for
	query        []string    // the query parameters it takes; others are refused
	serve        func(*server, *call) (answer, error)
	fail         func(*call, *relay.Error) answer // nil: the error body of contract section 2
}

// anyScope is the scope of a route that takes every live key.
const anyScope relay.Scope = "any"

const listQuery = "limit cursor"

func routes() []route {
	q := strings.Fields
	all := []route{
		{method: "POST", path: "/api/v1/webhooks", scope: relay.ScopeManage, query: []string{"dry_run"}, serve: (*server).createEndpoint},
		{method: "GET", path: "/api/v1/webhooks", scope: relay.ScopeRead, query: q(listQuery + " status"), serve: (*server).listEndpoints},
		{method: "GET", path: "/api/v1/webhooks/{id}", scope: relay.ScopeRead, serve: (*server).readEndpoint},
		{method: "PATCH", path: "/api/v1/webhooks/{id}", scope: relay.ScopeManage, serve: (*server).patchEndpoint},
		{method: "DELETE", path: "/api/v1/webhooks/{id}", scope: relay.ScopeManage, serve: (*server).deleteEndpoint},
		{method: "POST", path: "/api/v1/webhooks/{id}/rotate-secret", scope: relay.ScopeManage, serve: (*server).rotateSecret},
		{method: "POST", path: "/api/v1/webhooks/{id}/test", scope: relay.ScopeManage, serve: (*server).testEndpoint},
		{method: "GET", path: "/api/v1/webhooks/{id}/deliveries", scope: relay.ScopeRead, query: q(listQuery + " status final event_id type since until"), serve: (*server).listAttempts},
		{method: "POST", path: "/api/v1/webhooks/{id}/deliveries/{attempt_id}/retry", scope: relay.ScopeManage, serve: (*server).retryDelivery},
		{method: "POST", path: "/api/v1/webhooks/{id}/match", scope: relay.ScopeManage, serve: (*server).matchEndpoint},
		{method: "POST", path: "/api/v1/webhooks/{id}/deliver", scope: relay.ScopeManage, serve: (*server).deliverEvent},
		{method: "POST", path: "/api/v1/webhooks/{id}/replay", scope: relay.ScopeManage, query: q("dry_run"), serve: (*server).createReplay},
		{method: "GET", path: "/api/v1/replays", scope: relay.ScopeRead, query: q(listQuery), serve: (*server).listReplays},
		{method: "GET", path: "/api/v1/replays/{id}", scope: relay.ScopeRead, serve: (*server).readReplay},
		{method: "DELETE", path: "/api/v1/replays/{id}", scope: relay.ScopeManage, serve: (*server).cancelReplay},

		{method: "GET", path: "/api/v1/webhook-events", scope: relay.ScopeRead, query: q(listQuery + " type status source_id subject endpoint_id since until"), serve: (*server).listEvents},
		{method: "POST", path: "/api/v1/webhook-events", scope: relay.ScopePublish, serve: (*server).publishEvent},
		{method: "GET", path: "/api/v1/webhook-events/{id}", scope: relay.ScopeRead, query: []string{"source_id"}, serve: (*server).readEvent},
		{method: "GET", path: "/api/v1/stats", scope: relay.ScopeRead, query: q("window endpoint_id"), serve: (*server).readStats},
		{method: "GET", path: "/api/v1/webhook-events/{id}/body", scope: relay.ScopeRead, query: q("endpoint_id source_id"), serve: (*server).readEventBody},
		{method: "GET", path: "/api/v1/event-types", scope: relay.ScopeRead, serve: (*server).listEventTypes},

		{method: "POST", path: "/api/v1/api-keys", scope: relay.ScopeKeys, serve: (*server).createKey},
		{method: "GET", path: "/api/v1/api-keys", scope: relay.ScopeKeys, query: q(listQuery), serve: (*server).listKeys},
		{method: "GET", path: "/api/v1/current-key", scope: anyScope, serve: (*server).currentKey},
		{method: "GET", path: "/api/v1/api-keys/{id}", scope: relay.ScopeKeys, serve: (*server).readKey},
		{method: "DELETE", path: "/api/v1/api-keys/{id}", scope: relay.ScopeKeys, query: []string{"cascade"}, serve: (*server).revokeKey},

		{method: "POST", path: "/api/v1/portal-links", scope: relay.ScopeKeys, serve: (*server).createPortalLink},
		{method: "POST", path: "/api/v1/accounts", scope: relay.ScopeAccounts, serve: (*server).createAccount},

		{method: "POST", path: "/api/v1/sources", scope: relay.ScopeSources, serve: (*server).createSource},
		{method: "GET", path: "/api/v1/sources", scope: relay.ScopeSources, query: q(listQuery), serve: (*server).listSources},
		{method: "GET", path: "/api/v1/sources/{id}", scope: relay.ScopeSources, serve: (*server).readSource},
		{method: "PATCH", path: "/api/v1/sources/{id}", scope: relay.ScopeSources, serve: (*server).patchSource},
		{method: "DELETE", path: "/api/v1/sources/{id}", scope: relay.ScopeSources, serve: (*server).deleteSource},
		{method: "POST", path: "/api/v1/sources/{id}/rotate-token", scope: relay.ScopeSources, serve: (*server).rotateToken},
		{method: "GET", path: "/api/v1/sources/{id}/refusals", scope: relay.ScopeSources, query: q(listQuery), serve: (*server).listRefusals},
		{method: "POST", path: "/api/v1/sources/{id}/expect", scope: relay.ScopeSources, serve: (*server).expect},
		{method: "GET", path: "/api/v1/sources/{id}/expect", scope: relay.ScopeSources, query: q(listQuery), serve: (*server).listExpected},
		{method: "DELETE", path: "/api/v1/sources/{id}/expect", scope: relay.ScopeSources, serve: (*server).unexpect},

		{method: "GET", path: "/.well-known/webhook-keys.json", query: q("endpoint_id"), serve: (*server).webhookKeys},
		{method: "GET", path: "/api/v1/openapi.json", serve: (*server).openAPI},
	}
	for _, prefix := range []string{"", "/api/prod/v2", "/api/staging/v2"} {
		all = append(all, route{
			method: "POST", path: prefix + "/general/update-webhook",
			serve: (*server).updateWebhook, fail: siviFailure,
		})
	}
	return all
}

// New returns the handler of every path of the API. It is safe for concurrent
// use.
func New(cfg Config) http.Handler { return newServer(cfg).handler() }

func newServer(cfg Config) *server {
	if cfg.EndpointLimit == 0 {
		cfg.EndpointLimit = 100
	}
	if cfg.FailingAfter == 0 {
		cfg.FailingAfter = 120 * time.Hour
	}
	if cfg.Payload == nil {
		cfg.Payload = relay.NewPayload
	}
	if cfg.ExpectFirst == 0 {
		cfg.ExpectFirst = 10 * time.Minute
	}
	if cfg.ExpectGiveUp == 0 {
		cfg.ExpectGiveUp = 24 * time.Hour
	}
	cfg.PublicURL = strings.TrimSuffix(cfg.PublicURL, "/")
	return &server{Config: cfg, cursorKey: cfg.Keys.Derive("cursor"), retryWait: 100 * time.Millisecond}
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for _, rt := range routes() {
		mux.Handle(rt.method+" "+rt.path, s.wrap(rt))
		methods[rt.path] = append(methods[rt.path], rt.method)
	}
	for p, allowed := range methods {
		mux.Handle(p, s.wrap(otherMethods(p, allowed)))
	}
	unknown := s.wrap(route{path: "/", serve: func(*server, *call) (answer, error) {
		return answer{}, &relay.Error{Kind: relay.KindNotFound, Detail: "There is no such path."}
	}})
	mux.Handle("/", unknown)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// ServeMux would answer a path that it can clean with a redirect; a
		// client that follows it turns its POST into a GET.
		if p := r.URL.EscapedPath(); !strings.HasPrefix(p, "/") || path.Clean(p) != p || r.Method == http.MethodConnect {
			unknown.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// otherMethods answers the methods that no route of the path has.
func otherMethods(p string, allowed []string) route {
	if slices.Contains(allowed, "GET") {
		allowed = append(allowed, "HEAD")
	}
	allowed = append(allowed, "OPTIONS")
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	return route{path: p, query: nil, serve: func(_ *server, c *call) (answer, error) {
		c.w.Header().Set("Allow", allow)
		if c.r.Method == http.MethodOptions {
			return answer{status: http.StatusNoContent}, nil
		}
		return answer{}, &relay.Error{
			Kind:   relay.KindMethodNotAllowed,
			Detail: "This path takes " + allow + ".",
		}
	}}
}
