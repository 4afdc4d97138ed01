package api

import (
	"encoding/base64"
	"errors"
	"fmt"
	"unicode/utf8"

	"hookferry/shared/body"
	"hookferry/shared/relay"
)

// wireBody is the body of an event, byte for byte.
type wireBody struct {
	Object     string       `json:"object"`
	EventID    string       `json:"event_id"`
	EndpointID *string      `json:"endpoint_id"`
	Format     relay.Format `json:"format"`
	Encoding   string       `json:"encoding"` // utf8, or base64 for what is no UTF-8
	Body       string       `json:"body"`
}

// readEventBody answers the bytes that an endpoint is sent of an event, or those that
// came in, so that a signature can be computed again from them.
func (s *server) readEventBody(c *call) (answer, error) {
	id := c.r.PathValue("id")
	if !relay.ValidEventID(id) {
		return answer{}, notFound("event")
	}
	q := c.filters()
	endpoint := q.text("endpoint_id", "an endpoint's id", func(v string) bool { return validID(relay.EndpointPrefix, v) })
	if q.err != nil {
		return answer{}, q.err
	}
	source, err := c.sourceParameter()
	if err != nil {
		return answer{}, err
	}
	r, _, err := s.eventByID(c, id, source)
	if err != nil {
		return answer{}, err
	}
	w := wireBody{Object: "webhook_body", EventID: r.ID, EndpointID: textOrNull(endpoint), Format: r.Format, Encoding: "utf8"}
	content, err := r.Payload.Bytes()
	if err != nil {
		return answer{}, internal(fmt.Errorf("read payload: %w", err))
	}
	if endpoint != "" {
		ep, err := s.Store.Endpoint(c.ctx(), c.account(), endpoint)
		if err != nil {
			return answer{}, found(fmt.Errorf("read endpoint %s: %w", endpoint, err), "endpoint")
		}
		w.Format = ep.Format
		content, err = body.In(r.Event, content, ep.Format)
		if errors.Is(err, body.ErrFormat) {
			return answer{}, relay.Invalid("endpoint_id", "The event cannot be had in the format of this endpoint.")
		}
		if err != nil {
			return answer{}, internal(fmt.Errorf("make body: %w", err))
		}
	}
	if w.Body = string(content); !utf8.Valid(content) {
		w.Encoding, w.Body = "base64", base64.StdEncoding.EncodeToString(content)
	}
	return ok(w)
}
