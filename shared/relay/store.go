package relay

import (
	"context"
	"slices"
	"time"
)

// Store is everything durable but the queues. Its implementations are DynamoDB
// and SQLite; it promises only what both keep:
//
//   - A write that returned nil is durable. A write that returned an error may
//     or may not have taken effect, unless the error is one of this package's.
//   - Reads are consistent where their comment says so. Others may miss writes
//     of the last second; a method with a cache in front (LiveEndpoints,
//     IngestSource, KeyByHash) those of the last 5 seconds.
//   - Events, attempts and what hangs on them vanish after the retention time,
//     idempotency records at their ExpiresAt. Nothing expired is ever returned.
//   - Lists are newest first. A page may be short, even empty, and still have a
//     next one: at most MaxExamined items are looked at for one page.
//
// Everything takes the account and finds nothing of another. It is safe for
// concurrent use.
type Store interface {
	AccountStore
	EndpointStore
	SourceStore
	EventStore
	AttemptStore
	ReplayStore
	RefusalStore
	ActivityStore
}

// MaxExamined is the most items that are looked at for one page of a list.
const MaxExamined = 1000

// A Page is the part of a list that is asked for.
type Page struct {
	Limit int    // 1 to 100
	After string // the position that the page before gave as next; empty: the first
}

// AccountStore keeps accounts, keys and idempotency records.
type AccountStore interface {
	// CreateAccount puts an account; ErrExists if its name is taken.
	CreateAccount(ctx context.Context, a Account) error
	// AccountByName is consistent; ErrNotFound.
	AccountByName(ctx context.Context, name string) (Account, error)
	// Accounts lists every account, oldest first.
	Accounts(ctx context.Context, p Page) (accounts []Account, next string, err error)

	// CreateKey puts a key; ErrLimit if the account has limit live ones,
	// which are those that are neither revoked nor expired; ErrRevoked if one of
	// its Ancestors is revoked or gone. Of two concurrent calls, one that makes
	// a key and one that revokes its ancestor, either the first fails or the
	// second comes after it. The limit does not hold for a Hidden key, which is
	// found by its hash alone and vanishes some time after it has expired.
	// ErrExists if its ID is taken.
	CreateKey(ctx context.Context, k Key, limit int) error
	// KeyByHash returns a key, revoked and expired ones too; ErrNotFound.
	KeyByHash(ctx context.Context, h KeyHash) (Key, error)
	// Key is consistent; ErrNotFound.
	Key(ctx context.Context, account, id string) (Key, error)
	// Keys lists an account's keys, revoked ones too. It is consistent, so that a
	// cascade sees every key that was made before its first revocation.
	Keys(ctx context.Context, account string, p Page) (keys []Key, next string, err error)
	// RevokeKey marks a key revoked and returns it; revoking again changes
	// nothing. ErrNotFound. ErrLastKey if no other key of the account that is
	// live at the time, and never expires, carries keep; an empty keep asks for nothing. Of two
	// concurrent calls that would together leave none, one fails.
	RevokeKey(ctx context.Context, account, id string, at time.Time, keep Scope) (Key, error)

	// PutIdempotency records what a key stands for, unless an unexpired record
	// is there, which it then returns.
	PutIdempotency(ctx context.Context, r Idempotency) (existing *Idempotency, err error)
}

// Idempotency is what an Idempotency-Key was used for.
type Idempotency struct {
	Account   string
	Key       KeyHash // SHA-256 of the key's text
	Body      KeyHash // SHA-256 of the request's body
	EventID   string  // the event, or another object, that the call makes
	CreatedAt time.Time
	ExpiresAt time.Time

	// Route is the call that the key was used with, such as POST
	// /api/v1/webhooks; empty for publishing an event. A record holds for its
	// own route alone.
	Route string
	// KeyID is the API key that made the call, who alone is shown a secret
	// again; empty for publishing an event.
	KeyID string
}

