package relay

import (
	"slices"
	"strings"
	"time"
)

// Format is the shape of a delivery's body.
type Format string

// The formats of contract section 5. An endpoint in FormatVerbatim gets the very
// bytes that came in; an event in it holds a provider's own JSON.
const (
	FormatRivya    Format = "rivya"
	FormatSivi     Format = "sivi"
	FormatVerbatim Format = "verbatim"
)

// A Scheme is a way to sign a delivery.
type Scheme string

// The schemes: Rivya's own headers, always; Standard Webhooks besides, under the
// endpoint's secret, or under a private key of ours, whose public one whoever
// receives can look up.
const (
	SchemeRivya           Scheme = "rivya"
	SchemeStandard        Scheme = "standard"
	SchemeStandardEd25519 Scheme = "standard-ed25519"
)

// DisabledReason is why an endpoint is disabled; empty while it is not.
type DisabledReason string

// The reasons: by its owner; its last attempt was answered 410; nothing but
// failures for five days.
const (
	DisabledManual  DisabledReason = "manual"
	DisabledGone    DisabledReason = "gone"
	DisabledFailing DisabledReason = "failing"
)

// An Endpoint is a URL of an account that events are delivered to.
type Endpoint struct {
	ID         string
	Account    string
	Name       string
	URL        string
	EventTypes []string // names, prefixes like order.*, or "*"
	SourceIDs  []string // empty: all
	Format     Format
	Signatures []Scheme
	Status     Status

	// The signing secret, and the one before it, which signs too until
	// OldSecretUntil.
	Secret         Sealed
	SecretPreview  string
	OldSecret      Sealed
	OldSecretUntil time.Time

	CreatedAt      time.Time
	UpdatedAt      time.Time
	DisabledAt     time.Time // zero while active
	DisabledReason DisabledReason
	RevokedAt      time.Time // zero unless deleted

	// Filter is the event pattern that an event's body must fit, as JSON; empty
	// when there is none.
	Filter string
	// MaxPerSecond is how many calls a second the endpoint gets at most, over
	// all processes, and MaxInFlight how many at a time; 0 means no bound.
	MaxPerSecond int
	MaxInFlight  int

	// Rotations counts how often the signing secret was replaced; 0 while the
	// endpoint has the one that it was made with.
	Rotations int

	// KeyID is the API key whose Sivi-compatible webhook this is; empty for
	// others. At most one live endpoint of an account has a given KeyID.
	KeyID string

	// Version counts writes; UpdateEndpoint succeeds only on the one it read.
	Version int64
}

// Deleted reports whether the endpoint has been deleted. A deleted one stays
// readable, and nothing is sent to it again.
func (e Endpoint) Deleted() bool { return !e.RevokedAt.IsZero() }

// Disable marks the endpoint disabled at t for the reason.
func (e *Endpoint) Disable(reason DisabledReason, t time.Time) {
	e.Status, e.DisabledReason, e.DisabledAt, e.UpdatedAt = Disabled, reason, t, t
}

// Counters are what is counted of an endpoint's attempts, best effort.
type Counters struct {
	LastSuccessAt time.Time
	LastFailureAt time.Time
	FailureCount  int // failed attempts in a row
	// FailingSince is the first failure after the last success; zero when the
	// last attempt succeeded.
	FailingSince time.Time
	// Timeouts counts the attempts in a row, up to the last one, that timed out.
	Timeouts int

	// The marks that TakeMark sets, see Mark; zero while one was never set.
	ProbeUntil, DegradedAt, FailingAt, RecoveredAt time.Time
}

// Outcomes is what a process has seen of an endpoint's attempts since it last
// told the store.
type Outcomes struct {
	LastSuccessAt time.Time // zero: no success among them
	LastFailureAt time.Time // zero: no failure
	// FailuresAfter counts the failures after the last success among them, or
	// all if there was none; FailingSince is the first of those.
	FailuresAfter int
	FailingSince  time.Time
	// TimeoutsAfter counts the timeouts after the last outcome among them that was
	// none, or all if Answered is false: then there was no other.
	TimeoutsAfter int
	Answered      bool

	// Activity is what is counted beside the counters, by the minute; Apply and
	// Merge leave it alone.
	Activity []Tally
}

