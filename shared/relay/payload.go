package relay

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"sync"
)

// MaxPayload is the most bytes that an event's body may have: 256 KiB.
const MaxPayload = 256 << 10

// A Payload is the body of an event exactly as it came in, kept deflated
// (RFC 1951): a queue refuses some characters, a store bills by size. The zero
// Payload is an empty body.
type Payload struct{ deflated []byte }

var deflaters = sync.Pool{New: func() any {
	// One level up from the fastest takes 10 µs more for a body of 1 KiB. A write
	// unit that a few bytes more would cost is worth a thousand times as much.
	w, err := flate.NewWriter(io.Discard, flate.BestSpeed+1)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

// NewPayload deflates body, which it does not keep.
func NewPayload(body []byte) Payload {
	if len(body) == 0 {
		return Payload{}
	}
	var buf bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&buf)
	_, err := w.Write(body)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a bytes.Buffer takes everything
	}
	return Payload{deflated: buf.Bytes()}
}

// PayloadFromDeflated takes what Deflated gave.
func PayloadFromDeflated(b []byte) Payload { return Payload{deflated: b} }

// Deflated returns the payload as it is stored. The caller must not change it.
func (p Payload) Deflated() []byte { return p.deflated }

var inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// Bytes returns the body, or an error if what was stored is damaged or inflates
// to more than MaxPayload.
func (p Payload) Bytes() ([]byte, error) {
	if len(p.deflated) == 0 {
		return nil, nil
	}
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(p.deflated), nil); err != nil {
		return nil, fmt.Errorf("inflate payload: %w", err)
	}
	var body bytes.Buffer
	body.Grow(3 * len(p.deflated))
	n, err := io.Copy(&body, io.LimitReader(r, MaxPayload+1))
	if err != nil {
		return nil, fmt.Errorf("inflate payload: %w", err)
	}
	if n > MaxPayload {
		return nil, fmt.Errorf("inflate payload: over %d bytes", MaxPayload)
	}
	return body.Bytes(), nil
}