// EndpointStore keeps endpoints and their counters.
type EndpointStore interface {
	// CreateEndpoint puts an endpoint with version 1. ErrLimit if the account
	// has limit live ones; ErrExists if its ID is taken, by a deleted one too for
	// as long as that is kept, or if a live one has the same KeyID.
	CreateEndpoint(ctx context.Context, e Endpoint, limit int) error
	// UpdateEndpoint replaces the endpoint of the same ID if its version is
	// still e.Version, which it then raises by one. ErrConflict; ErrNotFound;
	// ErrExists as CreateEndpoint. A deleted endpoint leaves LiveEndpoints, no
	// longer counts, and frees its KeyID.
	UpdateEndpoint(ctx context.Context, e Endpoint) error
	// Endpoint is consistent and returns deleted ones too; ErrNotFound.
	Endpoint(ctx context.Context, account, id string) (Endpoint, error)
	// Endpoints lists an account's endpoints, deleted ones too.
	Endpoints(ctx context.Context, account string, p Page) (endpoints []Endpoint, next string, err error)
	// LiveEndpoints returns all endpoints of an account that are not deleted,
	// in no order.
	LiveEndpoints(ctx context.Context, account string) ([]Endpoint, error)

	// Counters returns the counters of each endpoint, zero where none are kept.
	Counters(ctx context.Context, endpoints ...string) (map[string]Counters, error)
	// AddOutcomes applies outcomes to the counters and returns the result. Two
	// concurrent calls both count.
	AddOutcomes(ctx context.Context, endpoint string, o Outcomes) (Counters, error)
	// ResetCounters sets FailureCount and Timeouts to 0 and FailingSince to zero.
	ResetCounters(ctx context.Context, endpoint string) error
	// TakeMark sets a mark of an endpoint's counters to a time if it is not after
	// free, or was never set, and reports whether it did. Of two concurrent calls
	// with to after free, one does.
	TakeMark(ctx context.Context, endpoint string, m Mark, free, to time.Time) (bool, error)
}

// SourceStore keeps sources and what is expected of them.
type SourceStore interface {
	// CreateSource puts a source with version 1; ErrLimit if the account has
	// limit of them.
	CreateSource(ctx context.Context, s Source, limit int) error
	// UpdateSource works as UpdateEndpoint does.
	UpdateSource(ctx context.Context, s Source) error
	// DeleteSource removes a source and what is expected of it; ErrNotFound.
	DeleteSource(ctx context.Context, account, id string) error
	// Source is consistent; ErrNotFound.
	Source(ctx context.Context, account, id string) (Source, error)
	// Sources lists an account's sources.
	Sources(ctx context.Context, account string, p Page) (sources []Source, next string, err error)
	// IngestSource returns a source by its ID alone; ErrNotFound.
	IngestSource(ctx context.Context, id string) (Source, error)

	// PutExpectation records an expectation unless there is one for the same
	// source and request, which it then returns. ErrLimit if the source has
	// limit unresolved ones, which may be judged by a count some seconds old.
	PutExpectation(ctx context.Context, x Expectation, limit int) (existing *Expectation, err error)
	// Expectation is consistent; ErrNotFound.
	Expectation(ctx context.Context, source, request string) (Expectation, error)
	// Expectations lists a source's expectations, the newest first.
	Expectations(ctx context.Context, source string, p Page) (xs []Expectation, next string, err error)
	// UpdateExpectation sets Asked, NextAt, GaveUp and Queued of one that is not
	// resolved and whose Asked is still asked; ErrNotFound if it is gone,
	// ErrConflict otherwise.
	UpdateExpectation(ctx context.Context, x Expectation, asked int) error
	// ResolveExpectation sets EventID if it is empty, and returns the
	// expectation as it then is: if its EventID is another, the event is a
	// duplicate. ErrNotFound if nothing is expected.
	ResolveExpectation(ctx context.Context, source, request, event string) (Expectation, error)
	// DeleteExpectation removes one; one that is gone is no error.
	DeleteExpectation(ctx context.Context, source, request string) error
}

