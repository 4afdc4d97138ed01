package relay

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