// Apply returns the counters after the outcomes.
func (c Counters) Apply(o Outcomes) Counters {
	if o.LastFailureAt.After(c.LastFailureAt) {
		c.LastFailureAt = o.LastFailureAt
	}
	if !o.LastSuccessAt.IsZero() {
		if o.LastSuccessAt.After(c.LastSuccessAt) {
			c.LastSuccessAt = o.LastSuccessAt
		}
		c.FailureCount, c.FailingSince = 0, time.Time{}
	}
	if o.Answered || !o.LastSuccessAt.IsZero() {
		c.Timeouts = 0
	}
	c.Timeouts += o.TimeoutsAfter
	if o.FailuresAfter > 0 {
		c.FailureCount += o.FailuresAfter
		if c.FailingSince.IsZero() {
			c.FailingSince = o.FailingSince
		}
	}
	return c
}

// Merge returns the outcomes of o and then of next.
func (o Outcomes) Merge(next Outcomes) Outcomes {
	c := Counters{
		LastSuccessAt: o.LastSuccessAt, LastFailureAt: o.LastFailureAt,
		FailureCount: o.FailuresAfter, FailingSince: o.FailingSince, Timeouts: o.TimeoutsAfter,
	}.Apply(next)
	return Outcomes{
		LastSuccessAt: c.LastSuccessAt, LastFailureAt: c.LastFailureAt,
		FailuresAfter: c.FailureCount, FailingSince: c.FailingSince,
		TimeoutsAfter: c.Timeouts, Answered: o.Answered || next.Answered || !next.LastSuccessAt.IsZero(),
	}
}

// Mismatch is why an event does not go to an endpoint.
type Mismatch string

// The reasons of contract section 3, in the order in which they are judged.
const (
	Matches          Mismatch = ""
	MismatchType     Mismatch = "event_type"
	MismatchSource   Mismatch = "source"
	MismatchFormat   Mismatch = "format"
	MismatchFilter   Mismatch = "filter" // judged by who can read the body, not by Match
	MismatchDisabled Mismatch = "disabled"

	// MismatchOnly: the event is meant for another endpoint alone. It is not
	// shown.
	MismatchOnly Mismatch = "only"
)

// TypeTest is the type of test events.
const TypeTest = "webhook.test"

// Match says whether the event goes to the endpoint, and if not why. A deleted
// endpoint must not be asked.
func (e Endpoint) Match(ev Event) Mismatch {
	if ev.Only != "" {
		if ev.Only == e.ID {
			return Matches
		}
		return MismatchOnly
	}
	if ev.Subject == e.ID && strings.HasPrefix(ev.Type, "endpoint.") {
		return MismatchOnly // what has become of an endpoint is for the others
	}
	switch {
	case !e.wantsType(ev.Type):
		return MismatchType
	case len(e.SourceIDs) > 0 && !slices.Contains(e.SourceIDs, ev.SourceID):
		return MismatchSource
	case e.Format == FormatSivi && ev.Format != FormatSivi && ev.Type != TypeTest:
		return MismatchFormat
	case e.Status != Active:
		return MismatchDisabled
	}
	return Matches
}

func (e Endpoint) wantsType(typ string) bool {
	if len(e.EventTypes) > 0 && TypeFits(e.EventTypes, typ) {
		return true
	}
	return slices.Contains(e.EventTypes, "*") && !ReservedType(typ)
}

// ReservedType reports whether the type is one that only Hookferry makes and
// that "*" leaves out: webhook.… and endpoint.….
func ReservedType(typ string) bool {
	return strings.HasPrefix(typ, "webhook.") || strings.HasPrefix(typ, "endpoint.")
}
