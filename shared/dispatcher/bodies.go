package dispatcher

import (
	"errors"
	"fmt"
	"sync"

	"hookferry/events"
	"hookferry/shared/generation"
	"hookferry/shared/relay"
	"hookferry/shared/sivi"
)

// errFormat means that an event cannot go out in a format: events of Rivya and
// published ones to an endpoint that takes Sivi's.
var errFormat = errors.New("the event cannot be had in this format")

// bodies opens an event's payload when it is first needed, and translates it
// once for each format. It is safe for concurrent use.
type bodies struct {
	ev relay.Event

	open   sync.Once
	opened []byte
	err    error

	translate  sync.Once
	translated []byte
	transErr   error
}

// raw returns the payload as it came in.
func (b *bodies) raw() ([]byte, error) {
	b.open.Do(func() { b.opened, b.err = b.ev.Payload.Bytes() })
	return b.opened, b.err
}

// in returns the body for an endpoint's format. errFormat.
func (b *bodies) in(format relay.Format) ([]byte, error) {
	body, err := b.raw()
	switch {
	case err != nil || b.ev.Format == format || format == relay.FormatVerbatim:
		return body, err
	case format == relay.FormatRivya:
		b.translate.Do(func() {
			if b.translated, b.transErr = rivya(b.ev, body); b.transErr != nil {
				b.transErr = fmt.Errorf("translate: %w", b.transErr)
			}
		})
		return b.translated, b.transErr
	case b.ev.Type == relay.TypeTest:
		return events.TestBody(relay.FormatSivi, b.ev.ID, b.ev.CreatedAt), nil
	}
	return nil, errFormat
}

// rivya returns the body of an event in another format in format rivya: a
// generation for a call of Sivi and of the providers whose generations are
// known, else an envelope with the provider's JSON as its data.
func rivya(ev relay.Event, body []byte) ([]byte, error) {
	switch provider := string(ev.Format); {
	case ev.Format == relay.FormatSivi:
		return sivi.Translate(ev, body)
	case generation.Known(provider):
		return generation.Translate(provider, ev, body)
	default:
		return events.Body(ev.ID, ev.Type, ev.CreatedAt, body), nil
	}
}
