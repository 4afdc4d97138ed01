// Package seal encrypts the secrets that Hookferry stores: signing secrets,
// provider keys, the copy of a token that is kept for display. It is AES-256-GCM
// of the standard library with random nonces, under a ring of versioned keys:
// the newest seals, every one opens.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hookferry/shared/relay"
)

// ErrOpen means that a sealed secret cannot be opened: it was changed, belongs
// to another object or field, or its key is not on the ring.
var ErrOpen = errors.New("sealed secret cannot be opened")

// A Keyring seals and opens. It is safe for concurrent use.
type Keyring struct {
	keys    map[int][]byte
	aeads   map[int]cipher.AEAD
	newest  int
	sealing int
}

// A Place is what a secret is bound to: it opens in this place alone.
type Place struct {
	Account string
	Object  string // the endpoint's or source's ID
	Field   string // one of the constants below
}

// The fields that secrets are sealed in. They are part of what is stored: a
// renamed one opens nothing. An old secret is sealed anew when it moves to its
// own field.
const (
	SigningSecret    = "signing_secret"
	OldSigningSecret = "old_signing_secret"
	Token            = "token"
	SiviAPIKey       = "sivi_api_key"
)

// New returns a ring of these keys, by version from 1 on, each 32 bytes. The
// highest version seals.
func New(keys map[int][]byte) (*Keyring, error) {
	r := &Keyring{keys: keys, aeads: map[int]cipher.AEAD{}}
	for v, key := range keys {
		if v < 1 || len(key) != 32 {
			return nil, fmt.Errorf("sealing key version %d: want a version from 1 on and 32 bytes, got %d bytes", v, len(key))
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("sealing key version %d: %w", v, err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("sealing key version %d: %w", v, err)
		}
		r.aeads[v] = aead
		r.newest = max(r.newest, v)
	}
	if r.newest == 0 {
		return nil, errors.New("sealing keyring is empty")
	}
	r.sealing = r.newest
	return r, nil
}

// ring is the JSON form.
type ring struct {
	Keys      map[string][]byte `json:"keys"`
	Generated relay.Secret      `json:"generated,omitempty"`
	Sealing   int               `json:"sealing,omitempty"`
}

// minGenerated is how many random alphanumerics carry 256 bits.
const minGenerated = 43

// Parse reads the JSON form of a ring, {"keys":{"1":"<base64 of 32 bytes>"}}. Its
// errors never carry a key. Two members are optional:
//
//   - "generated": at least 43 random letters and digits, which stand for the
//     key of version 1. It is what a secret store that can make text but not
//     base64 starts a ring with: {"keys":{},"generated":"…"}.
//   - "sealing": the version that seals, instead of the highest. A new key is
//     put on the ring with the old one still sealing, so that every process can
//     open what the first of them will seal; then "sealing" is taken out.
func Parse(b []byte) (*Keyring, error) {
	var w ring
	if err := json.Unmarshal(b, &w); err != nil {
		return nil, errors.New(`sealing keyring is not JSON of the form {"keys":{"1":"<base64>"}}`)
	}
	keys := map[int][]byte{}
	for name, key := range w.Keys {
		v, err := strconv.Atoi(name)
		if err != nil || strconv.Itoa(v) != name {
			return nil, errors.New("sealing keyring: a version is not a number")
		}
		keys[v] = key
	}
	if w.Generated != "" {
		if keys[1] != nil {
			return nil, errors.New(`sealing keyring: "generated" stands for key 1, and there is a key 1 too`)
		}
		key, err := generated(w.Generated)
		if err != nil {
			return nil, err
		}
		keys[1] = key
	}
	r, err := New(keys)
	if err != nil || w.Sealing == 0 {
		return r, err
	}
	if _, ok := keys[w.Sealing]; !ok {
		return nil, fmt.Errorf(`sealing keyring: "sealing" is %d, and there is no such key`, w.Sealing)
	}
	r.sealing = w.Sealing
	return r, nil
}

// generated returns the key that random text stands for.
func generated(s relay.Secret) ([]byte, error) {
	text := s.Reveal()
	if len(text) < minGenerated {
		return nil, fmt.Errorf(`sealing keyring: "generated" has %d characters, want %d random letters and digits or more`, len(text), minGenerated)
	}
	for _, c := range []byte(text) {
		if !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z') {
			return nil, errors.New(`sealing keyring: "generated" has a character that is no letter or digit`)
		}
	}
	return hkdf.Key(sha256.New, []byte(text), nil, "hookferry sealing key 1", 32)
}

