package relay

import (
	"slices"
	"strings"
)

// ValidEventType reports whether name can be an event's type: two or more
// words joined by dots, each a lower-case letter and then lower-case letters,
// digits and underscores; at most 128 characters (contract section 3).
func ValidEventType(name string) bool {
	if len(name) > 128 {
		return false
	}
	dots, start := 0, true
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z':
			start = false
		case !start && (c >= '0' && c <= '9' || c == '_'):
		case !start && c == '.':
			dots++
			start = true
		default:
			return false
		}
	}
	return dots > 0 && !start
}

// ValidTypePrefix reports whether text is a prefix of event types, like order.*:
// one or more words and a star for the rest.
func ValidTypePrefix(text string) bool {
	words, ok := strings.CutSuffix(text, ".*")
	return ok && len(text) <= 128 && ValidEventType(words+".x")
}

// TypeFits reports whether a type is among names and prefixes, or whether there
// are none to be among.
func TypeFits(names []string, typ string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, func(name string) bool {
		prefix, some := strings.CutSuffix(name, "*")
		return name == typ || some && strings.HasSuffix(prefix, ".") && strings.HasPrefix(typ, prefix)
	})
}
