package relay

import (
	"strconv"
	"strings"
)

// PassesHeader says on every delivery how often its event has gone through
// Hookferry, whatever the prefix of the other headers. It is believed of a call
// that proved who made it.
const PassesHeader = "Hookferry-Passes"

// MaxPasses is how often an event goes through Hookferry: what comes once more is
// recorded and not delivered, so that a loop of endpoints and sources ends.
const MaxPasses = 5

// ParsePasses reads the values of a PassesHeader. What is no number counts as
// none, and of several the largest.
func ParsePasses(values []string) (passes int) {
	for _, joined := range values {
		for v := range strings.SplitSeq(joined, ",") {
			v = strings.TrimSpace(v)
			if v == "" || strings.Trim(v, "0123456789") != "" {
				continue
			}
			n, err := strconv.Atoi(v)
			if err != nil {
				n = MaxPasses // more digits than a number has
			}
			passes = max(passes, min(n, MaxPasses))
		}
	}
	return passes
}

// ParseTraceParent returns the one value of a W3C traceparent header if it is
// well-formed, else "": a version that is not ff, 32 and 16 hexadecimal digits
// that are not all 0, and flags, in lower case. Later versions may have more.
func ParseTraceParent(values []string) string {
	if len(values) != 1 {
		return ""
	}
	v := values[0]
	if len(v) < 55 || len(v) > 128 || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return ""
	}
	version, trace, parent, flags := v[:2], v[3:35], v[36:52], v[53:55]
	if !isHex(version+trace+parent+flags) || version == "ff" || strings.Trim(trace, "0") == "" || strings.Trim(parent, "0") == "" {
		return ""
	}
	if len(v) > 55 && (version == "00" || v[55] != '-' || strings.IndexFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0) {
		return ""
	}
	return v
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
