// Package sivi knows Sivi's side of the wire: what its webhook calls say, how
// they read in Rivya's format, and how to ask Sivi for the status of a request.
//
// A call's body is {"status":200,"body":{"status":"complete","requestId":…}}.
// Sivi sends a call once and signs nothing, so what can be understood is taken
// and the rest is handed on as it is: only a body without a request or a status
// is refused.
package sivi

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"hookferry/shared/rawjson"
	"hookferry/shared/relay"
)

// The types of the events that Sivi's calls become.
const (
	TypeSucceeded = "generation.succeeded"
	TypeFailed    = "generation.failed"
	TypeUpdated   = "generation.updated"
)

// Bounds of the two texts that identify a call, in bytes.
const (
	maxRequestID = 256
	maxStatus    = 128
)

// A Call is what a webhook call, or the answer to a status question, says.
type Call struct {
	RequestID string
	// Status is Sivi's own word.
	Status string
	// Terminal: the request has ended, no other status follows.
	Terminal bool
	// Progress: the word is pending or processing and there is neither result nor
	// reason. Such a call says nothing that anybody would act on.
	Progress bool
	// Type is the event type that the status stands for.
	Type string
}

// ErrCall means that a body is no call of Sivi's. The text of an error that
// wraps it can be shown to whoever sent the body.
var ErrCall = errors.New("this is not a Sivi webhook body")

// Parse reads a call's body. A requestId or status that is a number is taken as
// its digits. An error wraps ErrCall.
func Parse(body []byte) (Call, error) {
	d, err := read(body)
	return d.Call, err
}

// document is a call and those of its raw values that a translation needs.
type document struct {
	Call
	result, reason []byte
}

func read(body []byte) (document, error) {
	if !rawjson.Valid(body) {
		return document{}, fmt.Errorf("%w: %w", ErrCall, rawjson.ErrInvalid)
	}
	outer, err := rawjson.Fields(body, "body")
	if err != nil {
		return document{}, fmt.Errorf("%w: %w", ErrCall, err)
	}
	if rawjson.IsNull(outer[0]) {
		return document{}, fmt.Errorf("%w: its field body is missing or null", ErrCall)
	}
	inner, err := rawjson.Fields(outer[0], "requestId", "status", "result", "reason")
	if err != nil {
		return document{}, fmt.Errorf("%w: its field body: %w", ErrCall, err)
	}
	d := document{result: inner[2], reason: inner[3]}
	if d.RequestID, err = word("requestId", inner[0], maxRequestID); err != nil {
		return document{}, err
	}
	if d.Status, err = word("status", inner[1], maxStatus); err != nil {
		return document{}, err
	}
	switch d.Status {
	case "complete", "completed":
		d.Type, d.Terminal = TypeSucceeded, true
	case "failed", "suspended":
		d.Type, d.Terminal = TypeFailed, true
	default:
		d.Type = TypeUpdated
		d.Progress = (d.Status == "pending" || d.Status == "processing") && rawjson.IsNull(d.result) && rawjson.IsNull(d.reason)
	}
	return d, nil
}

// word reads an identifying text: short, not empty, and free of what would
// garble a log or a key.
func word(name string, raw []byte, limit int) (string, error) {
	s, ok := rawjson.String(raw)
	if !ok && len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9') {
		s, ok = string(raw), true
	}
	switch {
	case rawjson.IsNull(raw):
		return "", fmt.Errorf("%w: body.%s is missing or null", ErrCall, name)
	case !ok:
		return "", fmt.Errorf("%w: body.%s must be a string", ErrCall, name)
	case s == "":
		return "", fmt.Errorf("%w: body.%s is empty", ErrCall, name)
	case len(s) > limit:
		return "", fmt.Errorf("%w: body.%s is longer than %d bytes", ErrCall, name, limit)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return "", fmt.Errorf("%w: body.%s has a character that cannot be printed", ErrCall, name)
		}
	}
	return s, nil
}

// EventID returns the identifier of the event that a call to a source is: the
// same for the same call, so that a repeated one is known as a duplicate, and
// another for every change of status or content.
func EventID(sourceID string, c Call, body []byte) string {
	return relay.DerivedID(relay.EventPrefix, "sivi", sourceID, c.RequestID, c.Status, string(body))
}

// Contradicts reports whether Sivi's own answer about a request denies what a
// webhook call said of it: it is about another request, or stands for another
// type. Where the answer is not terminal it may be older than the call: whoever
// can ask again later should, before believing it (answer.Terminal tells).
func Contradicts(event, answer Call) bool {
	return event.RequestID != answer.RequestID || event.Type != answer.Type
}
