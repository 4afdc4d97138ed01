package client

import (
	"context"
	"encoding/json"
	"net/url"
	"time"
)

// The calls of the document that the client makes.
var (
	createEndpoint = operation{"POST", "/api/v1/webhooks"}
	listEndpoints  = operation{"GET", "/api/v1/webhooks"}
	readEndpoint   = operation{"GET", "/api/v1/webhooks/{id}"}
	updateEndpoint = operation{"PATCH", "/api/v1/webhooks/{id}"}
	deleteEndpoint = operation{"DELETE", "/api/v1/webhooks/{id}"}
	rotateSecret   = operation{"POST", "/api/v1/webhooks/{id}/rotate-secret"}
	testEndpoint   = operation{"POST", "/api/v1/webhooks/{id}/test"}
	listAttempts   = operation{"GET", "/api/v1/webhooks/{id}/deliveries"}
	retryDelivery  = operation{"POST", "/api/v1/webhooks/{id}/deliveries/{attempt_id}/retry"}
	createReplay   = operation{"POST", "/api/v1/webhooks/{id}/replay"}
	listReplays    = operation{"GET", "/api/v1/replays"}
	readReplay     = operation{"GET", "/api/v1/replays/{id}"}
	cancelReplay   = operation{"DELETE", "/api/v1/replays/{id}"}
	listEvents     = operation{"GET", "/api/v1/webhook-events"}
	readEvent      = operation{"GET", "/api/v1/webhook-events/{id}"}
	publishEvent   = operation{"POST", "/api/v1/webhook-events"}
	createSource   = operation{"POST", "/api/v1/sources"}
	listSources    = operation{"GET", "/api/v1/sources"}
	readSource     = operation{"GET", "/api/v1/sources/{id}"}
	updateSource   = operation{"PATCH", "/api/v1/sources/{id}"}
	deleteSource   = operation{"DELETE", "/api/v1/sources/{id}"}
	rotateToken    = operation{"POST", "/api/v1/sources/{id}/rotate-token"}
)

// CreateEndpoint makes an endpoint; the answer has its signing secret, this once.
func (c *Client) CreateEndpoint(ctx context.Context, fields Change) (e Endpoint, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, createEndpoint, nil, nil, fields, &e)
	return e, raw, err
}

// Endpoints lists endpoints. Status may be empty, or name several with commas.
func (c *Client) Endpoints(ctx context.Context, status string, limit int, cursor string) (Page[Endpoint], error) {
	q := url.Values{}
	set(q, "status", status)
	return list[Endpoint](ctx, c, listEndpoints, nil, q, limit, cursor)
}

// Endpoint reads one endpoint.
func (c *Client) Endpoint(ctx context.Context, id string) (e Endpoint, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, readEndpoint, []string{id}, nil, nil, &e)
	return e, raw, err
}

// UpdateEndpoint changes the fields that are given.
func (c *Client) UpdateEndpoint(ctx context.Context, id string, fields Change) (e Endpoint, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, updateEndpoint, []string{id}, nil, fields, &e)
	return e, raw, err
}

// DeleteEndpoint deletes an endpoint; its history stays.
func (c *Client) DeleteEndpoint(ctx context.Context, id string) (e Endpoint, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, deleteEndpoint, []string{id}, nil, nil, &e)
	return e, raw, err
}

// RotateSecret gives an endpoint a new signing secret, which the answer has, this
// once. The old one signs too for the overlap.
func (c *Client) RotateSecret(ctx context.Context, id string, overlap time.Duration) (e Endpoint, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, rotateSecret, []string{id}, nil, Change{"overlap_seconds": int(overlap / time.Second)}, &e)
	return e, raw, err
}

// TestEndpoint sends a webhook.test to an endpoint, through the real delivery path.
func (c *Client) TestEndpoint(ctx context.Context, id string) (e Event, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, testEndpoint, []string{id}, nil, nil, &e)
	return e, raw, err
}

// An AttemptFilter says which attempts of an endpoint are listed. What is empty
// says nothing.
type AttemptFilter struct {
	Status, EventID, Type string
	Final                 string // true, false, or empty: both
	Since, Until          time.Time
}

