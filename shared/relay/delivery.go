package relay

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// DeliveryStatus is how far a delivery's latest run has come.
type DeliveryStatus string

// The statuses of a delivery. DeliveryRejected is a confirmation's alone.
const (
	DeliveryPending   DeliveryStatus = "pending"  // nothing tried yet
	DeliveryRetrying  DeliveryStatus = "retrying" // failed, and tried again later
	DeliverySucceeded DeliveryStatus = "succeeded"
	DeliveryFailed    DeliveryStatus = "failed"
	DeliverySkipped   DeliveryStatus = "skipped"
	DeliveryRejected  DeliveryStatus = "rejected"
)

// Confirmation stands in a Delivery's EndpointID for the check of a Sivi event
// that comes before its deliveries, so that it is kept, shown as pending and
// found when overdue like they are.
const Confirmation = "confirmation"

// A Delivery is one event to one endpoint, as its latest run stands.
type Delivery struct {
	EndpointID string
	Run        int
	// Attempts is the number of the last attempt on record in this run, a
	// skipped one included; 0 before the first.
	Attempts int
	Status   DeliveryStatus
	// NextAttemptAt is when the next attempt is due; zero when none is.
	NextAttemptAt time.Time
	// NotBefore is until when the next attempt is held back, because its
	// endpoint is degraded or takes no more at a time; zero when it is not held.
	// It never changes which attempt is next: NextAttemptAt names that.
	NotBefore time.Time
}

// ActAt returns when the next attempt is made at the earliest: the later of
// NextAttemptAt and NotBefore, zero when none is to come.
func (d Delivery) ActAt() time.Time {
	if d.NotBefore.After(d.NextAttemptAt) {
		return d.NotBefore
	}
	return d.NextAttemptAt
}

// Open reports whether an attempt is still to come.
func (d Delivery) Open() bool {
	return d.Status == DeliveryPending || d.Status == DeliveryRetrying
}

// Before reports whether d is an earlier state of the delivery than next, or
// the same step of it. A store replaces what it has only by what it is before.
func (d Delivery) Before(next Delivery) bool {
	return d.Progress() <= next.Progress()
}

// Progress is a number that grows with each step of a delivery: the run in the
// upper, the attempts in the lower 16 bits.
func (d Delivery) Progress() int64 { return int64(d.Run)<<16 | int64(d.Attempts) }

// AttemptStatus is how an attempt ended.
type AttemptStatus string

// The statuses of an attempt. A skipped one made no call.
const (
	AttemptSucceeded AttemptStatus = "succeeded"
	AttemptFailed    AttemptStatus = "failed"
	AttemptSkipped   AttemptStatus = "skipped"
)

// ErrorCode says why an attempt failed or was skipped.
type ErrorCode string

// The codes of contract section 3.
const (
	CodeTimeout          ErrorCode = "timeout"
	CodeDNSFailure       ErrorCode = "dns_failure"
	CodeConnectionFailed ErrorCode = "connection_failed"
	CodeTLSFailure       ErrorCode = "tls_failure"
	CodeRedirect         ErrorCode = "redirect"
	CodeHTTPError        ErrorCode = "http_error"
	CodeAddressBlocked   ErrorCode = "address_blocked"
	CodeEndpointDisabled ErrorCode = "endpoint_disabled"

	// CodeCancelled: the replay that started the run was cancelled before the
	// run made a call.
	CodeCancelled ErrorCode = "cancelled"
	// CodeExpired: the delivery was held back until GiveUpAfter had passed.
	CodeExpired ErrorCode = "expired"
	// CodeLoop: the event has passed through Hookferry too often.
	CodeLoop ErrorCode = "loop"
	// CodePayloadUnreadable: the stored body cannot be opened any more.
	CodePayloadUnreadable ErrorCode = "payload_unreadable"
	// CodeFormat: the body has no form in the endpoint's format.
	CodeFormat ErrorCode = "format"
)

// MaxSnippet is the most bytes of an answer that an attempt keeps.
const MaxSnippet = 1024

// MaxSuccessSnippet is the same for a success, whose record must stay within
// one write unit of 1 KB.
const MaxSuccessSnippet = 256

// MaxRecordedURL is how many bytes of the URL an attempt's record keeps, so that
// the record of a success stays within one write unit.
const MaxRecordedURL = 200

// An Attempt is one call of a delivery, as it is recorded: once, and never
// changed. Its ID is computed by AttemptID.
type Attempt struct {
	ID         string
	Account    string
	EventID    string // the event's key, as EventRef has it
	EventType  string
	EndpointID string
	Run        int
	Number     int // 1 to 5 in the default schedule
	Status     AttemptStatus
	// Final: no attempt of this run follows.
	Final         bool
	HTTPStatus    int // 0 when there was no answer
	RequestID     string
	Duration      time.Duration
	Snippet       string    // the answer's first bytes, valid UTF-8
	ErrorCode     ErrorCode // empty when it succeeded
	ErrorMessage  string    // carries no internal address and no secret
	DueAt         time.Time
	CreatedAt     time.Time // when it was started
	NextAttemptAt time.Time // zero when it is final

	// MID is the message that the attempt was made for.
	MID string
	// EventCreatedAt finds the event's list rows.
	EventCreatedAt time.Time

	// URL is where the call went, cut to MaxRecordedURL bytes; empty when no
	// call was made, and on records of earlier versions.
	URL string
	// Signatures are the values of the signature headers as they were sent, one
	// a line, each as "Header-Name: value"; empty when no call was made.
	Signatures string
}

// NewestAttempts sorts attempts, the last that was due first, and returns at most
// limit of them.
func NewestAttempts(attempts []Attempt, limit int) []Attempt {
	slices.SortFunc(attempts, func(a, b Attempt) int {
		return cmp.Or(b.DueAt.Compare(a.DueAt), strings.Compare(b.EndpointID, a.EndpointID), strings.Compare(b.ID, a.ID))
	})
	return attempts[:min(limit, len(attempts))]
}

// Delivery returns the state of the delivery after the attempt.
func (a Attempt) Delivery() Delivery {
	d := Delivery{EndpointID: a.EndpointID, Run: a.Run, Attempts: a.Number, NextAttemptAt: a.NextAttemptAt}
	switch {
	case a.Status == AttemptSucceeded:
		d.Status = DeliverySucceeded
	case a.Status == AttemptSkipped:
		d.Status = DeliverySkipped
	case a.Final:
		d.Status = DeliveryFailed
	default:
		d.Status = DeliveryRetrying
	}
	return d
}
