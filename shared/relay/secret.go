package relay

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
)

// A Secret is a text that must not be seen: a signing secret, an API key, a
// token. Printing, logging or marshalling one gives "[redacted]"; only Reveal
// gives the text, so that each place that needs it can be found.
type Secret string

const redacted = "[redacted]"

// Reveal returns the secret's text.
func (s Secret) Reveal() string { return string(s) }

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (s Secret) GoString() string { return redacted }

// Format writes "[redacted]" for every verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue returns "[redacted]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]".
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// A Sealed is a secret encrypted and authenticated for the store. It is opened
// with the same keyring and the same associated data that it was sealed with.
// Empty means that there is none.
type Sealed string

// NewSigningSecret returns whsec_ and the base64 of 32 random bytes, the form
// that Standard Webhooks libraries take as it is.
func NewSigningSecret() Secret {
	var raw [32]byte
	rand.Read(raw[:])
	return Secret("whsec_" + base64.StdEncoding.EncodeToString(raw[:]))
}

// Preview returns the first 8 and the last 6 characters of the secret, as the
// secret_preview of an endpoint shows them, or nothing if that would show more
// than half of it.
func (s Secret) Preview() string {
	if len(s) < 28 {
		return ""
	}
	return string(s[:8]) + "..." + string(s[len(s)-6:])
}
