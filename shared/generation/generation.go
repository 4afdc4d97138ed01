package generation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"

	"hookferry/events"
	"hookferry/shared/rawjson"
	"hookferry/shared/relay"
)

// The types of normalised events.
const (
	TypeSucceeded = "generation.succeeded"
	TypeFailed    = "generation.failed"
	TypeUpdated   = "generation.updated"
)

// ErrNone means that a body is no generation: it has no id or no status.
var ErrNone = errors.New("the body is no generation")

// Bounds of what is taken over; what is beyond stays in the provider's own body.
const (
	maxURLs    = 1000
	maxURL     = 2048
	maxMessage = 4096
)

// Type returns the type of the event that a provider's body is. ErrNone;
// rawjson's errors for a body that is no JSON object, or has a field of the
// mapping twice.
func Type(provider string, body []byte) (string, error) {
	m := mappings[provider]
	_, status, err := m.head(body)
	return m.typeOf(status), err
}

func (m mapping) typeOf(status string) string {
	switch {
	case slices.Contains(m.Succeeded, status):
		return TypeSucceeded
	case slices.Contains(m.Failed, status):
		return TypeFailed
	}
	return TypeUpdated
}

// head returns id and status.
func (m mapping) head(body []byte) (id, status string, err error) {
	if !rawjson.Valid(body) {
		return "", "", rawjson.ErrInvalid
	}
	if id, err = m.text(body, m.ID); err != nil {
		return "", "", err
	}
	if status, err = m.text(body, m.Status); err != nil {
		return "", "", err
	}
	if id == "" || status == "" {
		return "", "", ErrNone
	}
	return id, status, nil
}

// text returns the first text that one of the paths leads to, or "".
func (m mapping) text(body []byte, paths ...path) (string, error) {
	for _, p := range paths {
		found := ""
		if err := walk(body, p, func(raw []byte) bool {
			if s, ok := rawjson.String(raw); ok {
				found = s
			}
			return found == ""
		}); err != nil {
			return "", err
		}
		if found != "" {
			return found, nil
		}
	}
	return "", nil
}

// walk calls yield with each value that the path leads to until it returns
// false. A field that is there twice is an error, because two readers would see
// two generations.
func walk(raw []byte, p path, yield func([]byte) bool) error {
	_, err := step(raw, p, yield)
	return err
}

func step(raw []byte, p path, yield func([]byte) bool) (more bool, err error) {
	if len(p) == 0 {
		return yield(raw), nil
	}
	more = true
	if p[0] == "*" {
		if !rawjson.IsNull(raw) {
			rawjson.Elements(raw, func(e []byte) bool {
				more, err = step(e, p[1:], yield)
				return more && err == nil
			})
		}
		return more, err
	}
	fields, err := rawjson.Fields(raw, p[0])
	switch {
	case errors.Is(err, rawjson.ErrNotObject):
		return true, nil
	case err != nil:
		return false, err
	case fields[0] == nil:
		return true, nil
	}
	return step(fields[0], p[1:], yield)
}

// generation is data.generation of an event in format rivya. What a provider
// does not tell is null.
type generation struct {
	ID              string  `json:"id"`
	Status          string  `json:"status"`
	Model           *string `json:"model"`
	ReservedCredits *int    `json:"reserved_credits"`
	FinalCredits    *int    `json:"final_credits"`
	CreatedAt       string  `json:"created_at"`
	UpdatedAt       string  `json:"updated_at"`
	Result          *result `json:"result"`
	Error           *fault  `json:"error"`
}

type result struct {
	PrimaryURL string   `json:"primary_url"`
	URLs       []string `json:"urls"`
}

type fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Translate returns the body in format rivya of the event ev, whose ID, Type and
// CreatedAt it takes, from the provider's body, which is part of it byte for byte
// as data.<provider>. It succeeds for every body that Type takes: of a result in
// another form than the documented one, what is not understood is left out of
// data.generation.
func Translate(provider string, ev relay.Event, body []byte) ([]byte, error) {
	m, ok := mappings[provider]
	if !ok {
		return nil, fmt.Errorf("no provider %q is known", provider)
	}
	id, status, err := m.head(body)
	if err != nil {
		return nil, err
	}
	g := generation{
		ID: id, Status: status, Model: m.model(body), Result: m.result(body),
		CreatedAt: m.moment(body, m.CreatedAt, ev.CreatedAt), UpdatedAt: m.moment(body, m.UpdatedAt, ev.CreatedAt),
	}
	switch ev.Type {
	case TypeSucceeded:
		g.Status = "succeeded"
	case TypeFailed:
		g.Status, g.Result = "failed", nil
		g.Error = &fault{Code: "generation_failed", Message: m.reason(body, status)}
	}
	var data bytes.Buffer
	data.Grow(len(body) + 1024)
	data.WriteString(`{"generation":`)
	enc := json.NewEncoder(&data)
	enc.SetEscapeHTML(false) // URLs are full of &
	if err := enc.Encode(g); err != nil {
		panic(err) // strings, and structs of them, always marshal
	}
	data.Truncate(data.Len() - 1) // the newline
	// Not through json.Marshal, which would compact and escape it.
	data.WriteString(`,"` + provider + `":`)
	data.Write(body)
	data.WriteByte('}')
	return events.Body(ev.ID, ev.Type, ev.CreatedAt, data.Bytes()), nil
}

func (m mapping) model(body []byte) *string {
	if s, err := m.text(body, m.Model...); err == nil && s != "" {
		return &s
	}
	return nil
}

// moment returns a time as every time is shown; otherwise if the body has none.
func (m mapping) moment(body []byte, paths []path, otherwise time.Time) string {
	if s, err := m.text(body, paths...); err == nil {
		if t, err := time.Parse(time.RFC3339, s); err == nil && t.Year() >= 1970 && t.UTC().Year() <= 9999 {
			return relay.FormatTime(t)
		}
	}
	return relay.FormatTime(otherwise)
}

// result returns what was made, or nil if the body names no URL. Text that a
// model wrote is none.
func (m mapping) result(body []byte) *result {
	var urls []string
	for _, p := range m.URLs {
		err := walk(body, p, func(raw []byte) bool {
			if s, ok := rawjson.String(raw); ok && isURL(s) {
				urls = append(urls, s)
			}
			return len(urls) < maxURLs
		})
		if err != nil {
			return nil // whose field is there twice: it stays in the provider's body
		}
	}
	if len(urls) == 0 {
		return nil
	}
	return &result{PrimaryURL: urls[0], URLs: urls}
}

func isURL(s string) bool {
	if len(s) > maxURL {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// reason returns why a generation failed.
func (m mapping) reason(body []byte, status string) string {
	s, err := m.text(body, m.Error...)
	if err != nil || s == "" {
		return fmt.Sprintf("The provider gave no reason; its status is %q.", status)
	}
	if len(s) > maxMessage {
		end := maxMessage
		for !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end]
	}
	return s
}
