package signature

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"

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
	signed := append(append(make([]byte, 0, len(id)+len(body)+24), id...), '.')
	signed = append(append(strconv.AppendInt(signed, ts, 10), '.'), body...)
	var out []byte
	for i, k := range keys[:min(len(keys), maxEd25519)] {
		if i > 0 {
			out = append(out, ' ')
		}
		out = base64.StdEncoding.AppendEncode(append(out, "v1a,"...), ed25519.Sign(k.Private, signed))
	}
	return string(out), nil
}
