// Package body gives the body of an event as an endpoint is sent it: the bytes
// that came in, or what is made of them for another format (contract section 5).
// The dispatcher sends it; filters are judged by it, there and in the API.
package body

import (
	"errors"
	"fmt"

	"hookferry/events"
	"hookferry/shared/generation"
	"hookferry/shared/relay"
	"hookferry/shared/sivi"
)

// ErrFormat means that an event cannot go out in a format: events of Rivya and
// published ones to an endpoint that takes Sivi's.
var ErrFormat = errors.New("the event cannot be had in this format")

// In returns the body of an event, whose payload is raw, in a format. ErrFormat;
// any other error means that the payload is not what its event says.
func In(ev relay.Event, raw []byte, format relay.Format) ([]byte, error) {
	switch {
	case ev.Format == format || format == relay.FormatVerbatim:
		return raw, nil
	case format == relay.FormatRivya:
		translated, err := rivya(ev, raw)
		if err != nil {
			return nil, fmt.Errorf("translate: %w", err)
		}
		return translated, nil
	case ev.Type == relay.TypeTest:
		return events.TestBody(relay.FormatSivi, ev.ID, ev.CreatedAt), nil
	}
	return nil, ErrFormat
}

// rivya returns the body of an event in another format in format rivya: a
// generation for a call of Sivi and of the providers whose generations are
// known, else an envelope with the provider's JSON as its data.
func rivya(ev relay.Event, raw []byte) ([]byte, error) {
	switch provider := string(ev.Format); {
	case ev.Format == relay.FormatSivi:
		return sivi.Translate(ev, raw)
	case generation.Known(provider):
		return generation.Translate(provider, ev, raw)
	default:
		return events.Body(ev.ID, ev.Type, ev.CreatedAt, raw), nil
	}
}
