package sqsqueue

import (
	"encoding/base64"
	"strings"
)

// packedMark begins a body that is in base64.
const packedMark = "b64:"

// pack returns a body as it is sent. The message of a relay is printable ASCII
// and stays as it is.
func pack(body []byte) string {
	if sendable(body) {
		return string(body)
	}
	return packedMark + base64.StdEncoding.EncodeToString(body)
}

// sendable reports whether SQS, and whatever stands in for it, takes a body and
// gives it back unchanged, and whether unpack would leave it alone.
func sendable(body []byte) bool {
	if len(body) == 0 || strings.HasPrefix(string(body[:min(len(body), len(packedMark))]), packedMark) {
		return false
	}
	for _, c := range body {
		if c < 0x20 && c != '\t' && c != '\n' || c > 0x7e {
			return false
		}
	}
	return true
}

// unpack returns the body that pack was given. What was never packed comes back
// as it is.
func unpack(text string) []byte {
	rest, packed := strings.CutPrefix(text, packedMark)
	if !packed {
		return []byte(text)
	}
	body, err := base64.StdEncoding.DecodeString(rest)
	if err != nil {
		return []byte(text)
	}
	return body
}
