package signature

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hookferry/shared/relay"
)

const secretPrefix = "whsec_"

// The number of bytes that a Standard Webhooks secret decodes to.
const (
	MinStandardKey = 24
	MaxStandardKey = 64
)

// MaxStandardID is the longest webhook-id that is signed or verified.
const MaxStandardID = 256

// Base64 has spare bits in its last character; Strict leaves one text for each
// signature and key.
var base64Strict = base64.StdEncoding.Strict()

// SignStandard returns the value of webhook-signature for the message id sent at
// ts (Unix seconds, the value of webhook-timestamp): v1,<base64>, one for each
// secret and in their order, with spaces between. ErrNoSecret; ErrMissing or
// ErrMalformed if id is empty or longer than MaxStandardID.
func SignStandard(id string, ts int64, body []byte, secrets ...relay.Secret) (string, error) {
	w := newWork()
	defer w.done()
	if err := w.readKeys(secrets, standardKey); err != nil {
		return "", err
	}
	if err := checkID(id); err != nil {
		return "", err
	}
	w.setHead(id)
	w.head = append(strconv.AppendInt(w.head, ts, 10), '.')
	for i, key := range w.keys {
		if i > 0 {
			w.out = append(w.out, ' ')
		}
		w.mac(key, body)
		w.out = base64Strict.AppendEncode(append(w.out, "v1,"...), w.sum[:])
	}
	return string(w.out), nil
}

// VerifyStandard returns nil if header, the value of webhook-signature, holds a
// v1 signature of webhook-id, webhook-timestamp and body under one of the
// secrets, and timestamp is within Tolerance of now. Body must be the bytes as
// they were received. The error wraps one of this package's.
func VerifyStandard(id, header, timestamp string, body []byte, now time.Time, secrets ...relay.Secret) error {
	w := newWork()
	defer w.done()
	if err := w.readKeys(secrets, standardKey); err != nil {
		return err
	}
	if err := checkID(id); err != nil {
		return err
	}
	n, err := candidates(header, "v1,", ' ', decodeBase64, &w.candidates)
	if err != nil {
		return err
	}
	if err := parseTimestamp(timestamp, now); err != nil {
		return err
	}
	w.setHead(id)
	w.head = append(append(w.head, timestamp...), '.')
	if !w.match(n, body) {
		return ErrMismatch
	}
	return nil
}

func checkID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%w: no id", ErrMissing)
	case len(id) > MaxStandardID:
		return fmt.Errorf("%w: id over %d bytes", ErrMalformed, MaxStandardID)
	}
	return nil
}

func standardKey(w *work, s relay.Secret) error {
	text, ok := strings.CutPrefix(s.Reveal(), secretPrefix)
	if !ok {
		return fmt.Errorf("%w: want whsec_ at its beginning", ErrNoSecret)
	}
	// Decoders of the standard library pass over line breaks.
	if strings.ContainsAny(text, "\r\n") {
		return fmt.Errorf("%w: want base64 after whsec_", ErrNoSecret)
	}
	start := len(w.memory)
	w.text = append(w.text[:0], text...)
	var err error
	if w.memory, err = base64Strict.AppendDecode(w.memory, w.text); err != nil {
		return fmt.Errorf("%w: want base64 after whsec_", ErrNoSecret)
	}
	if n := len(w.memory) - start; n < MinStandardKey || n > MaxStandardKey {
		return fmt.Errorf("%w: want %d to %d bytes in base64 after whsec_", ErrNoSecret, MinStandardKey, MaxStandardKey)
	}
	return nil
}

func decodeBase64(text string, into *sum) bool {
	var digits [(sumSize + 2) / 3 * 4]byte
	if len(text) != len(digits) {
		return false
	}
	copy(digits[:], text)
	var raw [sumSize + 1]byte // the padding decodes to up to one byte more
	n, err := base64Strict.Decode(raw[:], digits[:])
	copy(into[:], raw[:])
	return err == nil && n == sumSize
}

// WebhookID returns the webhook-id under which an event is sent to receivers
// that verify as Standard Webhooks says: the event's ID; or, for an event whose
// ID its provider chose, msg_ and a hash of source and ID, because two sources
// may choose the same (contract section 5). The argument is the event's key.
func WebhookID(key string) string {
	id, source := relay.CutEventKey(key)
	if source == "" {
		return id
	}
	return relay.DerivedID("msg_", source, id)
}
