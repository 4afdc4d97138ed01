package main

import (
	"strings"

	"hookferry/shared/relay"
)

// printable returns s with what could steer a terminal written out: whatever
// strangers sent may be printed, and nothing of it acts. Line breaks and tabs stay.
func printable(s string) string {
	var out strings.Builder
	for len(s) > 0 {
		i := strings.IndexAny(s, "\n\t")
		if i < 0 {
			i = len(s)
		}
		out.WriteString(relay.Printable(s[:i]))
		if i < len(s) {
			out.WriteByte(s[i])
			i++
		}
		s = s[i:]
	}
	return out.String()
}
