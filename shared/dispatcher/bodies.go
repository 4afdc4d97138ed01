package dispatcher

import (
	"sync"

	"hookferry/shared/body"
	"hookferry/shared/relay"
)

// errFormat means that an event cannot go out in a format.
var errFormat = body.ErrFormat

// bodies opens an event's payload when it is first needed, and makes what is sent
// of it once for each format. It is safe for concurrent use.
type bodies struct {
	ev relay.Event

	open   sync.Once
	opened []byte
	err    error

	mu   sync.Mutex
	made map[relay.Format]made
}

type made struct {
	body []byte
	err  error
}

// raw returns the payload as it came in.
func (b *bodies) raw() ([]byte, error) {
	b.open.Do(func() { b.opened, b.err = b.ev.Payload.Bytes() })
	return b.opened, b.err
}

// in returns the body for an endpoint's format. errFormat.
func (b *bodies) in(format relay.Format) ([]byte, error) {
	raw, err := b.raw()
	if err != nil || b.ev.Format == format {
		return raw, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	m, ok := b.made[format]
	if !ok {
		m.body, m.err = body.In(b.ev, raw, format)
		if b.made == nil {
			b.made = map[relay.Format]made{}
		}
		b.made[format] = m
	}
	return m.body, m.err
}
