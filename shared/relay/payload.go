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

// A Payload is the body of an event exactly as it came in, kept as a deflated stream
// (RFC 1951): a queue refuses some characters, a store bills by size. Where neither
// matters it may be a stream that is not compressed, see StorePayload. The zero
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

// maxStored is how many bytes a block that is not compressed can have.
const maxStored = 1<<16 - 1

// StorePayload is NewPayload without compression: the stream consists of stored
// blocks, the body's bytes behind five of their own. It is a tenth of the work, also
// to read, and takes as much room as the body.
func StorePayload(body []byte) Payload {
	if len(body) == 0 {
		return Payload{}
	}
	b := make([]byte, 0, len(body)+5*(1+len(body)/maxStored))
	for len(body) > 0 {
		n := min(len(body), maxStored)
		last := byte(0)
		if n == len(body) {
			last = 1
		}
		b = append(b, last, byte(n), byte(n>>8), byte(^n), byte(^n>>8))
		b = append(b, body[:n]...)
		body = body[n:]
	}
	return Payload{deflated: b}
}

// stored returns the body if the stream is what StorePayload makes.
func stored(b []byte) (body []byte, ok bool) {
	for first := true; ; first = false {
		if len(b) < 5 || b[0] > 1 {
			return nil, false
		}
		n := int(b[1]) | int(b[2])<<8
		if n != ^(int(b[3])|int(b[4])<<8)&maxStored || len(b) < 5+n {
			return nil, false
		}
		last, block := b[0] == 1, b[5:5+n:5+n]
		switch b = b[5+n:]; {
		case last && len(b) > 0:
			return nil, false
		case last && first:
			return block, true
		}
		if body = append(body, block...); last {
			return body, true
		}
	}
}

// PayloadFromDeflated takes what Deflated gave.
func PayloadFromDeflated(b []byte) Payload { return Payload{deflated: b} }

// Deflated returns the payload as it is stored. The caller must not change it.
func (p Payload) Deflated() []byte { return p.deflated }

var inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// Bytes returns the body, or an error if what was stored is damaged or inflates
// to more than MaxPayload. The caller must not change it.
func (p Payload) Bytes() ([]byte, error) {
	if len(p.deflated) == 0 {
		return nil, nil
	}
	if body, ok := stored(p.deflated); ok {
		if len(body) > MaxPayload {
			return nil, fmt.Errorf("inflate payload: over %d bytes", MaxPayload)
		}
		return body, nil
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
