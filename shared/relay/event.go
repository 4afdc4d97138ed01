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

// An Event is what happened, as it was accepted.
type Event struct {
	ID         string
	Account    string
	Type       string
	Format     Format // of Payload
	SourceID   string // empty for published events and tests of endpoints
	VerifiedBy Verification
	Test       bool
	CreatedAt  time.Time // when it was accepted
	RequestID  string    // the call that brought it
	Payload    Payload

	// Only is the one endpoint that the event is for, whatever that endpoint
	// subscribes to and also while it is disabled: a test. Empty for others.
	Only string

	// Confirm is set when the event is to be checked with Sivi before it is
	// relayed; empty or ConfirmOff otherwise.
	Confirm Confirm
}

// Ref names the event and the time that its list rows are sorted by.
func (e Event) Ref() EventRef { return EventRef{e.Account, e.ID, e.CreatedAt} }

// An EventRef names an event whose record need not be read.
type EventRef struct {
	Account   string
	ID        string
	CreatedAt time.Time
}

// An EventRecord is an event on the store, with what the dispatcher decided
// when it put it there.
type EventRecord struct {
	Event

	// MID is the message that put the event. A message with another one is a
	// duplicate, one with this is a redelivery.
	MID string

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
