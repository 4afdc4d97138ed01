package events

import (
	"bytes"
	"encoding/json"
	"time"

	"hookferry/shared/relay"
)

// Body returns the body of an event in format rivya. Data goes into it byte for
// byte and must be valid JSON; empty data becomes null.
func Body(id, typ string, createdAt time.Time, data json.RawMessage) []byte {
	if len(data) == 0 {
		data = json.RawMessage("null")
	}
	b := make([]byte, 0, len(data)+len(id)+len(typ)+128)
	b = appendText(append(b, `{"id":`...), id)
	b = appendText(append(b, `,"type":`...), typ)
	b = appendText(append(b, `,"api_version":`...), relay.APIVersion)
	b = appendText(append(b, `,"created_at":`...), relay.FormatTime(createdAt))
	b = append(b, `,"data":`...)
	b = append(b, data...)
	return append(b, '}')
}

// The shapes of contract section 5, in its order of names.
type (
	generation struct {
		ID              string  `json:"id"`
		Status          string  `json:"status"`
		Model           string  `json:"model"`
		ReservedCredits int     `json:"reserved_credits"`
		FinalCredits    int     `json:"final_credits"`
		CreatedAt       string  `json:"created_at"`
		UpdatedAt       string  `json:"updated_at"`
		Result          *string `json:"result"`
		Error           *string `json:"error"`
	}
	siviCall struct {
		Status int      `json:"status"`
		Body   siviBody `json:"body"`
	}
	siviBody struct {
		QueueWaitTime *int    `json:"queueWaitTime"`
		Status        string  `json:"status"`
		RequestID     string  `json:"requestId"`
		DesignID      *string `json:"designId"`
		Link          *string `json:"link"`
		ShareLink     *string `json:"shareLink"`
		Result        *string `json:"result"`
	}
	disabled struct {
		ID             string               `json:"id"`
		Object         string               `json:"object"`
		Name           string               `json:"name"`
		Status         relay.Status         `json:"status"`
		DisabledAt     string               `json:"disabled_at"`
		DisabledReason relay.DisabledReason `json:"disabled_reason"`
	}
	health struct {
		ID            string       `json:"id"`
		Object        string       `json:"object"`
		Name          string       `json:"name"`
		Status        relay.Status `json:"status"`
		Health        relay.Health `json:"health"`
		FailureCount  int          `json:"failure_count"`
		FailingSince  *string      `json:"failing_since"`
		LastSuccessAt *string      `json:"last_success_at"`
		LastFailureAt *string      `json:"last_failure_at"`
	}
	lastError struct {
		Code       relay.ErrorCode `json:"code"`
		Message    string          `json:"message"`
		HTTPStatus *int            `json:"http_status"`
		AttemptID  string          `json:"attempt_id"`
	}
)

// TestBody returns the body of a webhook.test event in the format: in rivya a
// generation that is none, in sivi a call of status "test" whose requestId is
// the event's.
func TestBody(format relay.Format, eventID string, createdAt time.Time) []byte {
	if format == relay.FormatSivi {
		return marshal(siviCall{200, siviBody{Status: "test", RequestID: eventID}})
	}
	at := relay.FormatTime(createdAt)
	return Body(eventID, relay.TypeTest, createdAt, marshal(map[string]any{"generation": generation{
		ID: "task_test", Status: "succeeded", Model: "test", CreatedAt: at, UpdatedAt: at,
	}}))
}

// DisabledBody returns the body of the endpoint.disabled event id about ep, which
// was disabled at the time at. It leaves the endpoint's URL out: it goes to the
// account's other endpoints, and a URL may hold a secret.
func DisabledBody(id string, ep relay.Endpoint, at time.Time) []byte {
	return Body(id, TypeDisabled, at, marshal(map[string]any{"endpoint": disabled{
		ID: ep.ID, Object: "webhook_endpoint", Name: ep.Name, Status: relay.Disabled,
		DisabledAt: relay.FormatTime(at), DisabledReason: ep.DisabledReason,
	}}))
}

// HealthBody returns the body of the event id of the type, one of those about an
// endpoint's health, as it is at the time at, with its last failed attempt, empty
// if there is none. Like DisabledBody it leaves the URL out.
func HealthBody(id, typ string, ep relay.Endpoint, c relay.Counters, h relay.Health, last relay.Attempt, at time.Time) []byte {
	data := struct {
		Endpoint  health     `json:"endpoint"`
		LastError *lastError `json:"last_error"`
	}{Endpoint: health{
		ID: ep.ID, Object: "webhook_endpoint", Name: ep.Name, Status: ep.Status, Health: h, FailureCount: c.FailureCount,
		FailingSince: moment(c.FailingSince), LastSuccessAt: moment(c.LastSuccessAt), LastFailureAt: moment(c.LastFailureAt),
	}}
	if last.ID != "" {
		data.LastError = &lastError{Code: last.ErrorCode, Message: last.ErrorMessage, AttemptID: last.ID}
		if last.HTTPStatus != 0 {
			data.LastError.HTTPStatus = &last.HTTPStatus
		}
	}
	return Body(id, typ, at, marshal(data))
}

func moment(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := relay.FormatTime(t)
	return &s
}

func appendText(b []byte, text string) []byte { return append(b, marshal(text)...) }

// marshal is json.Marshal without the escapes that are for HTML alone.
func marshal(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // strings and integers always marshal
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
