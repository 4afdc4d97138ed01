package relay

import "time"

// Health says how an endpoint does (contract section 3).
type Health string

// The states of an endpoint, each worse than the one before. The first success
// makes it healthy again.
const (
	Healthy Health = "healthy"
	// Degraded: 5 failures in a row over at least 30 s, or 3 timeouts in a row.
	Degraded Health = "degraded"
	// Failing: nothing but failures for half of the time after which it is disabled.
	Failing Health = "failing"
)

const (
	degradedFailures = 5
	degradedOver     = 30 * time.Second
	degradedTimeouts = 3
)

// ProbeLease is how long a degraded endpoint's one call at a time may take until
// another process may make one.
const ProbeLease = 15 * time.Second

// Health sums the counters up. An endpoint with nothing but failures is disabled
// after disableAfter. This is the one place that has the rule.
func (c Counters) Health(disableAfter time.Duration) Health {
	lasts := c.LastFailureAt.Sub(c.FailingSince)
	switch {
	case c.FailureCount == 0 || c.FailingSince.IsZero():
		return Healthy
	case lasts >= disableAfter/2:
		return Failing
	case c.Timeouts >= degradedTimeouts, c.FailureCount >= degradedFailures && lasts >= degradedOver:
		return Degraded
	}
	return Healthy
}

// HoldFor returns how long an attempt at a degraded endpoint is put off at a
// time: half as long as the endpoint has been failing, 2 s to 15 minutes. So what
// was put off comes within a time that is in proportion once it has recovered,
// and few messages go around while it has not.
func (c Counters) HoldFor(now time.Time) time.Duration {
	return between(2*time.Second, now.Sub(c.FailingSince)/2, MaxDelay)
}

// ProbeAfter returns how long after a call that failed a degraded endpoint gets
// the next one: a tenth of the time for which it has been failing, 1 s to a
// minute.
func (c Counters) ProbeAfter(now time.Time) time.Duration {
	return between(time.Second, now.Sub(c.FailingSince)/10, time.Minute)
}

func between(least, d, most time.Duration) time.Duration { return min(max(d, least), most) }

// A Mark is a time kept with an endpoint's counters that one process at a time may
// set forward, so that of all that would do a thing one does it.
type Mark string

// The marks.
const (
	MarkProbe     Mark = "probe"     // until when a call to the degraded endpoint is under way
	MarkDegraded  Mark = "degraded"  // when the account was told that it is degraded
	MarkFailing   Mark = "failing"   // when it was told that it is failing
	MarkRecovered Mark = "recovered" // when it was told that it has recovered
)

// Of returns what the counters have for the mark.
func (m Mark) Of(c *Counters) *time.Time {
	switch m {
	case MarkProbe:
		return &c.ProbeUntil
	case MarkDegraded:
		return &c.DegradedAt
	case MarkFailing:
		return &c.FailingAt
	case MarkRecovered:
		return &c.RecoveredAt
	}
	return new(time.Time)
}
