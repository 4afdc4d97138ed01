// Package verify is for the other end: a Go service that receives Hookferry's
// deliveries imports it to be sure of each call before it acts on it.
//
// A Verifier checks that a call was signed with the endpoint's signing secret
// within the last five minutes. Its Handler wraps an http.Handler: it reads the
// raw body up to a bound, verifies it, drops deliveries that were handled
// already, and passes the rest on with the Delivery in the request's context.
//
//	v := verify.Verifier{Secrets: []string{os.Getenv("HOOKFERRY_SECRET")}}
//	http.Handle("/hook", v.Handler(verify.NewMemory(10_000), handler))
//
// The same check in TypeScript and in Python lies in the folders beside this
// one, each a single file without dependencies.
package verify

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

// DefaultMaxBody is the longest body, in bytes, that Handler reads unless the
// Verifier says otherwise. It is above the largest that Hookferry delivers.
const DefaultMaxBody = 1 << 20

// Why a call is refused; test with errors.Is. The texts may be shown to the caller.
var (
	// ErrConfig means that the Verifier itself is unusable: it has no secret, or
	// one that no endpoint can have. It is the receiver's own fault.
	ErrConfig = errors.New("no usable signing secret")
	// ErrMissing means that the call carries no signature, timestamp or id.
	ErrMissing = errors.New("the call is not signed")
	// ErrMalformed means that a header is not in the form that Hookferry sends.
	ErrMalformed = errors.New("the signature headers are malformed")
	// ErrStale means that the timestamp is more than five minutes away from now:
	// the call is a recording, or one of the two clocks is wrong.
	ErrStale = errors.New("the timestamp is too old or too new")
	// ErrMismatch means that none of the secrets made the signature.
	ErrMismatch = errors.New("the signature is wrong")
)

// A Verifier checks deliveries. Its fields are set once, before it is used;
// after that it is safe for concurrent use.
type Verifier struct {
	// Secrets are the endpoint's signing secrets as the API showed them, whsec_
	// included. While a secret is being rotated there are two, in any order.
	Secrets []string
	// PublicKeys are the endpoint's public keys, each beginning with whpk_, as
	// /.well-known/webhook-keys.json?endpoint_id= shows them. With them no secret
	// is needed: what is checked is the signature v1a of Standard Webhooks, which
	// deliveries carry to endpoints whose signatures name "standard-ed25519".
	PublicKeys []string
	// Standard chooses the signature that is checked: Rivya's, which every
	// delivery carries, or if true the one of Standard Webhooks, which endpoints
	// carry whose signatures name "standard". That one also proves the id. It
	// counts as true where there are PublicKeys.
	Standard bool
	// Prefix begins the names of the headers that the deployment sends. Empty
	// means Rivya.
	Prefix string
	// MaxBody is the longest body in bytes that Handler reads. 0 means
	// DefaultMaxBody.
	MaxBody int64
	// Now tells the time. nil means time.Now.
	Now func() time.Time
}

// A Delivery is what the headers of a verified call say. Only the body and the
// time are signed in the Rivya style; there an id proves nothing by itself.
type Delivery struct {
	// EventID is the same in every attempt to deliver the event.
	EventID string
	// SourceID names the provider account that the event came from, or is empty
	// for an event that was published through the API.
	SourceID string
	// EndpointID names the endpoint whose URL was called.
	EndpointID string
	// RequestID names this very call in the endpoint's delivery history.
	RequestID string
	// Attempt counts from 1.
	Attempt int
	// SentAt is when the call was signed, in whole seconds.
	SentAt time.Time
}

// Key returns what a receiver remembers to handle an event once: source and id
// together, because two sources may choose the same id.
func (d Delivery) Key() string {
	if d.SourceID == "" {
		return d.EventID
	}
	return d.SourceID + " " + d.EventID
}

// Verify checks the headers of a call and its body, which must be the bytes as
// they were received. The error wraps one of this package's.
func (v *Verifier) Verify(h http.Header, body []byte) (Delivery, error) {
	d, stamp, err := v.read(h)
	if err != nil {
		return Delivery{}, err
	}
	secrets := make([]relay.Secret, len(v.Secrets))
	for i, s := range v.Secrets {
		secrets[i] = relay.Secret(s)
	}
	now := time.Now
	if v.Now != nil {
		now = v.Now
	}
	if len(v.PublicKeys) > 0 {
		err = signature.VerifyEd25519(d.EventID, strings.Join(h.Values("Webhook-Signature"), " "), stamp, body, now(), v.PublicKeys...)
	} else if v.Standard {
		err = signature.VerifyStandard(d.EventID, strings.Join(h.Values("Webhook-Signature"), " "), stamp, body, now(), secrets...)
	} else {
		err = signature.VerifyRivya(strings.Join(h.Values(v.name("Signature")), ","), stamp, body, now(), secrets...)
	}
	if err != nil {
		return Delivery{}, own(err)
	}
	return d, nil
}

// read takes the delivery and the text of its timestamp from the headers.
func (v *Verifier) read(h http.Header) (Delivery, string, error) {
	id, stamp := v.name("Id"), v.name("Timestamp")
	standard := v.Standard || len(v.PublicKeys) > 0
	if standard {
		id, stamp = "Webhook-Id", "Webhook-Timestamp"
	}
	d := Delivery{
		EventID:    h.Get(id),
		SourceID:   h.Get(v.name("Source-Id")),
		EndpointID: h.Get(v.name("Endpoint-Id")),
		RequestID:  h.Get(v.prefix() + "-Request-Id"),
	}
	if standard {
		d.SourceID = "" // webhook-id stands for source and id together
	}
	if len(h.Values(id)) > 1 || len(h.Values(stamp)) > 1 {
		return Delivery{}, "", ErrMalformed
	}
	if d.EventID == "" {
		return Delivery{}, "", ErrMissing
	}
	d.Attempt, _ = strconv.Atoi(h.Get(v.name("Attempt")))
	if seconds, err := strconv.ParseInt(h.Get(stamp), 10, 64); err == nil {
		d.SentAt = time.Unix(seconds, 0).UTC()
	}
	return d, h.Get(stamp), nil
}

func (v *Verifier) prefix() string {
	if v.Prefix == "" {
		return "Rivya"
	}
	return v.Prefix
}

func (v *Verifier) name(end string) string { return v.prefix() + "-Webhook-" + end }

// own turns an error of package signature into one of this package's.
func own(err error) error {
	for from, to := range map[error]error{
		signature.ErrNoSecret:  ErrConfig,
		signature.ErrMissing:   ErrMissing,
		signature.ErrMalformed: ErrMalformed,
		signature.ErrStale:     ErrStale,
		signature.ErrMismatch:  ErrMismatch,
	} {
		if errors.Is(err, from) {
			return to
		}
	}
	return err
}
