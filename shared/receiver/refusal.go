package receiver

import (
	"errors"
	"log/slog"
	"net/http"

	"hookferry/shared/relay"
	"hookferry/shared/telemetry"
)

// A refused call is a *relay.Error for the caller and a reason, one of a small
// fixed set, for the metrics.
type refused struct {
	err    *relay.Error
	reason string
}

// Error returns all of it, for the log.
func (r *refused) Error() string { return r.err.Error() }

// Unwrap returns the *relay.Error.
func (r *refused) Unwrap() error { return r.err }

func refusal(reason string, kind relay.Kind, detail string) *refused {
	return &refused{&relay.Error{Kind: kind, Detail: detail}, reason}
}

func tooLarge() *refused {
	return refusal("too_large", relay.KindPayloadTooLarge, "The body is larger than 256 KiB.")
}

// unavailable is a failure of ours that may pass: a provider that retries does.
func unavailable(cause error) *refused {
	return &refused{&relay.Error{Kind: relay.KindUnavailable, Detail: "The event could not be taken just now. Please send it again.", Err: cause}, "unavailable"}
}

// internal is a failure of ours that will not pass by itself.
func internal(cause error) *refused {
	return &refused{&relay.Error{Kind: relay.KindInternal, Detail: "Something went wrong on our side.", Err: cause}, "internal"}
}

var statuses = map[relay.Kind]int{
	relay.KindValidation:       http.StatusBadRequest,
	relay.KindSignatureInvalid: http.StatusUnauthorized,
	relay.KindTokenInvalid:     http.StatusUnauthorized,
	relay.KindNotFound:         http.StatusNotFound,
	relay.KindMethodNotAllowed: http.StatusMethodNotAllowed,
	relay.KindPayloadTooLarge:  http.StatusRequestEntityTooLarge,
	relay.KindInternal:         http.StatusInternalServerError,
	relay.KindUnavailable:      http.StatusServiceUnavailable,
}

// refuse answers with the error and writes its line.
func (rc *receiver) refuse(w http.ResponseWriter, r *http.Request, c *call, err error) {
	var ref *refused
	if !errors.As(err, &ref) {
		ref = internal(err)
	}
	status := statuses[ref.err.Kind]
	level := slog.LevelInfo
	c.line.Set(slog.Int("status", status), slog.String("reason", ref.reason), slog.String("error", ref.Error()))
	if ref.err.Err != nil { // ours, and not a source that has no secret yet
		level = slog.LevelError
		c.line.Count(telemetry.ServerErrors, 1)
	} else {
		c.line.CountClass(telemetry.Rejected, ref.reason)
	}
	c.line.End(r.Context(), level)

	type detail struct {
		Code      relay.Kind `json:"code"`
		Message   string     `json:"message"`
		RequestID string     `json:"requestId"`
	}
	answer(w, status, struct {
		Error detail `json:"error"`
	}{detail{ref.err.Kind, ref.err.Detail, c.id}})
	if c.known {
		rc.Refusals.note(r.Context(), c.source, ref.reason, c.now)
	}
}
