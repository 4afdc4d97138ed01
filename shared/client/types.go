package client

import (
	"encoding/json"
	"time"
)

// An Endpoint is a receiver of deliveries. SigningSecret is there once, in the
// answer that made it.
type Endpoint struct {
	ID             string          `json:"id"`
	Name           string          `json:"name"`
	URL            string          `json:"url"`
	EventTypes     []string        `json:"event_types"`
	Status         string          `json:"status"`
	SecretPreview  string          `json:"secret_preview"`
	SigningSecret  string          `json:"signing_secret"`
	LastSuccessAt  *time.Time      `json:"last_success_at"`
	LastFailureAt  *time.Time      `json:"last_failure_at"`
	FailureCount   int             `json:"failure_count"`
	CreatedAt      time.Time       `json:"created_at"`
	RevokedAt      *time.Time      `json:"revoked_at"`
	Format         string          `json:"format"`
	Signatures     []string        `json:"signatures"`
	SourceIDs      []string        `json:"source_ids"`
	DisabledReason *string         `json:"disabled_reason"`
	Health         string          `json:"health"`
	FailingSince   *time.Time      `json:"failing_since"`
	Filter         json.RawMessage `json:"filter"`
	MaxPerSecond   *int            `json:"max_per_second"`
	MaxInFlight    *int            `json:"max_in_flight"`
}

// A Change holds the fields of a body that makes or edits something. Only those
// that are in it are sent.
type Change map[string]any

// An Event is what happened, and how its deliveries stand.
type Event struct {
	ID         string    `json:"id"`
	Type       string    `json:"type"`
	CreatedAt  time.Time `json:"created_at"`
	SourceID   *string   `json:"source_id"`
	Subject    *string   `json:"subject"`
	VerifiedBy string    `json:"verified_by"`
	Test       bool      `json:"test"`
	Status     string    `json:"status"`
}

// An EventDetail is one event with all that became of it.
type EventDetail struct {
	Event
	Payload         json.RawMessage `json:"payload"`
	Deliveries      []Delivery      `json:"deliveries"`
	Unmatched       []Unmatched     `json:"unmatched"`
	OtherSources    []string        `json:"other_sources"`
	Attempts        []Attempt       `json:"attempts"`
	RejectedBecause *string         `json:"rejected_because"`
	Timeline        []Step          `json:"timeline"`
}

// A Delivery is how one event stands with one endpoint.
type Delivery struct {
	EndpointID    string     `json:"endpoint_id"`
	Status        string     `json:"status"`
	Attempts      int        `json:"attempts"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
}

// An Unmatched is an endpoint that does not get an event, and why.
type Unmatched struct {
	EndpointID string          `json:"endpoint_id"`
	Reason     string          `json:"reason"`
	Detail     json.RawMessage `json:"detail"`
}

// A Step is one entry of an event's timeline.
type Step struct {
	At         time.Time `json:"at"`
	What       string    `json:"what"`
	EndpointID *string   `json:"endpoint_id"`
	Attempt    *int      `json:"attempt"`
	Run        *int      `json:"run"`
	Detail     string    `json:"detail"`
}

// An Attempt is one HTTP call of a delivery.
type Attempt struct {
	ID              string          `json:"id"`
	EventID         string          `json:"event_id"`
	EventType       string          `json:"event_type"`
	EndpointID      string          `json:"endpoint_id"`
	Status          string          `json:"status"`
	Final           bool            `json:"final"`
	HTTPStatus      *int            `json:"http_status"`
	Attempt         int             `json:"attempt"`
	Run             int             `json:"run"`
	RequestID       string          `json:"request_id"`
	DurationMS      int64           `json:"duration_ms"`
	ResponseSnippet *string         `json:"response_snippet"`
	Error           *AttemptError   `json:"error"`
	CreatedAt       time.Time       `json:"created_at"`
	NextAttemptAt   *time.Time      `json:"next_attempt_at"`
	Request         *AttemptRequest `json:"request"`
}

// An AttemptError says why an attempt failed.
type AttemptError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// An AttemptRequest is a call as it was sent.
type AttemptRequest struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
}

// A Run is what a retry has started.
type Run struct {
	EventID       string     `json:"event_id"`
	EndpointID    string     `json:"endpoint_id"`
	Run           int        `json:"run"`
	Status        string     `json:"status"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
}

// A Source is one provider account that calls the relay. The ingest URL of a Sivi
// source holds a token: treat it like a password.
type Source struct {
	ID        string    `json:"id"`
	Provider  string    `json:"provider"`
	Name      string    `json:"name"`
	Status    string    `json:"status"`
	IngestURL string    `json:"ingest_url"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// A Replay is a request to deliver again what lies in a range of time.
type Replay struct {
	ID           string     `json:"id"`
	EndpointID   string     `json:"endpoint_id"`
	Status       string     `json:"status"`
	Selection    string     `json:"selection"`
	Since        time.Time  `json:"since"`
	Until        *time.Time `json:"until"`
	MaxPerSecond int        `json:"max_per_second"`
	Started      int        `json:"started"`
	Succeeded    int        `json:"succeeded"`
	Failed       int        `json:"failed"`
	Skipped      int        `json:"skipped"`
	Open         int        `json:"open"`
	CreatedAt    time.Time  `json:"created_at"`
	FinishedAt   *time.Time `json:"finished_at"`
}

// A DryRun is how much a replay would deliver.
type DryRun struct {
	Count int  `json:"count"`
	Exact bool `json:"exact"`
}
