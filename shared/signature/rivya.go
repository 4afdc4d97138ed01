package signature

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"hookferry/shared/relay"
)

// The length that a Rivya secret may have, in printable ASCII characters.
const (
	MinRivyaSecret = 8
	MaxRivyaSecret = 256
)

// SignRivya returns the value of Rivya-Webhook-Signature for a body that is sent
// at ts (Unix seconds, the value of Rivya-Webhook-Timestamp): v1=<hex>, one for
// each secret and in their order, with commas between. ErrNoSecret.
func SignRivya(ts int64, body []byte, secrets ...relay.Secret) (string, error) {
	ks, err := keys(secrets, rivyaKey)
	if err != nil {
		return "", err
	}
	signed := head("", strconv.FormatInt(ts, 10))
	var s sum
	out := make([]byte, 0, len(ks)*(len("v1=,")+2*sumSize))
	for i, key := range ks {
		if i > 0 {
			out = append(out, ',')
		}
		mac(key, signed, body, &s)
		out = hex.AppendEncode(append(out, "v1="...), s[:])
	}
	return string(out), nil
}

// VerifyRivya returns nil if header, the value of Rivya-Webhook-Signature, holds
// a v1 signature of body and timestamp, the value of Rivya-Webhook-Timestamp,
// under one of the secrets, and timestamp is within Tolerance of now. Body must
// be the bytes as they were received. Several header fields are joined with
// commas. The error wraps one of this package's.
func VerifyRivya(header, timestamp string, body []byte, now time.Time, secrets ...relay.Secret) error {
	ks, err := keys(secrets, rivyaKey)
	if err != nil {
		return err
	}
	var sums [MaxSignatures]sum
	n, err := candidates(header, "v1=", ',', decodeHex, &sums)
	if err != nil {
		return err
	}
	if err := parseTimestamp(timestamp, now); err != nil {
		return err
	}
	if !match(sums[:n], ks, head("", timestamp), body) {
		return ErrMismatch
	}
	return nil
}

// PrecheckRivya returns what VerifyRivya would say of the two headers whatever the
// body is, so that a call which cannot be right is refused before its body is
// read: ErrMissing, ErrMalformed, ErrStale, or nil.
func PrecheckRivya(header, timestamp string, now time.Time) error {
	var sums [MaxSignatures]sum
	if _, err := candidates(header, "v1=", ',', decodeHex, &sums); err != nil {
		return err
	}
	return parseTimestamp(timestamp, now)
}

func rivyaKey(s relay.Secret) ([]byte, error) {
	text := s.Reveal()
	if len(text) < MinRivyaSecret || len(text) > MaxRivyaSecret {
		return nil, fmt.Errorf("%w: want %d to %d characters", ErrNoSecret, MinRivyaSecret, MaxRivyaSecret)
	}
	for i := range len(text) {
		if text[i] < 0x20 || text[i] > 0x7e {
			return nil, fmt.Errorf("%w: want printable ASCII characters", ErrNoSecret)
		}
	}
	return []byte(text), nil
}

func decodeHex(text string, into *sum) bool {
	if len(text) != 2*sumSize {
		return false
	}
	_, err := hex.Decode(into[:], []byte(text))
	return err == nil
}
