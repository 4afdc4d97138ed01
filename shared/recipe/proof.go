package recipe

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"

	"hookferry/shared/relay"
)

// The bounds of what Verify takes as secrets: MaxSecrets of them, each of
// MinSecret to MaxSecret bytes once it is decoded.
const (
	MaxSecrets = 16
	MinSecret  = 8
	MaxSecret  = 512
)

const ed25519Scheme = "ed25519"

// A scheme is a way to sign.
type scheme struct {
	name string
	size int              // of a signature, in bytes
	hash func() hash.Hash // nil for ed25519
}

var schemes = map[string]scheme{
	"hmac-sha256": {"hmac-sha256", sha256.Size, sha256.New},
	"hmac-sha1":   {"hmac-sha1", sha1.Size, sha1.New},
	"hmac-sha512": {"hmac-sha512", sha512.Size, sha512.New},
	ed25519Scheme: {ed25519Scheme, ed25519.SignatureSize, nil},
}

func schemeNames() []string {
	return []string{"hmac-sha256", "hmac-sha1", "hmac-sha512", ed25519Scheme}
}

// A key is a secret or public key, decoded.
type key struct {
	scheme scheme
	raw    []byte
}

// keys decodes the secrets, or fails if there is none or a single one is
// unusable.
func (r *Recipe) keys(secrets []relay.Secret) ([]key, error) {
	if len(secrets) == 0 || len(secrets) > MaxSecrets {
		return nil, fmt.Errorf("%w: want 1 to %d", ErrNoSecret, MaxSecrets)
	}
	keys := make([]key, len(secrets))
	for i, secret := range secrets {
		f, err := r.formOf(secret.Reveal())
		if err != nil {
			return nil, err
		}
		raw, err := f.decodeSecret(secret.Reveal())
		if err != nil {
			return nil, err
		}
		keys[i] = key{f.scheme, raw}
	}
	return keys, nil
}

// formOf returns the form that a secret belongs to. Where there are several, its
// beginning tells.
func (r *Recipe) formOf(text string) (form, error) {
	if len(r.forms) == 1 {
		return r.forms[0], nil
	}
	for _, f := range r.forms {
		if strings.HasPrefix(text, f.strip) {
			return f, nil
		}
	}
	return form{}, fmt.Errorf("%w: want whsec_ or whpk_ at its beginning", ErrNoSecret)
}

func (f form) decodeSecret(text string) ([]byte, error) {
	if len(text) > 2*MaxSecret+len(f.strip) {
		return nil, fmt.Errorf("%w: too long", ErrNoSecret)
	}
	raw := []byte(text)
	switch f.secret {
	case "text":
		if text != strings.TrimSpace(text) || strings.ContainsAny(text, "\r\n\x00") {
			return nil, fmt.Errorf("%w: blanks at its ends or a line break in it", ErrNoSecret)
		}
	case "hex":
		raw = decode(text, "hex", -1)
	case "base64":
		text = strings.TrimPrefix(text, f.strip)
		if f.scheme.hash == nil { // a public key may be pasted from a JSON Web Key
			text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
			text += strings.Repeat("=", (4-len(text)%4)%4)
		}
		raw = decode(text, "base64", -1)
	}
	if f.scheme.hash == nil {
		if len(raw) != ed25519.PublicKeySize || smallOrder(raw) {
			return nil, fmt.Errorf("%w: want an Ed25519 public key of 32 bytes in %s", ErrNoSecret, f.secret)
		}
		return raw, nil
	}
	if len(raw) < MinSecret || len(raw) > MaxSecret {
		return nil, fmt.Errorf("%w: want %d to %d bytes as %s", ErrNoSecret, MinSecret, MaxSecret, f.secret)
	}
	return raw, nil
}

// decode returns the bytes of hex or strict base64, or nil. A size of -1 is any.
func decode(text, encoding string, size int) []byte {
	var raw []byte
	var err error
	if encoding == "hex" {
		raw, err = hex.DecodeString(text)
	} else if strings.ContainsAny(text, "\r\n") { // the decoder would pass over them
		return nil
	} else {
		raw, err = base64.StdEncoding.Strict().DecodeString(text)
	}
	if err != nil || size >= 0 && len(raw) != size {
		return nil
	}
	return raw
}

// match reports whether a candidate is a signature under one of the keys. Of
// sums it looks at all, in constant time; a public key hides nothing.
//
// Whoever has no key can make us do this work, so that it must not grow with what
// a call holds: one HMAC for each secret, and for each public key at most
// maxAsymmetric checks.
func match(candidates []candidate, keys []key, signed [][]byte) bool {
	found := 0
	var whole []byte
	for _, k := range keys {
		var want []byte
		if k.scheme.hash != nil {
			mac := hmac.New(k.scheme.hash, k.raw)
			for _, part := range signed {
				mac.Write(part)
			}
			want = mac.Sum(nil)
		}
		for _, c := range candidates {
			switch {
			case c.scheme.name != k.scheme.name:
			case want != nil:
				found |= subtle.ConstantTimeCompare(c.sum, want)
			default:
				if whole == nil {
					whole = bytes.Join(signed, nil)
				}
				if ed25519.Verify(k.raw, whole, c.sum) {
					return true
				}
			}
		}
	}
	return found == 1
}

// smallOrderY are the second coordinates of the points of small order on the
// curve of Ed25519, in every encoding that fits in 255 bits. Under a public key
// that is one of them, a key of zeros for instance, anybody can sign.
var smallOrderY = [][]byte{
	unhex("0000000000000000000000000000000000000000000000000000000000000000"),
	unhex("0100000000000000000000000000000000000000000000000000000000000000"),
	unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
	unhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
	unhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
	unhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
	unhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
}

func unhex(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return b
}

func smallOrder(key []byte) bool {
	y := slices.Clone(key)
	y[len(y)-1] &= 0x7f // the sign of the other coordinate
	return slices.ContainsFunc(smallOrderY, func(bad []byte) bool { return bytes.Equal(y, bad) })
}
