package relay

import (
	"context"
	"time"
)

// How activity is kept: by the minute for an hour, by the quarter of an hour for
// a day.
const (
	ActivityMinute  = time.Minute
	ActivityQuarter = 15 * time.Minute
	// MinutesKept and QuartersKept are for how long at least.
	MinutesKept  = time.Hour
	QuartersKept = 24 * time.Hour
)

// A Tally is what happened in a stretch of time: events of a source that were
// accepted, or attempts to an endpoint that succeeded or failed.
type Tally struct {
	At       time.Time // when the minute, or the quarter of an hour, began
	SourceID string    // of accepted events; empty for published ones and for attempts
	Accepted int
	// LastAt is when the last of the accepted events came.
	LastAt            time.Time
	Delivered, Failed int
}

// Add returns both tallies together.
func (t Tally) Add(o Tally) Tally {
	t.Accepted, t.Delivered, t.Failed = t.Accepted+o.Accepted, t.Delivered+o.Delivered, t.Failed+o.Failed
	if o.LastAt.After(t.LastAt) {
		t.LastAt = o.LastAt
	}
	return t
}

// Activity is what a store has counted beside an endpoint's counters. Accepted
// events are counted beside any endpoint of their account, so that they cost no
// write of their own.
type Activity struct {
	Tallies []Tally // in no order; their LastAt is not kept
	// LastCalls are when the last event came, by source, as far as these counters
	// know.
	LastCalls map[string]time.Time
}

// ActivityStore reads the activity that AddOutcomes has counted.
type ActivityStore interface {
	// Activity returns the activity beside the counters of each endpoint from
	// since on, in steps of ActivityMinute or ActivityQuarter.
	Activity(ctx context.Context, step time.Duration, since time.Time, endpoints ...string) (map[string]Activity, error)
}
