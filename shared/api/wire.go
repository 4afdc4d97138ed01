package api

import (
	"encoding/json"
	"slices"
	"time"

	"hookferry/shared/recipe"
	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

// The JSON forms. The order of fields is that of the contract; a field that has
// no value is null, never left out, but for secrets, which are shown once.

// moment is a time, or null.
type moment time.Time

// MarshalJSON returns the time in milliseconds, or null for the zero time.
func (m moment) MarshalJSON() ([]byte, error) {
	if time.Time(m).IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(relay.FormatTime(time.Time(m)))
}

// textOrNull is nil for the empty string.
func textOrNull[T ~string](s T) *string {
	if s == "" {
		return nil
	}
	text := string(s)
	return &text
}

type wireEndpoint struct {
	ID            string         `json:"id"`
	Object        string         `json:"object"`
	Name          string         `json:"name"`
	URL           string         `json:"url"`
	EventTypes    []string       `json:"event_types"`
	Status        relay.Status   `json:"status"`
	SecretPreview string         `json:"secret_preview"`
	SigningSecret string         `json:"signing_secret,omitempty"`
	LastSuccessAt moment         `json:"last_success_at"`
	LastFailureAt moment         `json:"last_failure_at"`
	FailureCount  int            `json:"failure_count"`
	CreatedAt     moment         `json:"created_at"`
	UpdatedAt     moment         `json:"updated_at"`
	DisabledAt    moment         `json:"disabled_at"`
	RevokedAt     moment         `json:"revoked_at"`
	Format        relay.Format   `json:"format"`
	Signatures    []relay.Scheme `json:"signatures"`
	SourceIDs     []string       `json:"source_ids"`
	Reason        *string        `json:"disabled_reason"`
	Health        relay.Health   `json:"health"`
	FailingSince  moment         `json:"failing_since"`
	// Filter is the pattern in its canonical form, or null.
	Filter json.RawMessage `json:"filter"`
	// OldSecretUntil is until when the secret before the last rotation signs too.
	OldSecretUntil moment `json:"old_secret_until"`
}

func (s *server) endpointWire(e relay.Endpoint, n relay.Counters) wireEndpoint {
	pattern := json.RawMessage("null")
	if e.Filter != "" {
		pattern = json.RawMessage(e.Filter)
	}
	return wireEndpoint{
		Filter: pattern, ID: e.ID, Object: "webhook_endpoint", Name: e.Name, URL: e.URL,
		EventTypes: orEmpty(e.EventTypes), Status: e.Status, SecretPreview: e.SecretPreview,
		LastSuccessAt: moment(n.LastSuccessAt), LastFailureAt: moment(n.LastFailureAt), FailureCount: n.FailureCount,
		CreatedAt: moment(e.CreatedAt), UpdatedAt: moment(e.UpdatedAt), DisabledAt: moment(e.DisabledAt),
		RevokedAt: moment(e.RevokedAt), Format: e.Format, Signatures: orEmpty(e.Signatures),
		SourceIDs: orEmpty(e.SourceIDs), Reason: textOrNull(e.DisabledReason), Health: n.Health(s.FailingAfter), FailingSince: moment(n.FailingSince),
		OldSecretUntil: moment(e.OldSecretUntil),
	}
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

type wireAttempt struct {
	ID              string              `json:"id"`
	Object          string              `json:"object"`
	EventID         string              `json:"event_id"`
	EventType       string              `json:"event_type"`
	EndpointID      string              `json:"endpoint_id"`
	Status          relay.AttemptStatus `json:"status"`
	Final           bool                `json:"final"`
	HTTPStatus      *int                `json:"http_status"`
	Attempt         int                 `json:"attempt"`
	Run             int                 `json:"run"`
	RequestID       string              `json:"request_id"`
	DurationMS      int64               `json:"duration_ms"`
	ResponseSnippet *string             `json:"response_snippet"`
	Error           *wireAttemptError   `json:"error"`
	CreatedAt       moment              `json:"created_at"`
	NextAttemptAt   moment              `json:"next_attempt_at"`
}

type wireAttemptError struct {
	Code    relay.ErrorCode `json:"code"`
	Message string          `json:"message"`
}

func attemptWire(a relay.Attempt) wireAttempt {
	shown, _ := relay.CutEventKey(a.EventID)
	w := wireAttempt{
		ID: a.ID, Object: "webhook_delivery", EventID: shown, EventType: a.EventType,
		EndpointID: a.EndpointID, Status: a.Status, Final: a.Final, Attempt: a.Number, Run: a.Run, RequestID: a.RequestID,
		DurationMS: a.Duration.Milliseconds(), CreatedAt: moment(a.CreatedAt), NextAttemptAt: moment(a.NextAttemptAt),
	}
	if a.HTTPStatus != 0 {
		w.HTTPStatus, w.ResponseSnippet = &a.HTTPStatus, &a.Snippet
	}
	if a.ErrorCode != "" {
		w.Error = &wireAttemptError{a.ErrorCode, a.ErrorMessage}
	}
	return w
}

type wireEvent struct {
	ID         string             `json:"id"`
	Object     string             `json:"object"`
	Type       string             `json:"type"`
	APIVersion string             `json:"api_version"`
	CreatedAt  moment             `json:"created_at"`
	SourceID   *string            `json:"source_id"`
	VerifiedBy relay.Verification `json:"verified_by"`
	Subject    *string            `json:"subject"`
	Test       bool               `json:"test"`
	Status     relay.EventStatus  `json:"status"`
}

func eventWire(e relay.EventSummary) wireEvent {
	return wireEvent{
		ID: e.ID, Object: "webhook_event", Type: e.Type, APIVersion: relay.APIVersion,
		CreatedAt: moment(e.CreatedAt), SourceID: textOrNull(e.SourceID), Subject: textOrNull(e.Subject), VerifiedBy: e.VerifiedBy, Test: e.Test, Status: e.Status,
	}
}

type wireEventDetail struct {
	wireEvent
	Payload    any             `json:"payload"`
	Deliveries []wireDelivery  `json:"deliveries"`
	Unmatched  []wireUnmatched `json:"unmatched"`
	// OtherSources are the sources that sent another event of the same ID.
	OtherSources []string `json:"other_sources"`
	WebhookID    string   `json:"webhook_id"`
	// RejectedBecause is what Sivi answered about an event that is not relayed.
	RejectedBecause *string             `json:"rejected_because"`
	Attempts        []wireEventAttempt  `json:"attempts"`
	Timeline        []wireTimelineEntry `json:"timeline"`
}

// wireEventAttempt is an attempt with the request as it was sent; null if no call
// was made, or none is on record.
type wireEventAttempt struct {
	wireAttempt
	Request *wireRequest `json:"request"`
}

type wireRequest struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
}

func eventAttemptWire(a relay.Attempt, ev relay.Event) wireEventAttempt {
	w := wireEventAttempt{wireAttempt: attemptWire(a)}
	if sent := signature.Sent(a, ev); sent != nil {
		w.Request = &wireRequest{URL: a.URL, Headers: map[string]string{}}
		for name := range sent {
			w.Request.Headers[name] = sent.Get(name)
		}
	}
	return w
}

type wireDelivery struct {
	EndpointID    string               `json:"endpoint_id"`
	Status        relay.DeliveryStatus `json:"status"`
	Attempts      int                  `json:"attempts"`
	NextAttemptAt moment               `json:"next_attempt_at"`
}

func deliveryWire(d relay.Delivery) wireDelivery {
	w := wireDelivery{EndpointID: d.EndpointID, Status: d.Status, Attempts: d.Attempts, NextAttemptAt: moment(d.ActAt())}
	if d.Status == relay.DeliverySkipped {
		w.Attempts = max(0, d.Attempts-1) // a skipped attempt made no call
	}
	return w
}

type wireUnmatched struct {
	EndpointID string         `json:"endpoint_id"`
	Reason     relay.Mismatch `json:"reason"`
	// Detail says how the filter fared, if it is why and is still the same.
	Detail *wireExplanation `json:"detail"`
}

type wireKey struct {
	ID        string        `json:"id"`
	Object    string        `json:"object"`
	Name      string        `json:"name"`
	Prefix    string        `json:"prefix"`
	APIKey    string        `json:"api_key,omitempty"`
	Notice    string        `json:"notice,omitempty"` // why there is no api_key where one is looked for
	Scopes    []relay.Scope `json:"scopes"`
	CreatedBy *string       `json:"created_by"`
	CreatedAt moment        `json:"created_at"`
	ExpiresAt moment        `json:"expires_at"`
	RevokedAt moment        `json:"revoked_at"`
}

func keyWire(k relay.Key) wireKey {
	return wireKey{
		ID: k.ID, Object: "api_key", Name: k.Name, Prefix: k.Prefix, Scopes: orEmpty(slices.Clone(k.Scopes)), CreatedBy: textOrNull(k.CreatedBy()),
		CreatedAt: moment(k.CreatedAt), ExpiresAt: moment(k.ExpiresAt), RevokedAt: moment(k.RevokedAt),
	}
}

type wireSource struct {
	ID        string         `json:"id"`
	Object    string         `json:"object"`
	Provider  relay.Provider `json:"provider"`
	Name      string         `json:"name"`
	Status    relay.Status   `json:"status"`
	IngestURL string         `json:"ingest_url"`
	CreatedAt moment         `json:"created_at"`
	UpdatedAt moment         `json:"updated_at"`

	// Whether a secret is stored, and how a Sivi source is confirmed; each
	// provider shows its own.
	SecretSet *bool          `json:"signing_secret_set,omitempty"`
	APIKeySet *bool          `json:"sivi_api_key_set,omitempty"`
	API       string         `json:"sivi_api,omitempty"`
	Confirm   *relay.Confirm `json:"confirm,omitempty"`

	// Sources of standard and hmac. The sample is of one source's answer alone,
	// and left out of a list.
	PublicKeys *[]string        `json:"public_keys,omitempty"`
	Recipe     json.RawMessage  `json:"recipe,omitempty"`
	Sample     *recipe.Computed `json:"sample,omitempty"`
}

type wireExpectation struct {
	Object    string  `json:"object"`
	SourceID  string  `json:"source_id"`
	RequestID string  `json:"request_id"`
	Status    string  `json:"status"` // waiting, resolved, given_up
	Asked     int     `json:"asked"`
	NextAskAt moment  `json:"next_ask_at"`
	GiveUpAt  moment  `json:"give_up_at"`
	EventID   *string `json:"event_id"`
	CreatedAt moment  `json:"created_at"`
}

func expectationWire(x relay.Expectation) wireExpectation {
	w := wireExpectation{
		Object: "expectation", SourceID: x.SourceID, RequestID: x.RequestID, Status: "waiting",
		Asked: x.Asked, NextAskAt: moment(x.NextAt), GiveUpAt: moment(x.GiveUpAt), EventID: textOrNull(x.EventID), CreatedAt: moment(x.CreatedAt),
	}
	switch {
	case x.EventID != "":
		w.Status, w.NextAskAt = "resolved", moment{}
	case x.GaveUp:
		w.Status, w.NextAskAt = "given_up", moment{}
	}
	return w
}

type wireReplay struct {
	ID           string             `json:"id"`
	Object       string             `json:"object"`
	EndpointID   string             `json:"endpoint_id"`
	Status       relay.ReplayStatus `json:"status"`
	Selection    string             `json:"selection"`
	Since        moment             `json:"since"`
	Until        moment             `json:"until"`
	MaxPerSecond int                `json:"max_per_second"`
	Started      int                `json:"started"`
	Succeeded    int                `json:"succeeded"`
	Failed       int                `json:"failed"`
	Skipped      int                `json:"skipped"`
	Open         int                `json:"open"`
	CountedAt    moment             `json:"counted_at"`
	CreatedAt    moment             `json:"created_at"`
	UpdatedAt    moment             `json:"updated_at"`
	FinishedAt   moment             `json:"finished_at"`
}

func replayWire(r relay.Replay) wireReplay {
	selection := r.Select
	if selection == selectBad {
		selection = "failed_or_skipped"
	}
	return wireReplay{
		ID: r.ID, Object: "webhook_replay", EndpointID: r.EndpointID, Status: r.Status, Selection: selection,
		Since: moment(r.Since), Until: moment(r.Until), MaxPerSecond: r.MaxPerSecond, Started: r.Started,
		Succeeded: r.Succeeded, Failed: r.Failed, Skipped: r.Skipped, Open: r.Open, CountedAt: moment(r.CountedAt),
		CreatedAt: moment(r.CreatedAt), UpdatedAt: moment(r.UpdatedAt), FinishedAt: moment(r.FinishedAt),
	}
}