// EventStore keeps events and the state of their deliveries.
//
// An event is put with PutEvent before its first attempts and with ListEvent
// after them; between the two it can be read but is not listed. Deliveries are
// kept apart from the event, and only of events with a delivery that did not
// succeed at the first attempt or was run again.
type EventStore interface {
	// PutEvent puts the event if the account has none with its key, else returns
	// the one that is there, read consistently.
	PutEvent(ctx context.Context, r EventRecord) (existing *EventRecord, err error)
	// ClaimEvent sets ClaimedUntil to until if it still is from; ErrConflict. That
	// may also answer a claim that took effect and that another has followed, if
	// the answer was lost on the way: the event is the other's in any case.
	ClaimEvent(ctx context.Context, ref EventRef, from, until time.Time) error
	// ConfirmEvent records how the question to Sivi was settled, while ClaimedUntil
	// is still claimed; ErrConflict. If Sivi confirmed the event, body takes the
	// place of the event's and the event is marked as fetched. Repeating it is
	// harmless.
	ConfirmEvent(ctx context.Context, ref EventRef, claimed time.Time, a Answer, body Payload) error
	// Event returns an event by its key; consistent says how. ErrNotFound.
	Event(ctx context.Context, account, key string, consistent bool) (EventRecord, error)
	// EventsByID returns the events of an account that have this ID, one for each
	// source that sent it, the newest first; none is no error. It is consistent.
	EventsByID(ctx context.Context, account, id string) ([]EventRecord, error)

	// ListEvent puts the event on its account's list with the deliveries as the
	// first attempts left them, and keeps the deliveries if any did not
	// succeed; with none the event is unmatched. Repeating it is harmless: it
	// never sets a delivery back (Delivery.Before).
	ListEvent(ctx context.Context, ev Event, deliveries []Delivery) error
	// SaveDelivery sets one delivery of a listed or unlisted event, unless it
	// has come further.
	SaveDelivery(ctx context.Context, ref EventRef, d Delivery) error
	// Deliveries returns the state of an event's deliveries, and whether the
	// event is listed. Of an event that is not listed it returns what is kept;
	// of one whose deliveries are not kept, all matched ones as succeeded at
	// the first attempt. It is consistent.
	Deliveries(ctx context.Context, r EventRecord) (ds []Delivery, listed bool, err error)
	// StartRun begins a new run of a delivery at a time, in one step: the event
	// gets the run, the delivery is pending with Attempts 0 and due at, and it
	// is found when overdue. The last attempt of the run before, if another was
	// to follow, is marked final. If the delivery's latest run has this token, that
	// run is returned and nothing changes. ErrNotFound if the event is gone.
	StartRun(ctx context.Context, account, event, endpoint, token string, at time.Time) (Run, error)
	// Events lists an account's events that fit the filter.
	Events(ctx context.Context, account string, f EventFilter, p Page) (events []EventSummary, next string, err error)
	// OpenDeliveries lists the deliveries to an endpoint that are open and have a
	// time for their next attempt, of events accepted from since to until
	// (exclusive), the newest event first.
	OpenDeliveries(ctx context.Context, account, endpoint string, since, until time.Time, p Page) (open []Overdue, next string, err error)
	// Overdue lists deliveries of all accounts that are open and whose
	// NextAttemptAt is before t, in no order. Pages may be empty.
	Overdue(ctx context.Context, t time.Time, p Page) (late []Overdue, next string, err error)
}

// EventFilter selects events; a zero field selects all.
type EventFilter struct {
	Types    []string // names, or prefixes like order.*; any of them
	Statuses []EventStatus
	SourceID string
	Subject  string
	// EndpointID selects events that an endpoint was matched with.
	EndpointID string
	Since      time.Time // inclusive
	Until      time.Time // exclusive
}

// Fits reports whether an event that was matched with these endpoints fits all of
// the filter but status and time.
func (f EventFilter) Fits(ev Event, endpoints []string) bool {
	return TypeFits(f.Types, ev.Type) && (f.SourceID == "" || f.SourceID == ev.SourceID) &&
		(f.Subject == "" || f.Subject == ev.Subject) && (f.EndpointID == "" || slices.Contains(endpoints, f.EndpointID))
}

// Wants reports whether the filter selects events of a status.
func (f EventFilter) Wants(status EventStatus) bool {
	return len(f.Statuses) == 0 || slices.Contains(f.Statuses, status)
}

// EndpointsOf returns the endpoints of an event's deliveries.
func EndpointsOf(deliveries []Delivery) (ids []string) {
	for _, d := range deliveries {
		if d.EndpointID != Confirmation {
			ids = append(ids, d.EndpointID)
		}
	}
	return ids
}

// Unfinished reports whether the replay has steps to come.
func (r Replay) Unfinished() bool {
	return r.Status == ReplayRunning || r.Status == ReplayDraining
}

