package dispatcher

import (
	"slices"
	"time"

	"hookferry/shared/relay"
)

// longestClaim is longer than any invocation, and so than any claim on an event. It
// is also what two clocks of ours may be apart.
const longestClaim = 15 * time.Minute

// misdated reports whether a message says that it is due later than any of its kind
// can be. The clock that made it was ahead then, and is right by now: to wait for
// what it said would hold the delivery up for as much as the clock was wrong. It is
// acted on at once.
func (w *work) misdated(m relay.Message, now time.Time) bool {
	return m.DueAt.Sub(now) > w.longestWait(m.Kind)+longestClaim
}

// longestWait is how long a message of a kind can have to wait after it was sent.
func (w *work) longestWait(kind relay.MessageKind) time.Duration {
	switch kind {
	case relay.MessageEvent, relay.MessageRecord:
		return 0
	case relay.MessageExpect:
		return max(w.ExpectFirst, w.ExpectGiveUp)
	}
	return max(slices.Max(w.Schedule), relay.MaxRetryAfter)
}
