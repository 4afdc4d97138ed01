package receiver

import (
	"context"
	"sync"
	"time"

	"hookferry/shared/bounds"
	"hookferry/shared/relay"
)

const (
	// refusalsEvery is how often, at most, this process writes what was refused of
	// one source for one reason: a flood costs no more than a trickle.
	refusalsEvery = time.Minute
	// maxRefusals is of how many sources and reasons counts are in hand. Only
	// sources that are there are counted, but there may be many.
	maxRefusals = 4096
)

// Refusals counts the refused calls of each source, and writes the counts now
// and then. What is not written when the process ends is lost, and what a
// failing store refused is written with the next: it is best effort, and never
// costs a caller more than a moment. It is safe for concurrent use; nil counts
// nothing.
type Refusals struct {
	store  relay.RefusalStore
	mu     sync.Mutex
	counts map[refusalKey]*refusalCount
}

type refusalKey struct{ source, reason string }

type refusalCount struct {
	pending   relay.Refusal // Count 0: nothing
	writtenAt time.Time
}

// NewRefusals returns counts that are written to the store.
func NewRefusals(store relay.RefusalStore) *Refusals {
	return &Refusals{store: store, counts: map[refusalKey]*refusalCount{}}
}

// note counts a refused call, and writes what is due of its source and reason. A
// function that is frozen between two calls has no other time to write.
func (f *Refusals) note(ctx context.Context, source, reason string, now time.Time) {
	if f == nil {
		return
	}
	if r, ok := f.add(refusalKey{source, reason}, now); ok {
		f.write(ctx, r)
	}
}

// add counts a call and returns what is to be written of it now.
func (f *Refusals) add(at refusalKey, now time.Time) (due relay.Refusal, ok bool) {
	hour := now.UTC().Truncate(time.Hour)
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.counts[at]
	if c == nil {
		if len(f.counts) >= maxRefusals {
			f.forget(now)
		}
		if len(f.counts) >= maxRefusals {
			return due, false
		}
		c = &refusalCount{}
		f.counts[at] = c
	}
	if c.pending.Count > 0 && !c.pending.Hour.Equal(hour) {
		// The end of an hour waits for no minute, or it would count for the next.
		due, ok = c.pending, true
		c.pending = relay.Refusal{}
	}
	c.pending = relay.Refusal{
		SourceID: at.source, Reason: at.reason, Hour: hour, Count: c.pending.Count + 1, LastAt: relay.Millis(now),
	}
	if !ok && rested(c.writtenAt, now) {
		due, ok = c.pending, true
		c.pending = relay.Refusal{}
	}
	if ok {
		c.writtenAt = now
	}
	return due, ok
}

// rested reports whether a count may be written again; a clock that was set back
// holds nothing up.
func rested(written, now time.Time) bool {
	return now.Sub(written) >= refusalsEvery || now.Before(written)
}

// forget drops what has been written and not heard of since.
func (f *Refusals) forget(now time.Time) {
	for at, c := range f.counts {
		if c.pending.Count == 0 && rested(c.writtenAt, now) {
			delete(f.counts, at)
		}
	}
}

// Settle writes the counts that are due. A process that lives on calls it every
// few seconds, so that the last calls before a silence are written too.
func (f *Refusals) Settle(ctx context.Context, now time.Time) { f.settle(ctx, now, false) }

// Flush writes all counts. It is called when the process is about to end.
func (f *Refusals) Flush(ctx context.Context, now time.Time) { f.settle(ctx, now, true) }

func (f *Refusals) settle(ctx context.Context, now time.Time, all bool) {
	var due []relay.Refusal
	f.mu.Lock()
	for _, c := range f.counts {
		if c.pending.Count > 0 && (all || rested(c.writtenAt, now)) {
			due = append(due, c.pending)
			c.pending, c.writtenAt = relay.Refusal{}, now
		}
	}
	f.forget(now)
	f.mu.Unlock()
	for _, r := range due {
		if ctx.Err() != nil {
			return
		}
		f.write(ctx, r)
	}
}

// write keeps what could not be written for the next time.
func (f *Refusals) write(ctx context.Context, r relay.Refusal) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bounds.RefusalCount)
	defer cancel()
	if f.store.AddRefusals(ctx, r) == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.counts[refusalKey{r.SourceID, r.Reason}]; c != nil && (c.pending.Count == 0 || c.pending.Hour.Equal(r.Hour)) {
		r.Count += c.pending.Count
		if c.pending.LastAt.After(r.LastAt) {
			r.LastAt = c.pending.LastAt
		}
		c.pending = r
	}
}
