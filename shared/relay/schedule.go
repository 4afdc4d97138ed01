package relay

import (
	"fmt"
	"strings"
	"time"
)

// MaxRetryAfter is the longest wait that a Retry-After header can ask for.
const MaxRetryAfter = 6 * time.Hour

// GiveUpAfter is how old a message may get before it is no longer acted on but
// only accounted for. It is what SQS keeps a message at most; it ends whatever
// loop a fault could make of messages that are put back.
const GiveUpAfter = 14 * 24 * time.Hour

// A Schedule is the wait before each attempt of a run, counted from the one
// before. The first is 0.
type Schedule []time.Duration

// DefaultSchedule is Rivya's: at once, then after 1 minute, 5 minutes, 30
// minutes and 2 hours.
func DefaultSchedule() Schedule {
	return Schedule{0, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour}
}

// ParseSchedule reads a comma-separated list of 1 to 20 Go durations, each from
// 0 to 24 h and in whole milliseconds: 0s,1m,5m,30m,2h. The first is 0s, because
// the first attempt is made where the event is recorded, at once.
func ParseSchedule(s string) (Schedule, error) {
	parts := strings.Split(s, ",")
	if len(parts) > 20 {
		return nil, fmt.Errorf("retry schedule %q: more than 20 attempts", s)
	}
	var sched Schedule
	for _, part := range parts {
		d, err := time.ParseDuration(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("retry schedule %q: %q is not a duration like 30s, 5m or 2h", s, part)
		}
		if d < 0 || d > 24*time.Hour || d%time.Millisecond != 0 {
			return nil, fmt.Errorf("retry schedule %q: %q is not within 0s and 24h, in whole milliseconds", s, part)
		}
		sched = append(sched, d)
	}
	if sched[0] != 0 {
		return nil, fmt.Errorf("retry schedule %q: the first attempt is at once: begin with 0s", s)
	}
	return sched, nil
}

// String returns what ParseSchedule reads.
func (s Schedule) String() string {
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = d.String()
	}
	return strings.Join(parts, ",")
}

// After returns how long after attempt number n (1 for the first) the next one
// is due, and false when n was the last. retryAfter, 0 if none was sent, can
// only lengthen the wait, to MaxRetryAfter at most.
func (s Schedule) After(n int, retryAfter time.Duration) (time.Duration, bool) {
	if n < 1 || n >= len(s) {
		return 0, false
	}
	return max(s[n], min(retryAfter, MaxRetryAfter)), true
}
