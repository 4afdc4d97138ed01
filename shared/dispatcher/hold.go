package dispatcher

import (
	"context"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/telemetry"
)

// A hold is why a call was not made: it was too late for one, or it has to wait.
type hold struct{ wait time.Duration }

// hold puts an attempt off. It is the same attempt, due when it was, and its
// delivery says until when it is held, so that repair does not take it for lost.
func (w *work) hold(ctx context.Context, j job, wait time.Duration) (relay.Delivery, outcome, error) {
	m, d := j.message(), j.pending()
	m.NotBefore = relay.Millis(earlier(w.Now().Add(wait), j.giveUp))
	d.NotBefore = m.NotBefore
	w.line.Count(telemetry.Hops, 1)
	return d, outcomeHeld, w.retries.send(ctx, m)
}

// admit makes the call if the endpoint may have one now.
func (w *work) admit(ctx context.Context, a relay.Attempt, j job, ep relay.Endpoint, body []byte) (relay.Attempt, *hold, error) {
	off, sick, err := w.degraded(ctx, ep.ID)
	if err != nil || off > 0 {
		return a, &hold{off}, err
	}
	in, wait := w.rooms.enter(a.Account, ep.ID, w.late)
	if !in {
		return a, &hold{wait}, nil
	}
	how := endedUncalled
	defer func() { w.rooms.leave(a.Account, ep.ID, how) }()
	var p *probe
	if sick {
		if p, err = w.beginProbe(ctx, ep.ID); err != nil {
			return a, nil, err
		}
		if p == nil {
			return a, &hold{relay.ProbeLease}, nil
		}
	}
	if err := w.call(ctx, &a, j, ep, body); err != nil {
		return a, nil, err
	}
	how = endingOf(a)
	w.counters.add(a, sick && !unanswered(a))
	w.activity.attempted(a)
	if p != nil {
		w.endProbe(ctx, p, a)
	}
	return a, nil, nil
}
