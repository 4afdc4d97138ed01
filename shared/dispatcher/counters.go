package dispatcher

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/telemetry"
)

// countersEvery is how often, at most, this process writes one endpoint's
// counters.
const countersEvery = 5 * time.Second

// maxCounterWrites is how many of them it writes at once.
const maxCounterWrites = 16

// counters collects outcomes of attempts until they are written. What is not
// written when the process ends is lost: counters are best effort, and the
// attempts themselves are on record.
type counters struct {
	mu      sync.Mutex
	tallies map[string]*tally // by endpoint
}

type tally struct {
	account   string
	outcomes  relay.Outcomes
	pending   bool
	busy      bool // a write is on its way
	urgent    bool // is to be written at once
	silent    bool // the last outcome was that nobody answered
	writtenAt time.Time
}

// add counts an attempt that made a call. An urgent one is written without
// waiting for others.
func (c *counters) add(a relay.Attempt, urgent bool) {
	end := relay.Millis(a.CreatedAt.Add(a.Duration))
	o := relay.Outcomes{LastFailureAt: end, FailuresAfter: 1, FailingSince: end, Answered: true}
	switch {
	case a.Status == relay.AttemptSucceeded:
		o = relay.Outcomes{LastSuccessAt: end, Answered: true}
	case a.ErrorCode == relay.CodeTimeout:
		o.TimeoutsAfter, o.Answered = 1, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tallies[a.EndpointID]
	if t == nil {
		t = &tally{account: a.Account}
		c.tallies[a.EndpointID] = t
	}
	t.outcomes, t.pending = t.outcomes.Merge(o), true
	t.urgent = t.urgent || urgent
	t.silent = unanswered(a)
}

// A due is one endpoint's outcomes, taken to be written.
type due struct {
	endpoint, account string
	outcomes          relay.Outcomes
	silent            bool // the last of them was that nobody answered
}

// take returns what is to be written at now, or all that is pending, and forgets
// endpoints of which nothing has been heard.
func (c *counters) take(now time.Time, all bool) (ds []due) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, t := range c.tallies {
		rested := now.Sub(t.writtenAt) >= countersEvery || now.Before(t.writtenAt)
		switch {
		case t.busy:
		case t.pending && (rested || all || t.urgent):
			ds = append(ds, due{id, t.account, t.outcomes, t.silent})
			t.outcomes, t.pending, t.urgent, t.busy, t.writtenAt = relay.Outcomes{}, false, false, true, now
		case !t.pending && rested:
			delete(c.tallies, id)
		}
	}
	return ds
}

// done ends a write. What could not be written is put back before what has come
// since: it may count twice, if the write took effect in spite of its error.
func (c *counters) done(d due, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tallies[d.endpoint]
	t.busy = false
	if err != nil {
		t.outcomes, t.pending = d.outcomes.Merge(t.outcomes), true
	}
}

// Settle writes the counters that are due: those of endpoints that this process
// has not written in the last 5 s. Handle does so at its end; a process that
// lives on calls Settle every few seconds, so that the last outcomes before a
// silence are written too.
func (d *Dispatcher) Settle(ctx context.Context) { d.settleAlone(ctx, false) }

// Flush writes all counters that are pending. It is called when the process is
// about to end.
func (d *Dispatcher) Flush(ctx context.Context) { d.settleAlone(ctx, true) }

func (d *Dispatcher) settleAlone(ctx context.Context, all bool) {
	line := d.Log.Line("settle")
	if d.settle(ctx, line, all) > 0 {
		line.End(ctx, slog.LevelInfo)
	}
}

// settle writes counters and disables endpoints that have been failing for too
// long. It never fails a message. It returns how many it disabled.
func (d *Dispatcher) settle(ctx context.Context, line *telemetry.Line, all bool) (disabled int) {
	dues := d.counters.take(d.Now(), all)
	if len(dues) == 0 {
		return 0
	}
	ctx, cancel := detached(ctx, recordBound)
	defer cancel()
	var mu sync.Mutex
	var failed int
	var wg sync.WaitGroup
	gate := make(chan struct{}, maxCounterWrites)
	for _, u := range dues {
		wg.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			attempts, acceptals := d.activity.take(u.endpoint, u.account, d.Now())
			u.outcomes.Activity = append(slices.Clone(attempts), acceptals...)
			c, err := d.Store.AddOutcomes(ctx, u.endpoint, u.outcomes)
			if err != nil {
				d.activity.back(u.endpoint, u.account, attempts, acceptals)
			}
			d.counters.done(u, err)
			var done bool
			if err == nil {
				d.sick.learn(u, c, d.Now(), d.FailingAfter)
				if done, err = d.judge(ctx, u, c, line); err == nil && !done {
					err = d.tellHealth(ctx, u, c)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed++
			}
			if done {
				disabled++
			}
		})
	}
	wg.Wait()
	if failed > 0 {
		line.Set(slog.Int("counters_failed", failed))
	}
	return disabled
}
