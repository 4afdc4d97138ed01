// Package recipe proves and reads the calls of providers that sign what they
// send, each by a recipe: a JSON object that says where the signature stands,
// what is signed, and where the event's id, type and subject are. A new
// provider is a new recipe and no new code.
//
//	{
//	  "signature": {"header": "Stripe-Signature", "item": "v1", "scheme": "hmac-sha256", "encoding": "hex"},
//	  "signed": "{timestamp}.{body}",
//	  "timestamp": {"header": "Stripe-Signature", "item": "t", "unit": "s", "tolerance_seconds": 300},
//	  "id": "{/id}", "type": "{/type}", "subject": "{/data/object/id}"
//	}
//
// Parse reads a recipe and refuses one that would not prove the body. Verify
// judges a call. The README beside this file lists the presets, what each one
// proves, and the vector that shows it.
//
// Nothing here falls back: without a usable secret nothing is right. Signatures
// are compared in constant time. A Recipe does not change once it is parsed and
// is safe for concurrent use.
package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

// Why a call is not accepted; test with errors.Is. The messages are safe to
// show to the caller.
var (
	// ErrNoSecret: no secret or public key was given, or one of them is unusable.
	// Our own fault, never the caller's.
	ErrNoSecret = signature.ErrNoSecret
	// ErrMissing: a header that the signature needs is not there.
	ErrMissing = signature.ErrMissing
	// ErrMalformed: a header cannot be read, is too long, or is there twice with
	// different values.
	ErrMalformed = signature.ErrMalformed
	// ErrMismatch: no signature fits the call under any of the secrets.
	ErrMismatch = signature.ErrMismatch
	// ErrStale: the timestamp is further from now than the recipe tolerates.
	ErrStale = errors.New("signature timestamp is too far from now")
	// ErrEvent: the call is proved, but it is no event that can be taken. A
	// caller answers 400 to it and 401 to the others.
	ErrEvent = errors.New("the call is no event")
)

// A Recipe is how one provider signs its calls. Parse or Standard makes one.
type Recipe struct {
	wire      wire
	forms     []form
	signed    template
	id        template
	typ       template
	subject   template
	when      pointer
	answer    pointer
	fallback  string // the type of an event that has none; empty: there must be one
	tolerance time.Duration
}

// A form is one kind of signature that a header may hold.
type form struct {
	item   string // how it is marked in the header; empty: it is all of the header
	scheme scheme
	secret string // the encoding of its secret or public key
	strip  string // what the text of its secret or public key begins with
}

// A Request is what Verify needs of a call.
type Request struct {
	// Header has canonical names, as net/http makes them.
	Header http.Header
	// URL is the ingest_url that the source shows, and never made from Host.
	URL string
	// Body is the bytes as they were received.
	Body []byte
	// Source is the source's name. It stands before a type that has no dot, if
	// the recipe has no preset.
	Source string
}

// A Result is what a proved call says.
type Result struct {
	// ID, Type and Subject are the event's. Subject is empty where there is none.
	ID, Type, Subject string
	// Generation is the provider whose generation the body is, as package
	// generation knows it; empty for every other event.
	Generation string
	// Timestamp is when the provider signed; zero if the recipe has no timestamp.
	Timestamp time.Time
	// UnsignedID is set if the id comes from a header that is not signed. Then a
	// call with an equal Proof is the same event, whatever its id.
	UnsignedID bool
	// Proof is a SHA-256 in hex over the type and the signed bytes. It is set
	// only with UnsignedID.
	Proof string
	// Challenge is set if the call asks for an answer and is no event. The other
	// fields but Timestamp are empty then.
	Challenge *Answer
}

// Verify returns what the call says if it holds a right signature under one of
// the secrets (public keys for ed25519) and, where the recipe has a timestamp,
// is not stale. The error wraps one of this package's.
func (r *Recipe) Verify(req Request, now time.Time, secrets ...relay.Secret) (Result, error) {
	keys, err := r.keys(secrets)
	if err != nil {
		return Result{}, err
	}
	h, err := r.read(req.Header, now)
	if err != nil {
		return Result{}, err
	}
	signed, err := r.signed.parts(h, req)
	if err != nil {
		return Result{}, err
	}
	if !match(h.candidates, keys, signed) {
		return Result{}, ErrMismatch
	}
	return r.event(req, h.at, signed)
}

// BeforeBody returns an error if no body can make Verify accept the call: its
// headers are missing, malformed or stale. It costs no cryptography.
func (r *Recipe) BeforeBody(header http.Header, now time.Time) error {
	_, err := r.read(header, now)
	return err
}

// CheckSecret returns an error, which never shows the secret, if it is no usable
// secret under this recipe. A public key is none.
func (r *Recipe) CheckSecret(secret relay.Secret) error { return r.check(secret, true) }

// CheckPublicKey returns an error if key is no usable public key under this
// recipe.
func (r *Recipe) CheckPublicKey(key string) error { return r.check(relay.Secret(key), false) }

func (r *Recipe) check(secret relay.Secret, shared bool) error {
	keys, err := r.keys([]relay.Secret{secret})
	if err == nil && (keys[0].scheme.hash != nil) != shared {
		return fmt.Errorf("%w: a secret is no public key, and a public key no secret", ErrNoSecret)
	}
	return err
}

// Symmetric reports whether the recipe's signatures are made with a secret.
func (r *Recipe) Symmetric() bool { return r.has(true) }

// Asymmetric reports whether the recipe's signatures are checked with public keys.
func (r *Recipe) Asymmetric() bool { return r.has(false) }

func (r *Recipe) has(shared bool) bool {
	return slices.ContainsFunc(r.forms, func(f form) bool { return (f.scheme.hash != nil) == shared })
}

// SignsURL reports whether the source's URL is part of what is signed, so that
// Request.URL must be set.
func (r *Recipe) SignsURL() bool { return r.signed.count(kindURL) > 0 }

// event reads the proved call.
func (r *Recipe) event(req Request, at time.Time, signed [][]byte) (Result, error) {
	if err := checkBody(req.Body); err != nil {
		return Result{}, err
	}
	res := Result{Timestamp: at}
	if res.Challenge = r.Answer(req.Body); res.Challenge != nil {
		return res, nil
	}
	var err error
	if res.ID, err = r.id.text(req, "id"); err != nil {
		return Result{}, err
	}
	if !relay.ValidEventID(res.ID) {
		return Result{}, fmt.Errorf("%w: its id must be 1 to 128 printable ASCII characters", ErrEvent)
	}
	if res.Type, err = r.eventType(req); err != nil {
		return Result{}, err
	}
	if strings.HasPrefix(res.Type, "generation.") {
		res.Generation = r.wire.Generation
	}
	if res.Subject, err = r.eventSubject(req); err != nil {
		return Result{}, err
	}
	if res.UnsignedID = r.unsigned("id"); res.UnsignedID {
		res.Proof = proof(res.Type, signed)
	}
	return res, nil
}

func proof(typ string, signed [][]byte) string {
	h := sha256.New()
	h.Write([]byte(typ))
	h.Write([]byte{0})
	for _, part := range signed {
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (r *Recipe) unsigned(field string) bool {
	return slices.Contains(r.wire.Unsigned, field)
}