// Overdue is a delivery whose next attempt should have been made, or that is
// open.
type Overdue struct {
	Event    EventRef
	Delivery Delivery
}

// AttemptStore keeps attempts.
type AttemptStore interface {
	// RecordAttempt puts an attempt if there is none with its ID, else returns
	// the one that is there, read consistently, and makes sure that every list
	// has it.
	RecordAttempt(ctx context.Context, a Attempt) (existing *Attempt, err error)
	// Attempt is consistent; ErrNotFound.
	Attempt(ctx context.Context, account, endpoint, id string) (Attempt, error)
	// Attempts lists an endpoint's attempts that fit the filter, by the time
	// they were due.
	Attempts(ctx context.Context, endpoint string, f AttemptFilter, p Page) (attempts []Attempt, next string, err error)
	// EventAttempts returns the attempts of an event at the endpoints, the newest
	// first, and no more than limit. Of a delivery with very many runs it may know
	// the first and the last of them alone. ErrNotFound if the event is gone.
	EventAttempts(ctx context.Context, ref EventRef, endpoints []string, limit int) ([]Attempt, error)
	// EndAttempt marks an attempt final, because a newer run has taken over:
	// nothing else of it changes but NextAttemptAt, which becomes zero. One that is
	// final or gone is no error.
	EndAttempt(ctx context.Context, a Attempt) error
}

// AttemptFilter selects attempts; a zero field selects all.
type AttemptFilter struct {
	Status  AttemptStatus
	Bad     bool // failed and skipped ones
	Final   *bool
	EventID string
	Types   []string  // of the event; names, or prefixes like order.*
	Since   time.Time // due at or after
	Until   time.Time // due before
}

// ReplayStore keeps replays until the retention time has passed since they were
// created. One that is older is not found.
type ReplayStore interface {
	// CreateReplay puts a replay with version 1.
	CreateReplay(ctx context.Context, r Replay) error
	// Replay is consistent; ErrNotFound.
	Replay(ctx context.Context, account, id string) (Replay, error)
	// UpdateReplay works as UpdateEndpoint does.
	UpdateReplay(ctx context.Context, r Replay) error
	// Replays lists an account's replays. It is consistent.
	Replays(ctx context.Context, account string, p Page) (replays []Replay, next string, err error)
	// UnfinishedReplays lists the replays of all accounts that are running or
	// draining, in no order. Pages may be empty.
	UnfinishedReplays(ctx context.Context, p Page) (replays []Replay, next string, err error)
	// ReplaySlot takes an endpoint's time for replays from now on for as long as is
	// asked for, if nobody has it, and reports whether it did; else free is when it
	// can be had. Of two concurrent calls one gets it. Asked for no time it only
	// tells.
	ReplaySlot(ctx context.Context, endpoint string, now time.Time, long time.Duration) (free time.Time, taken bool, err error)
}

// ReplayStatus is how far a replay has come.
type ReplayStatus string

// The statuses of a replay.
const (
	ReplayRunning   ReplayStatus = "running"
	ReplayDraining  ReplayStatus = "draining" // all runs are started, some not ended
	ReplayCompleted ReplayStatus = "completed"
	ReplayCancelled ReplayStatus = "cancelled"
)

// A Replay delivers again what an endpoint was sent, or should have been, in a
// time range, at a bounded rate.
type Replay struct {
	ID           string
	Account      string
	EndpointID   string
	Since, Until time.Time // of the attempts' DueAt
	// Select is what is delivered again: AttemptFailed or AttemptSkipped alone,
	// "bad" for both, "open", "all".
	Select       string
	MaxPerSecond int
	Status       ReplayStatus
	Started      int // runs started
	// Succeeded, Failed, Skipped and Open count the runs that it started by how
	// they stood at CountedAt, which is zero before the first count.
	Succeeded, Failed, Skipped, Open int
	CountedAt                        time.Time
	After                            string // the page that is worked on
	// NextAt is when its next step is due. One whose step is long overdue has lost
	// its message. It is zero on records of earlier versions.
	NextAt     time.Time
	CreatedAt  time.Time
	UpdatedAt  time.Time
	FinishedAt time.Time // zero while running
	Version    int64
}
