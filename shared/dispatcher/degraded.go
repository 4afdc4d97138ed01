package dispatcher

import (
	"context"
	"fmt"
	"sync"
	"time"

	"hookferry/shared/relay"
)

// askAgain is how long what the store said of a degraded endpoint is believed:
// another process may have seen it recover.
const askAgain = 5 * time.Second

// sick knows the endpoints that are degraded and that nobody answers for: those
// that time out or cannot be reached. Each gets one call at a time, over all
// processes, and what else there is for it is put off. An endpoint that answers,
// if only with failures, holds nobody up and is not put off.
//
// A process learns of one by its own failures, so endpoints that are well cost
// nothing. It is safe for concurrent use.
type sick struct {
	mu sync.Mutex
	by map[string]*patient // by endpoint
}

type patient struct {
	counters relay.Counters
	readAt   time.Time
	probeAt  time.Time // when there may be a call again, as far as is known here
}

// unanswered reports whether an attempt's call got no answer at all.
func unanswered(a relay.Attempt) bool {
	return a.Status == relay.AttemptFailed && (a.HTTPStatus == 0 || a.ErrorCode == relay.CodeTimeout)
}

// learn takes note of what an endpoint's counters are after outcomes.
func (s *sick) learn(u due, c relay.Counters, now time.Time, disableAfter time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.by[u.endpoint]
	switch {
	case c.Health(disableAfter) == relay.Healthy || !u.silent:
		delete(s.by, u.endpoint)
	case p == nil:
		s.by[u.endpoint] = &patient{counters: c, readAt: now}
	default:
		p.counters, p.readAt = c, now
	}
}

// forget is for an endpoint that has answered.
func (s *sick) forget(endpoint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, endpoint)
}

// find returns what is known of an endpoint, nothing if it is well.
func (s *sick) find(endpoint string) (p patient, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.by[endpoint]; p != nil {
		return *p, true
	}
	return p, false
}

// next says when an endpoint may have a call again.
func (s *sick) next(endpoint string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.by[endpoint]; p != nil {
		p.probeAt = at
	}
}

// A probe is the one call that a degraded endpoint has at a time.
type probe struct {
	endpoint string
	until    time.Time // of its lease
}

// degraded reports whether an endpoint is degraded and has a call under way or
// had one just now, and for how long to put off another.
func (w *work) degraded(ctx context.Context, endpoint string) (off time.Duration, is bool, err error) {
	p, is := w.sick.find(endpoint)
	if !is {
		return 0, false, nil
	}
	now := w.Now()
	if since := now.Sub(p.readAt); since < 0 || since >= askAgain {
		cs, err := w.Store.Counters(ctx, endpoint)
		if err != nil {
			return 0, false, fmt.Errorf("read counters: %w", err)
		}
		p.counters = cs[endpoint]
		w.sick.learn(due{endpoint: endpoint, silent: true}, p.counters, now, w.FailingAfter)
		if p.counters.Health(w.FailingAfter) == relay.Healthy {
			return 0, false, nil
		}
	}
	if p.probeAt.After(now) {
		return w.putOffFor(p.counters, now), true, nil
	}
	return 0, true, nil
}

// putOffFor is how long an attempt at a degraded endpoint is put off, jittered.
func (w *work) putOffFor(c relay.Counters, now time.Time) time.Duration {
	d := c.HoldFor(now)
	return min(d*3/4+w.Jitter(d/2), relay.MaxDelay)
}

// beginProbe takes the one call that a degraded endpoint has, if no other process
// has it.
func (w *work) beginProbe(ctx context.Context, endpoint string) (*probe, error) {
	now := relay.Millis(w.Now())
	until := now.Add(max(relay.ProbeLease, w.DeliveryTimeout+startMargin))
	taken, err := w.Store.TakeMark(ctx, endpoint, relay.MarkProbe, now, until)
	if err != nil {
		return nil, err
	}
	w.sick.next(endpoint, until)
	if !taken {
		w.sick.next(endpoint, now.Add(askAgain))
		return nil, nil
	}
	return &probe{endpoint, until}, nil
}

// endProbe gives the lease of a probe back: at once if the endpoint answered,
// else for some time. If that fails, the lease ends by itself.
func (w *work) endProbe(ctx context.Context, p *probe, a relay.Attempt) {
	if !unanswered(a) {
		w.sick.forget(p.endpoint)
		return // with the success, or the answer, that is written at once
	}
	now := relay.Millis(w.Now())
	next := now
	if known, is := w.sick.find(p.endpoint); is {
		next = now.Add(known.counters.ProbeAfter(now))
	}
	ctx, cancel := detached(ctx, sendBound)
	defer cancel()
	if taken, err := w.Store.TakeMark(ctx, p.endpoint, relay.MarkProbe, p.until, next); err == nil && taken {
		w.sick.next(p.endpoint, next)
	}
}
