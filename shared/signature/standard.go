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
	ks, err := keys(secrets, standardKey)
	if err != nil {
		return "", err
	}
	if err := checkID(id); err != nil {
		return "", err
	}
	signed := head(id, strconv.FormatInt(ts, 10))
	var s sum
	out := make([]byte, 0, len(ks)*(len("v1, ")+base64Strict.EncodedLen(sumSize)))
	for i, key := range ks {
		if i > 0 {
			out = append(out, ' ')
		}
		mac(key, signed, body, &s)
		out = base64Strict.AppendEncode(append(out, "v1,"...), s[:])
	}
	return string(out), nil
}

// VerifyStandard returns nil if header, the value of webhook-signature, holds a
// v1 signature of webhook-id, webhook-timestamp and body under one of the
// secrets, and timestamp is within Tolerance of now. Body must be the bytes as
// they were received. The error wraps one of this package's.
func VerifyStandard(id, header, timestamp string, body []byte, now time.Time, secrets ...relay.Secret) error {
	ks, err := keys(secrets, standardKey)
	if err != nil {
		return err
	}
	if err := checkID(id); err != nil {
		return err
	}
	var sums [MaxSignatures]sum
	n, err := candidates(header, "v1,", ' ', decodeBase64, &sums)
	if err != nil {
		return err
	}
	if err := parseTimestamp(timestamp, now); err != nil {
		return err
	}
	if !match(sums[:n], ks, head(id, timestamp), body) {
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

func standardKey(s relay.Secret) ([]byte, error) {
	text, ok := strings.CutPrefix(s.Reveal(), secretPrefix)
	if !ok {
		return nil, fmt.Errorf("%w: want whsec_ at its beginning", ErrNoSecret)
	}
	// Decoders of the standard library pass over line breaks.
	if strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%w: want base64 after whsec_", ErrNoSecret)
	}
	key, err := base64Strict.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: want base64 after whsec_", ErrNoSecret)
	}
	if len(key) < MinStandardKey || len(key) > MaxStandardKey {
		return nil, fmt.Errorf("%w: want %d to %d bytes in base64 after whsec_", ErrNoSecret, MinStandardKey, MaxStandardKey)
	}
	return key, nil
}

func decodeBase64(text string, into *sum) bool {
	if len(text) != base64Strict.EncodedLen(sumSize) {
		return false
	}
	var raw [sumSize + 1]byte // the padding decodes to up to one byte more
	n, err := base64Strict.Decode(raw[:], []byte(text))
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
