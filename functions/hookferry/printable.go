package main

import (
	"fmt"
	"strings"
	"unicode"
)

// printable returns s with what could steer a terminal written out: whatever
// strangers sent may be printed, and nothing of it acts. Line breaks and tabs stay.
func printable(s string) string {
	var out strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}
