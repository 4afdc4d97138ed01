package relay

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns s with every character written out that could steer a
// terminal or hide what stands beside it: control characters of both sets, those
// that turn the direction of writing, and line and paragraph separators. What a
// stranger sent can then be shown or logged. Line breaks and tabs are written
// out too; text that is not UTF-8 is replaced.
func Printable(s string) string {
	if !strings.ContainsFunc(s, unprintable) && strings.ToValidUTF8(s, "") == s {
		return s
	}
	var out strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if unprintable(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
}

// ValidSubject reports whether text can be an event's subject: 1 to MaxSubject
// characters that can be shown as they are.
func ValidSubject(text string) bool {
	return text != "" && utf8.ValidString(text) && utf8.RuneCountInString(text) <= MaxSubject && Printable(text) == text
}
