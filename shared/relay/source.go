package relay

import "time"

// Provider is who calls a source.
type Provider string

// The providers.
const (
	Rivya Provider = "rivya"
	Sivi  Provider = "sivi"

	// Standard is any provider that signs as the Standard Webhooks
	// specification says; HMAC is one that a recipe on the source describes.
	Standard Provider = "standard"
	HMAC     Provider = "hmac"
)

// Status is whether an endpoint or source is in use.
type Status string

// The statuses of endpoints and sources.
const (
	Active   Status = "active"
	Disabled Status = "disabled"
)

// Confirm says whether a Sivi source's terminal events are checked against
// Sivi's own API before they are relayed.
type Confirm string

// The values of Confirm. ConfirmPrefer relays what could not be checked to the
// end, ConfirmRequire rejects it.
const (
	ConfirmOff     Confirm = "off"
	ConfirmPrefer  Confirm = "prefer"
	ConfirmRequire Confirm = "require"
)

// MaxPublicKeys is how many public keys a source may have.
const MaxPublicKeys = 8

// A Source is one provider account that calls us at /in/{ID} (Rivya) or
// /in/{ID}/{token} (Sivi).
type Source struct {
	ID        string
	Account   string
	Provider  Provider
	Name      string
	Status    Status
	CreatedAt time.Time
	UpdatedAt time.Time

	// Rivya: the signing secret, and the one before it until OldSecretUntil.
	// Both empty until the first is set.
	Secret         Sealed
	OldSecret      Sealed
	OldSecretUntil time.Time

	// Sivi: the hash of the token in the URL, the one before it until
	// OldTokenUntil, and the token itself, to show the URL again.
	TokenHash     KeyHash
	OldTokenHash  KeyHash
	OldTokenUntil time.Time
	Token         Sealed

	// Sivi: how to ask for a request's status. APIKey empty: never.
	APIKey  Sealed
	API     string // general or enterprise
	Confirm Confirm

	// Recipe is how calls of a source of provider Standard or HMAC are verified
	// and read, as JSON (contract section 7); empty for the others.
	Recipe string
	// PublicKeys verify calls that are signed with Ed25519, up to
	// MaxPublicKeys of them; any of them may match.
	PublicKeys []string

	// Version counts writes; UpdateSource succeeds only on the one it read.
	Version int64
}

// MaxExpectations is how many unresolved expectations a source may have.
const MaxExpectations = 10_000

// An Expectation is a Sivi request whose terminal event must come, and is asked
// for when it does not.
type Expectation struct {
	Account   string
	SourceID  string
	RequestID string
	CreatedAt time.Time
	Asked     int       // how many times Sivi has been asked
	NextAt    time.Time // when it is asked next; zero: never again
	GiveUpAt  time.Time
	// EventID is the terminal event that came or was found, empty while none
	// has. The first to be set stays: a later one is its duplicate.
	EventID string
	// GaveUp: GiveUpAt passed without one.
	GaveUp bool
	// Queued is set once the message for the first question is on the queue. A
	// request has one chain of messages, however often it is expected.
	Queued bool
}
