package sivi

import (
	"bytes"
	"encoding/json"

	"hookferry/events"
	"hookferry/shared/rawjson"
	"hookferry/shared/relay"
)

// noReason is the error message of a failure that Sivi gave no reason for.
const noReason = "Sivi gave no reason."

// generation is data.generation of an event in format rivya. What Sivi does not
// tell is null.
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
// CreatedAt it takes, from Sivi's body, which is part of it byte for byte as
// data.sivi. It succeeds for every body that Parse takes: of a result in another
// form than the documented one, what is not understood is left out of
// data.generation and stays in data.sivi.
func Translate(ev relay.Event, body []byte) ([]byte, error) {
	d, err := read(body)
	if err != nil {
		return nil, err
	}
	at := relay.FormatTime(ev.CreatedAt)
	g := generation{ID: d.RequestID, Status: d.Status, CreatedAt: at, UpdatedAt: at, Result: images(d.result)}
	switch d.Type {
	case TypeSucceeded:
		g.Status = "succeeded"
	case TypeFailed:
		g.Status = "failed"
		g.Error = &fault{Code: "generation_failed", Message: reason(d.reason)}
	}

	var data bytes.Buffer
	data.Grow(len(body) + 1024)
	data.WriteString(`{"generation":`)
	write(&data, g)
	// Not through json.Marshal, which would compact and escape it.
	data.WriteString(`,"sivi":`)
	data.Write(body)
	data.WriteByte('}')
	return events.Body(ev.ID, ev.Type, ev.CreatedAt, data.Bytes()), nil
}

// images returns the URLs of a result's variations, or nil if there are none: a
// brand extraction has none.
func images(raw []byte) *result {
	fields, err := rawjson.Fields(raw, "variations")
	if err != nil {
		return nil
	}
	var urls []string
	rawjson.Elements(fields[0], func(variation []byte) bool {
		if fields, err := rawjson.Fields(variation, "variantImageUrl"); err == nil {
			if u, ok := rawjson.String(fields[0]); ok && u != "" {
				urls = append(urls, u)
			}
		}
		return true
	})
	if len(urls) == 0 {
		return nil
	}
	return &result{PrimaryURL: urls[0], URLs: urls}
}

// reason returns the text of a failure's reason; one that is no string as its JSON.
func reason(raw []byte) string {
	if rawjson.IsNull(raw) {
		return noReason
	}
	s, ok := rawjson.String(raw)
	if !ok {
		return string(raw)
	}
	if s == "" {
		return noReason
	}
	return s
}

func write(out *bytes.Buffer, v any) {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false) // URLs are full of &
	if err := enc.Encode(v); err != nil {
		panic(err) // strings, and structs of them, always marshal
	}
	out.Truncate(out.Len() - 1) // the newline
}
