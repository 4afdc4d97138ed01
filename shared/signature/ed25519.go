package signature

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/seal"
)

// An EndpointKey is the pair of keys that an endpoint's deliveries are signed
// with where it asks for standard-ed25519.
//
// It is derived from a key of the ring and the endpoint's ID, and so stored
// nowhere; each endpoint has its own, or whoever has one endpoint could pass on
// what was signed for it to another's. It changes when the ring is rotated.
type EndpointKey struct {
	// ID tells the pair from others: the same in every process.
	ID      string
	Private ed25519.PrivateKey
}

// EndpointKeys returns the pairs of an endpoint, one for each key of the ring.
// The first signs now.
func EndpointKeys(ring *seal.Keyring, endpoint string) []EndpointKey {
	versions, seeds := ring.DeriveEach("standard-ed25519 of " + endpoint)
	keys := make([]EndpointKey, len(seeds))
	for i, seed := range seeds {
		keys[i] = EndpointKey{relay.DerivedID("key_", endpoint, strconv.Itoa(versions[i])), ed25519.NewKeyFromSeed(seed)}
	}
	return keys
}

// Public returns the public key as Standard Webhooks writes it: whpk_ and base64.
func (k EndpointKey) Public() string {
	return publicPrefix + base64.StdEncoding.EncodeToString(k.Private.Public().(ed25519.PublicKey))
}

const publicPrefix = "whpk_"

// maxEd25519 is how many pairs sign a delivery: the one of the key that seals
// and, while a ring has more, the newest other one, so that a receiver that has
// not looked the new public key up yet goes on.
const maxEd25519 = 2

// SignEd25519 returns the value of webhook-signature for the message id sent at
// ts: v1a,<base64>, one for each of the first keys, with spaces between.
// ErrNoSecret; ErrMissing or ErrMalformed if id is empty or longer than
// MaxStandardID.
func SignEd25519(id string, ts int64, body []byte, keys ...EndpointKey) (string, error) {
	if len(keys) == 0 {
		return "", fmt.Errorf("%w: no key pair", ErrNoSecret)
	}
	if err := checkID(id); err != nil {
		return "", err
	}
	signed := message(id, strconv.FormatInt(ts, 10), body)
	var out []byte
	for i, k := range keys[:min(len(keys), maxEd25519)] {
		if i > 0 {
			out = append(out, ' ')
		}
		out = base64.StdEncoding.AppendEncode(append(out, "v1a,"...), ed25519.Sign(k.Private, signed))
	}
	return string(out), nil
}

// VerifyEd25519 returns nil if header, the value of webhook-signature, holds a v1a
// signature of webhook-id, webhook-timestamp and body that was made with one of
// the public keys, each whpk_ and base64, and timestamp is within Tolerance of
// now. Body must be the bytes as they were received. The error wraps one of this
// package's; ErrNoSecret if there is no public key or one is none.
func VerifyEd25519(id, header, timestamp string, body []byte, now time.Time, publicKeys ...string) error {
	if len(publicKeys) == 0 {
		return fmt.Errorf("%w: no public key", ErrNoSecret)
	}
	keys := make([]ed25519.PublicKey, len(publicKeys))
	for i, text := range publicKeys {
		raw, err := base64Strict.DecodeString(strings.TrimPrefix(text, publicPrefix))
		if err != nil || len(raw) != ed25519.PublicKeySize || !strings.HasPrefix(text, publicPrefix) {
			return fmt.Errorf("%w: want whpk_ and 32 bytes in base64", ErrNoSecret)
		}
		keys[i] = raw
	}
	if err := checkID(id); err != nil {
		return err
	}
	signatures, err := asymmetric(header)
	if err != nil {
		return err
	}
	if err := parseTimestamp(timestamp, now); err != nil {
		return err
	}
	signed := message(id, timestamp, body)
	for _, key := range keys {
		for _, sig := range signatures {
			if ed25519.Verify(key, signed, sig) {
				return nil
			}
		}
	}
	return ErrMismatch
}

// maxAsymmetric is how many v1a signatures a header may hold: each is checked
// with each key over all of the body.
const maxAsymmetric = 3

// asymmetric reads the v1a signatures of a header.
func asymmetric(header string) (found [][]byte, err error) {
	if header == "" {
		return nil, ErrMissing
	}
	if len(header) > MaxHeader {
		return nil, fmt.Errorf("%w: over %d bytes", ErrMalformed, MaxHeader)
	}
	for part := range strings.FieldsSeq(header) {
		text, ok := strings.CutPrefix(part, "v1a,")
		if !ok {
			continue
		}
		if raw, err := base64Strict.DecodeString(text); err == nil && len(raw) == ed25519.SignatureSize {
			found = append(found, raw)
		}
	}
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("%w: no v1a signature in it", ErrMalformed)
	case len(found) > maxAsymmetric:
		return nil, fmt.Errorf("%w: over %d v1a signatures", ErrMalformed, maxAsymmetric)
	}
	return found, nil
}

// message returns what Standard Webhooks signs.
func message(id, timestamp string, body []byte) []byte {
	b := make([]byte, 0, len(id)+len(timestamp)+len(body)+2)
	b = append(append(b, id...), '.')
	b = append(append(b, timestamp...), '.')
	return append(b, body...)
}
