// Package signature makes and checks the two signatures that Hookferry speaks:
// Rivya's v1 (what providers send us and every delivery carries) and Standard
// Webhooks (https://www.standardwebhooks.com, what a delivery carries besides
// when its endpoint asks for it).
//
// Both are HMAC-SHA256. Rivya signs "timestamp.body" and the key is the whole
// secret as it is written, prefix included. Standard Webhooks signs
// "id.timestamp.body" and the key is what the secret's base64 decodes to.
//
// Nothing here falls back: without a usable secret nothing is signed and
// nothing is right. Comparisons take constant time. What a header may hold is
// bounded, so that a caller cannot make us work. The functions keep no state
// and are safe for concurrent use.
package signature

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Tolerance is how far a timestamp may be from now, either way.
const Tolerance = 5 * time.Minute

// Bounds of what is read of a header: MaxHeader bytes, and MaxSignatures
// signatures, those of unknown versions included. A header over either is
// malformed.
const (
	MaxHeader     = 4096
	MaxSignatures = 20
)

// Why a signature cannot be made or is not accepted; test with errors.Is. The
// messages are safe to show to the caller.
var (
	// ErrNoSecret: no secret was given, or one of them is empty or malformed.
	// Our own fault, never the caller's.
	ErrNoSecret = errors.New("no usable signing secret")
	// ErrMissing: there is no signature, timestamp or id.
	ErrMissing = errors.New("signature header missing")
	// ErrMalformed: the timestamp is no number, the header is too long, or there
	// is no signature of a known version in it.
	ErrMalformed = errors.New("signature header malformed")
	// ErrStale: the timestamp is more than Tolerance before or after now.
	ErrStale = errors.New("signature timestamp is not within 5 minutes")
	// ErrMismatch: no signature fits body, timestamp and secret.
	ErrMismatch = errors.New("signature does not match")
)

const sumSize = sha256.Size

type sum = [sumSize]byte

// parseTimestamp reads Unix seconds: 1 to 15 digits and nothing else, so that
// the text that is signed has one meaning.
func parseTimestamp(text string, now time.Time) error {
	if text == "" {
		return fmt.Errorf("%w: no timestamp", ErrMissing)
	}
	if len(text) > 15 {
		return fmt.Errorf("%w: timestamp is not Unix seconds", ErrMalformed)
	}
	var seconds int64
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return fmt.Errorf("%w: timestamp is not Unix seconds", ErrMalformed)
		}
		seconds = 10*seconds + int64(text[i]-'0')
	}
	age := now.Sub(time.Unix(seconds, 0))
	if age > Tolerance || age < -Tolerance {
		return ErrStale
	}
	return nil
}

// candidates reads the signatures of version 1 from a header: parts between
// separators, each with the prefix and then a signature that decode takes. It
// fills sums and returns how many there are. Parts of other versions, and parts
// that decode refuses, are passed over.
func candidates(header, prefix string, separator byte, decode func(text string, into *sum) bool, sums *[MaxSignatures]sum) (int, error) {
	if header == "" {
		return 0, ErrMissing
	}
	if len(header) > MaxHeader {
		return 0, fmt.Errorf("%w: over %d bytes", ErrMalformed, MaxHeader)
	}
	found, parts := 0, 0
	for part := range strings.SplitSeq(header, string(separator)) {
		part = strings.Trim(part, " \t")
		if part == "" {
			continue
		}
		if parts++; parts > MaxSignatures {
			return 0, fmt.Errorf("%w: over %d signatures", ErrMalformed, MaxSignatures)
		}
		if text, ok := strings.CutPrefix(part, prefix); ok && decode(text, &sums[found]) {
			found++
		}
	}
	if found == 0 {
		return 0, fmt.Errorf("%w: no v1 signature in it", ErrMalformed)
	}
	return found, nil
}
