package api

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"hookferry/shared/relay"
)

const (
	maxIdempotencyKey = 255
	idempotencyLife   = 24 * time.Hour
)

// A making is what a call is about to make. With an Idempotency-Key it is the
// same in every repeat of the call, because the record of the key is put before
// anything is made: whoever repeats a call that was cut off, by us or on its way
// back, makes the rest of the same thing, and never a second one.
type making struct {
	id    string    // of what is made
	at    time.Time // when the first of the calls came
	keyed bool      // the call carries a key
	again bool      // the key was used before, so it may be made already
	mine  bool      // the first of the calls was made with this same API key
}

// making returns what the call makes: id, unless it carries an Idempotency-Key
// that stands for another. route names the call. It is asked for once the call
// is known to be a good one, and before anything is written.
func (s *server) making(c *call, o *object, route, id string) (making, error) {
	m := making{id: id, at: c.now, mine: true}
	key, err := c.idempotencyKey()
	if key == "" || err != nil {
		return m, err
	}
	m.keyed = true
	body := o.body
	if len(body) == 0 {
		body = []byte("{}") // which is what no body means
	}
	r := relay.Idempotency{
		Account: c.account(), Key: sha256.Sum256([]byte(key)), Body: sha256.Sum256(body), Route: route,
		EventID: id, CreatedAt: c.now, ExpiresAt: c.now.Add(idempotencyLife),
	}
	if route != publishRoute {
		r.KeyID = c.key.ID
	}
	first, err := s.Store.PutIdempotency(c.ctx(), r)
	if err != nil {
		return m, fmt.Errorf("record idempotency key: %w", err)
	}
	if first == nil {
		return m, nil
	}
	if first.Route != r.Route || first.Body != r.Body {
		return m, &relay.Error{
			Kind:   relay.KindIdempotencyConflict,
			Detail: "This Idempotency-Key was used for another call, or with another body, in the last 24 hours. Take a new key for each new thing.",
		}
	}
	c.w.Header().Set("Idempotent-Replayed", "true")
	m.id, m.at, m.again, m.mine = first.EventID, first.CreatedAt, true, first.KeyID == r.KeyID
	return m, nil
}

// publishRoute is the route of published events, whose records name none.
const publishRoute = ""

// route names the call for an idempotency record: the path as it was called, so
// that a key used for one endpoint is not taken for another.
func (c *call) route() string { return c.r.Method + " " + c.r.URL.EscapedPath() }

// finish makes what the call is to make unless it is there, and reports whether
// it made it. find and create are given the making's id. Two calls with one key
// may come here at the same time, and a write that was reported as failed may
// have taken effect: whoever could not create it looks again.
func finish[T any](m making, find func() (T, error), create func() (T, error)) (v T, made bool, err error) {
	if m.again {
		if v, err = find(); err == nil || !errors.Is(err, relay.ErrNotFound) {
			return v, false, err
		}
	}
	if v, err = create(); err == nil || !m.keyed {
		return v, err == nil, err
	}
	if there, lost := find(); lost == nil {
		return there, false, nil
	}
	return v, false, err
}

// idempotencyKey returns the header's value, or "" if there is none.
func (c *call) idempotencyKey() (string, error) {
	values := c.r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	if v := values[0]; len(values) > 1 || v == "" || len(v) > maxIdempotencyKey || !asciiFrom(v, 0x21) {
		return "", relay.Invalid("Idempotency-Key", "Idempotency-Key must be given once and have 1 to %d visible ASCII characters.", maxIdempotencyKey)
	}
	return values[0], nil
}
