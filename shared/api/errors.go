package api

import (
	"errors"
	"net/http"

	"hookferry/shared/relay"
	"hookferry/shared/seal"
)

// statuses is the table of contract section 2.
var statuses = map[relay.Kind]int{
	relay.KindKeyMissing:           http.StatusUnauthorized,
	relay.KindKeyInvalid:           http.StatusUnauthorized,
	relay.KindKeyRevoked:           http.StatusUnauthorized,
	relay.KindKeyExpired:           http.StatusUnauthorized,
	relay.KindScopeDenied:          http.StatusForbidden,
	relay.KindValidation:           http.StatusBadRequest,
	relay.KindURLRejected:          http.StatusBadRequest,
	relay.KindNotFound:             http.StatusNotFound,
	relay.KindMethodNotAllowed:     http.StatusMethodNotAllowed,
	relay.KindIdempotencyConflict:  http.StatusConflict,
	relay.KindEndpointRevoked:      http.StatusConflict,
	relay.KindEventNotMatched:      http.StatusConflict,
	relay.KindLimitExceeded:        http.StatusConflict,
	relay.KindPayloadTooLarge:      http.StatusRequestEntityTooLarge,
	relay.KindUnsupportedMediaType: http.StatusUnsupportedMediaType,
	relay.KindInternal:             http.StatusInternalServerError,
	relay.KindUnavailable:          http.StatusServiceUnavailable,
}

// wireError is the body of every refusal.
type wireError struct {
	Error struct {
		Code      relay.Kind `json:"code"`
		Message   string     `json:"message"`
		Param     string     `json:"param,omitempty"`
		RequestID string     `json:"requestId"`
	} `json:"error"`
}

// apiFailure is the error body of contract section 2.
func apiFailure(c *call, e *relay.Error) answer {
	var body wireError
	switch statuses[e.Kind] {
	case http.StatusUnauthorized:
		c.w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		c.w.Header().Set("Retry-After", "2")
	}
	body.Error.Code, body.Error.Message, body.Error.Param, body.Error.RequestID = e.Kind, e.Detail, e.Param, c.id
	return answer{status: statuses[e.Kind], body: body}
}

// presented returns the error as a client may see it. What a port reports
// beyond relay's errors is the port's failure and may pass.
func presented(err error) *relay.Error {
	var e *relay.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, relay.ErrNotFound):
		return notFound("object")
	case errors.Is(err, relay.ErrCursor):
		return badCursor()
	case errors.Is(err, relay.ErrTooLarge):
		return tooLarge()
	case errors.Is(err, seal.ErrOpen):
		return internal(err)
	}
	return &relay.Error{Kind: relay.KindUnavailable, Detail: "The service cannot do this at the moment. Try again in a few seconds.", Err: err}
}

func internal(err error) *relay.Error {
	return &relay.Error{Kind: relay.KindInternal, Detail: "Something went wrong on our side. It has been logged under the request id.", Err: err}
}

func notFound(what string) *relay.Error {
	return &relay.Error{Kind: relay.KindNotFound, Detail: "There is no such " + what + "."}
}

func tooLarge() *relay.Error {
	return &relay.Error{Kind: relay.KindPayloadTooLarge, Detail: "The body is over 256 KiB."}
}

// found turns a port's ErrNotFound into an answer that names what is missing,
// and leaves other errors.
func found(err error, what string) error {
	if errors.Is(err, relay.ErrNotFound) {
		return notFound(what)
	}
	return err
}
