package relay

import "time"

// APIVersion is the api_version of every event.
const APIVersion = "2026-05-11"

// Verification is how we know that an event is true.
type Verification string

// The values of verified_by (contract section 7).
const (
	VerifiedBySignature  Verification = "signature"
	VerifiedByToken      Verification = "token"
	VerifiedByTokenFetch Verification = "token+fetch"
	VerifiedByFetch      Verification = "fetch"
	VerifiedByKey        Verification = "key"
)

// MaxSubject is the most characters that an event's subject may have (contract
// section 1).
const MaxSubject = 256

// An Event is what happened, as it was accepted.
type Event struct {
	ID         string // as it is shown and sent
	Account    string
	Type       string
	Format     Format // of Payload
	SourceID   string // empty for published events and tests of endpoints
	VerifiedBy Verification
	Test       bool
	CreatedAt  time.Time // when it was accepted
	RequestID  string    // the call that brought it
	Payload    Payload

	// Key is what the stores know the event by, and what everything that hangs
	// on it refers to: EventKey of its source and ID where the provider chose
	// the ID, so that no source can keep another's events out (contract section
	// 1). It is empty where the ID alone is the key.
	Key string

	// Subject is what the event is about, such as a generation's or a Sivi
	// request's identifier: at most MaxSubject characters, empty where there is
	// none.
	Subject string
	// TraceParent is the W3C traceparent header of the call that brought the
	// event; empty if it had no well-formed one. Each delivery sends it on.
	TraceParent string
	// Passes is how often the event has gone through Hookferry before, as the
	// call that brought it proved; 0 for an event that has not.
	Passes int

	// Only is the one endpoint that the event is for, whatever that endpoint
	// subscribes to and also while it is disabled: a test. Empty for others.
	Only string

	// Confirm is set when the event is to be checked with Sivi before it is
	// relayed; empty or ConfirmOff otherwise.
	Confirm Confirm
}

// Ref names the event and the time that its list rows are sorted by.
func (e Event) Ref() EventRef {
	key := e.Key
	if key == "" {
		key = e.ID
	}
	return EventRef{e.Account, key, e.CreatedAt}
}

// SetKey sets the key, and the ID that follows from it. Stores use it to read
// back what Ref gave.
func (e *Event) SetKey(key string) {
	id, source := CutEventKey(key)
	e.ID, e.Key = id, ""
	if source != "" {
		e.Key = key
	}
}

// An EventRef names an event whose record need not be read.
type EventRef struct {
	Account   string
	ID        string // the event's key: Event.Key, or its ID where that is empty
	CreatedAt time.Time
}

// An EventRecord is an event on the store, with what the dispatcher decided
// when it put it there.
type EventRecord struct {
	Event

	// MID is the message that put the event. A message with another one is a
	// duplicate, one with this is a redelivery.
	MID string

	// RecordedAt is when the dispatcher put the event; zero on records of earlier
	// versions.
	RecordedAt time.Time

	// Answer is how the question to Sivi about the event was settled; zero while it
	// is not, and for events that Sivi is not asked about.
	Answer Answer

	// ClaimedUntil is until when the invocation that put the event, or took it
	// over, works on it alone.
	ClaimedUntil time.Time

	// Matched are the endpoints that get a delivery, among them those that are
	// recorded as skipped because they are disabled.
	Matched []string

	// Unmatched are the account's other live endpoints, and the disabled ones.
	Unmatched []Unmatched

	// Runs are the manual retries and replays by endpoint; none: run 0 alone.
	Runs map[string]Run
}

// MaxAnswer is how many bytes of what Sivi answered are kept.
const MaxAnswer = 512

// An Answer settles whether an event that Sivi was asked about is true.
type Answer struct {
	At time.Time
	// Outcome is DeliverySucceeded when Sivi confirmed the event, DeliveryRejected
	// when it is not relayed, and DeliverySkipped when Sivi could not be asked and
	// the event is relayed all the same.
	Outcome DeliveryStatus
	// Said is one sentence about what Sivi answered, at most MaxAnswer bytes.
	Said string
}

// Unmatched is an endpoint that an event did not go to.
type Unmatched struct {
	EndpointID string
	Reason     Mismatch
}

// A Run is the latest sequence of attempts of a delivery.
type Run struct {
	Number int
	// Token makes starting a run repeatable: the same token gives the same run.
	Token string
	// StartedAt is when its first attempt is due.
	StartedAt time.Time
}

// Latest returns the number of the endpoint's latest run.
func (r EventRecord) Latest(endpoint string) int { return r.Runs[endpoint].Number }

// EventStatus sums up an event's deliveries (contract section 3).
type EventStatus string

// The statuses of an event.
const (
	EventPending   EventStatus = "pending"
	EventDelivered EventStatus = "delivered"
	EventFailed    EventStatus = "failed"
	EventSkipped   EventStatus = "skipped"
	EventUnmatched EventStatus = "unmatched"
	EventRejected  EventStatus = "rejected"
)

// StatusOf returns the status of an event with these deliveries, each as its
// latest run left it: any failed, failed; else any still open, pending; else
// any succeeded, delivered; else any skipped, skipped; none, unmatched. A
// confirmation that is open makes it pending, one that was refused, rejected; one
// that was skipped (Sivi could not be asked, and the event was relayed all the
// same) leaves it to the deliveries.
func StatusOf(deliveries []Delivery) EventStatus {
	var failed, open, succeeded, skipped bool
	for _, d := range deliveries {
		if d.EndpointID == Confirmation {
			switch d.Status {
			case DeliveryRejected:
				return EventRejected
			case DeliverySucceeded, DeliverySkipped:
			default:
				return EventPending
			}
			continue
		}
		switch d.Status {
		case DeliveryFailed:
			failed = true
		case DeliveryPending, DeliveryRetrying:
			open = true
		case DeliverySucceeded:
			succeeded = true
		case DeliverySkipped:
			skipped = true
		}
	}
	switch {
	case failed:
		return EventFailed
	case open:
		return EventPending
	case succeeded:
		return EventDelivered
	case skipped:
		return EventSkipped
	}
	return EventUnmatched
}

// An EventSummary is an event as a list shows it, without payload and matches.
type EventSummary struct {
	Event
	Status EventStatus
}
