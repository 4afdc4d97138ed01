package relay

import (
	"errors"
	"fmt"
)

// Errors that the ports return, alone or wrapped. Anything else from a port
// means that it failed: the work is to be tried again.
var (
	// ErrNotFound: there is no such thing, or it is another account's.
	ErrNotFound = errors.New("not found")
	// ErrExists: the name or the key is taken.
	ErrExists = errors.New("exists already")
	// ErrConflict: it has changed since it was read.
	ErrConflict = errors.New("changed since it was read")
	// ErrLimit: the account has as many as it may have.
	ErrLimit = errors.New("limit reached")
	// ErrLastKey: the key is the last live one with a scope that must not be lost.
	ErrLastKey = errors.New("last key with this scope")
	// ErrRevoked: the key, or one that it descends from, has been revoked.
	ErrRevoked = errors.New("revoked")
	// ErrCursor: the page's After is not a position of this list.
	ErrCursor = errors.New("no such position")
	// ErrTooLarge: the message or item is over what the queue or store takes.
	ErrTooLarge = errors.New("too large")
)

// Kind is the code of an error that a client is told (contract section 2).
type Kind string

// The codes of contract section 2.
const (
	KindKeyMissing           Kind = "api_key_missing"
	KindKeyInvalid           Kind = "api_key_invalid"
	KindKeyRevoked           Kind = "api_key_revoked"
	KindKeyExpired           Kind = "api_key_expired"
	KindScopeDenied          Kind = "api_scope_denied"
	KindValidation           Kind = "validation_failed"
	KindURLRejected          Kind = "webhook_url_rejected"
	KindNotFound             Kind = "not_found"
	KindMethodNotAllowed     Kind = "method_not_allowed"
	KindIdempotencyConflict  Kind = "idempotency_conflict"
	KindEndpointRevoked      Kind = "endpoint_revoked"
	KindEventNotMatched      Kind = "event_not_matched"
	KindLimitExceeded        Kind = "limit_exceeded"
	KindPayloadTooLarge      Kind = "payload_too_large"
	KindUnsupportedMediaType Kind = "unsupported_media_type"
	KindSignatureInvalid     Kind = "signature_invalid" // the receiver's 401 for a Rivya source
	KindTokenInvalid         Kind = "token_invalid"     // the receiver's 401 for a Sivi source
	KindInternal             Kind = "internal_error"
	KindUnavailable          Kind = "unavailable"
)

// Error is an error with two faces: Kind, Detail and Param are for the client,
// Err is the cause and for the log alone.
type Error struct {
	Kind   Kind
	Detail string // a sentence for the client; says what to do next
	Param  string // the field at fault, like event_types[1]; empty if none
	Err    error  // the cause; nil if the client's own
}

// Error returns all of it, for the log.
func (e *Error) Error() string {
	s := string(e.Kind) + ": " + e.Detail
	if e.Param != "" {
		s += " (" + e.Param + ")"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Invalid returns a validation_failed error about the field param.
func Invalid(param, format string, args ...any) *Error {
	return &Error{Kind: KindValidation, Param: param, Detail: fmt.Sprintf(format, args...)}
}
