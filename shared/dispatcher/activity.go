package dispatcher

import (
	"slices"
	"sync"
	"time"

	"hookferry/shared/relay"
)

// Bounds of the activity in hand: of how many endpoints and accounts, and of how
// many minutes and sources of each.
const (
	maxActive  = 10_000
	maxTallies = 500
)

// activity collects what the statistics show until the counters of an endpoint
// are written, and rides with them: attempts with those of their endpoint,
// accepted events with those of any endpoint of their account. So it costs no
// write, and like the counters it is best effort: what has not been written when
// the process ends is lost, and the accepted events of an account none of whose
// endpoints is called wait until one is.
type activity struct {
	mu        sync.Mutex
	attempts  map[string][]relay.Tally // by endpoint
	acceptals map[string][]relay.Tally // by account
}

// accepted counts an event that was put on record.
func (a *activity) accepted(ev relay.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acceptals = counted(a.acceptals, ev.Account, relay.Tally{
		At: ev.CreatedAt.Truncate(relay.ActivityMinute), SourceID: ev.SourceID, Accepted: 1, LastAt: ev.CreatedAt,
	})
}

// attempted counts an attempt that made a call.
func (a *activity) attempted(at relay.Attempt) {
	t := relay.Tally{At: at.CreatedAt.Add(at.Duration).UTC().Truncate(relay.ActivityMinute), Failed: 1}
	if at.Status == relay.AttemptSucceeded {
		t.Delivered, t.Failed = 1, 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.attempts = counted(a.attempts, at.EndpointID, t)
}

// counted adds tallies to those of one owner; what is over the bounds is not
// counted.
func counted(all map[string][]relay.Tally, owner string, tallies ...relay.Tally) map[string][]relay.Tally {
	if all == nil {
		all = map[string][]relay.Tally{}
	}
	have, known := all[owner]
	if !known && len(all) >= maxActive {
		return all
	}
	for _, t := range tallies {
		i := slices.IndexFunc(have, func(o relay.Tally) bool { return o.At.Equal(t.At) && o.SourceID == t.SourceID })
		switch {
		case i >= 0:
			have[i] = have[i].Add(t)
		case len(have) < maxTallies:
			have = append(have, t)
		}
	}
	all[owner] = have
	return all
}

// take returns what is to ride with the counters of an endpoint at now. What is
// too old to be shown is dropped: it could only be put back again and again.
func (a *activity) take(endpoint, account string, now time.Time) (attempts, acceptals []relay.Tally) {
	a.mu.Lock()
	defer a.mu.Unlock()
	attempts, acceptals = a.attempts[endpoint], a.acceptals[account]
	delete(a.attempts, endpoint)
	delete(a.acceptals, account)
	old := func(t relay.Tally) bool { return t.At.Before(now.Add(-relay.QuartersKept)) }
	return slices.DeleteFunc(attempts, old), slices.DeleteFunc(acceptals, old)
}

// back takes again what could not be written.
func (a *activity) back(endpoint, account string, attempts, acceptals []relay.Tally) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(attempts) > 0 {
		a.attempts = counted(a.attempts, endpoint, attempts...)
	}
	if len(acceptals) > 0 {
		a.acceptals = counted(a.acceptals, account, acceptals...)
	}
}