// Generate returns a ring of one fresh key.
func Generate() *Keyring {
	r, err := New(map[int][]byte{1: freshKey()})
	if err != nil {
		panic(err) // a fresh key always fits
	}
	return r
}

// Rotate returns a ring that has a fresh key besides those of r.
func (r *Keyring) Rotate() *Keyring {
	keys := map[int][]byte{r.newest + 1: freshKey()}
	for v, key := range r.keys {
		keys[v] = key
	}
	next, err := New(keys)
	if err != nil {
		panic(err) // every key was on a ring or is fresh
	}
	return next
}

func freshKey() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return key
}

// Marshal returns the JSON form, secret as it is. Every key is under "keys".
func (r *Keyring) Marshal() []byte {
	w := ring{Keys: map[string][]byte{}}
	if r.sealing != r.newest {
		w.Sealing = r.sealing
	}
	for v, key := range r.keys {
		w.Keys[strconv.Itoa(v)] = key
	}
	b, err := json.Marshal(w)
	if err != nil {
		panic(err) // strings and bytes always marshal
	}
	return b
}

// Seal encrypts a secret for its place. An empty secret gives an empty Sealed.
func (r *Keyring) Seal(s relay.Secret, p Place) relay.Sealed {
	if s == "" {
		return ""
	}
	sealed := r.aeads[r.sealing].Seal(nil, nil, []byte(s.Reveal()), p.data(r.sealing))
	return relay.Sealed(strconv.Itoa(r.sealing) + "." + base64.RawStdEncoding.EncodeToString(sealed))
}

// Sealing returns the version of the key that Seal uses. It is the newest unless
// the ring names another.
func (r *Keyring) Sealing() int { return r.sealing }

// Open decrypts what Seal gave for the same place; an empty Sealed gives an
// empty Secret. ErrOpen.
func (r *Keyring) Open(s relay.Sealed, p Place) (relay.Secret, error) {
	if s == "" {
		return "", nil
	}
	version, text, _ := strings.Cut(string(s), ".")
	v, _ := strconv.Atoi(version)
	aead, ok := r.aeads[v]
	if !ok {
		return "", fmt.Errorf("%w: %s of %s: key version %d is not on the ring", ErrOpen, p.Field, p.Object, v)
	}
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("%w: %s of %s", ErrOpen, p.Field, p.Object)
	}
	secret, err := aead.Open(nil, nil, raw, p.data(v))
	if err != nil {
		return "", fmt.Errorf("%w: %s of %s", ErrOpen, p.Field, p.Object)
	}
	return relay.Secret(secret), nil
}

// Current reports whether s is sealed under the key that seals now, or empty.
func (r *Keyring) Current(s relay.Sealed) bool {
	return s == "" || strings.HasPrefix(string(s), strconv.Itoa(r.sealing)+".")
}

// Derive returns 32 bytes that depend on the ring's oldest key and on purpose,
// for authenticating what is handed out and comes back, like cursors. It stays
// the same when the ring is rotated.
func (r *Keyring) Derive(purpose string) []byte {
	oldest := r.newest
	for v := range r.keys {
		oldest = min(oldest, v)
	}
	key, err := hkdf.Key(sha256.New, r.keys[oldest], nil, purpose, 32)
	if err != nil {
		panic(err) // 32 bytes are within HKDF's limit
	}
	return key
}

func (p Place) data(version int) []byte {
	return []byte(strings.Join([]string{strconv.Itoa(version), p.Account, p.Object, p.Field}, "\x00"))
}

// Versions lists the ring's key versions, the newest last.
func (r *Keyring) Versions() []int {
	var vs []int
	for v := range r.keys {
		vs = append(vs, v)
	}
	slices.Sort(vs)
	return vs
}

// DeriveEach returns 32 bytes for each key of the ring that depend on the key and
// on purpose: that of the key that seals first, then the others, the newest
// first. The versions are in the same order.
func (r *Keyring) DeriveEach(purpose string) (versions []int, keys [][]byte) {
	versions = r.Versions()
	slices.Reverse(versions)
	if i := slices.Index(versions, r.sealing); i > 0 {
		versions = slices.Insert(slices.Delete(versions, i, i+1), 0, r.sealing)
	}
	for _, v := range versions {
		key, err := hkdf.Key(sha256.New, r.keys[v], nil, purpose, 32)
		if err != nil {
			panic(err) // 32 bytes are within HKDF's limit
		}
		keys = append(keys, key)
	}
	return versions, keys
}
