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
	w := newWork()
	defer w.done()
	if err := w.readKeys(secrets, rivyaKey); err != nil {
		return "", err
	}
	w.setHead("")
	w.head = append(strconv.AppendInt(w.head, ts, 10), '.')
	for i, key := range w.keys {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.mac(key, body)
		w.out = hex.AppendEncode(append(w.out, "v1="...), w.sum[:])
	}
	return string(w.out), nil
}

// VerifyRivya returns nil if header, the value of Rivya-Webhook-Signature, holds
// a v1 signature of body and timestamp, the value of Rivya-Webhook-Timestamp,
// under one of the secrets, and timestamp is within Tolerance of now. Body must
// be the bytes as they were received. Several header fields are joined with
// commas. The error wraps one of this package's.
func VerifyRivya(header, timestamp string, body []byte, now time.Time, secrets ...relay.Secret) error {
	w := newWork()
	defer w.done()
	if err := w.readKeys(secrets, rivyaKey); err != nil {
		return err
	}
	n, err := candidates(header, "v1=", ',', decodeHex, &w.candidates)
	if err != nil {
		return err
	}
	if err := parseTimestamp(timestamp, now); err != nil {
		return err
	}
	w.setHead("")
	w.head = append(append(w.head, timestamp...), '.')
	if !w.match(n, body) {
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

func rivyaKey(w *work, s relay.Secret) error {
	text := s.Reveal()
	if len(text) < MinRivyaSecret || len(text) > MaxRivyaSecret {
		return fmt.Errorf("%w: want %d to %d characters", ErrNoSecret, MinRivyaSecret, MaxRivyaSecret)
	}
	for i := range len(text) {
		if text[i] < 0x20 || text[i] > 0x7e {
			return fmt.Errorf("%w: want printable ASCII characters", ErrNoSecret)
		}
	}
	w.memory = append(w.memory, text...)
	return nil
}

func decodeHex(text string, into *sum) bool {
	var digits [2 * sumSize]byte
	if len(text) != len(digits) {
		return false
	}
	copy(digits[:], text)
	_, err := hex.Decode(into[:], digits[:])
	return err == nil
}