// Attempts lists the attempts of an endpoint.
func (c *Client) Attempts(ctx context.Context, endpoint string, f AttemptFilter, limit int, cursor string) (Page[Attempt], error) {
	q := url.Values{}
	set(q, "status", f.Status)
	set(q, "event_id", f.EventID)
	set(q, "type", f.Type)
	set(q, "final", f.Final)
	setTime(q, "since", f.Since)
	setTime(q, "until", f.Until)
	return list[Attempt](ctx, c, listAttempts, []string{endpoint}, q, limit, cursor)
}

// Retry delivers the event of an attempt to its endpoint again, now.
func (c *Client) Retry(ctx context.Context, endpoint, attempt string) (r Run, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, retryDelivery, []string{endpoint, attempt}, nil, nil, &r)
	return r, raw, err
}

// CreateReplay starts a replay for an endpoint.
func (c *Client) CreateReplay(ctx context.Context, endpoint string, fields Change) (r Replay, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, createReplay, []string{endpoint}, nil, fields, &r)
	return r, raw, err
}

// DryRunReplay says how much a replay would deliver, and delivers nothing.
func (c *Client) DryRunReplay(ctx context.Context, endpoint string, fields Change) (d DryRun, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, createReplay, []string{endpoint}, url.Values{"dry_run": {"true"}}, fields, &d)
	return d, raw, err
}

// Replays lists replays.
func (c *Client) Replays(ctx context.Context, limit int, cursor string) (Page[Replay], error) {
	return list[Replay](ctx, c, listReplays, nil, nil, limit, cursor)
}

// Replay reads one replay.
func (c *Client) Replay(ctx context.Context, id string) (r Replay, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, readReplay, []string{id}, nil, nil, &r)
	return r, raw, err
}

// CancelReplay cancels a replay.
func (c *Client) CancelReplay(ctx context.Context, id string) (r Replay, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, cancelReplay, []string{id}, nil, nil, &r)
	return r, raw, err
}

// An EventFilter says which events are listed. What is empty says nothing.
type EventFilter struct {
	Type, Status, SourceID, Subject, EndpointID string
	Since, Until                                time.Time
}

// Events lists events.
func (c *Client) Events(ctx context.Context, f EventFilter, limit int, cursor string) (Page[Event], error) {
	q := url.Values{}
	set(q, "type", f.Type)
	set(q, "status", f.Status)
	set(q, "source_id", f.SourceID)
	set(q, "subject", f.Subject)
	set(q, "endpoint_id", f.EndpointID)
	setTime(q, "since", f.Since)
	setTime(q, "until", f.Until)
	return list[Event](ctx, c, listEvents, nil, q, limit, cursor)
}

// Event reads one event with all that became of it. Source names which, if several
// sources sent that id; empty: the newest.
func (c *Client) Event(ctx context.Context, id, source string) (e EventDetail, raw json.RawMessage, err error) {
	q := url.Values{}
	set(q, "source_id", source)
	raw, err = c.call(ctx, readEvent, []string{id}, q, nil, &e)
	return e, raw, err
}

// Publish accepts an event of one's own.
func (c *Client) Publish(ctx context.Context, fields Change) (e Event, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, publishEvent, nil, nil, fields, &e)
	return e, raw, err
}

// CreateSource makes a source.
func (c *Client) CreateSource(ctx context.Context, fields Change) (s Source, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, createSource, nil, nil, fields, &s)
	return s, raw, err
}

// Sources lists sources.
func (c *Client) Sources(ctx context.Context, limit int, cursor string) (Page[Source], error) {
	return list[Source](ctx, c, listSources, nil, nil, limit, cursor)
}

// Source reads one source.
func (c *Client) Source(ctx context.Context, id string) (s Source, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, readSource, []string{id}, nil, nil, &s)
	return s, raw, err
}

// UpdateSource changes the fields that are given.
func (c *Client) UpdateSource(ctx context.Context, id string, fields Change) (s Source, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, updateSource, []string{id}, nil, fields, &s)
	return s, raw, err
}

// DeleteSource deletes a source; its URL stops working.
func (c *Client) DeleteSource(ctx context.Context, id string) (raw json.RawMessage, err error) {
	return c.call(ctx, deleteSource, []string{id}, nil, nil, nil)
}

// RotateToken gives a Sivi source a new URL. The old one works for the overlap.
func (c *Client) RotateToken(ctx context.Context, id string, overlap time.Duration) (s Source, raw json.RawMessage, err error) {
	raw, err = c.call(ctx, rotateToken, []string{id}, nil, Change{"overlap_seconds": int(overlap / time.Second)}, &s)
	return s, raw, err
}
