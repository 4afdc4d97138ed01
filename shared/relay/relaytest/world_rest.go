package relaytest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"hookferry/shared/relay"
)

// A Ledger counts accepted events by what has become of them.
type Ledger struct {
	Accepted                                                      int
	Delivered, Failed, Skipped, Unmatched, Rejected, Pending, Old int
	Posts, Attempts, Repeats                                      int
}

// Rest ends all faults and lets the world come to rest; then every accepted
// event must have ended, and the books agree. It returns them.
func (w *World) Rest(ctx context.Context) Ledger {
	w.dice.Calm()
	w.Begin()
	w.died(w.process)
	w.StartProcess(Live())
	w.drain(ctx)
	w.Check(ctx)
	for range 3 {
		w.Begin()
		w.Clock.Advance(11 * time.Minute)
		if w.repair(ctx) == 0 {
			break
		}
		w.drain(ctx)
		w.Check(ctx)
	}
	return w.account(ctx)
}

// drain handles messages until there are none.
func (w *World) drain(ctx context.Context) {
	for range 20_000 {
		w.Begin()
		if w.Work(ctx, eventsLane)+w.Work(ctx, retriesLane) > 0 {
			continue
		}
		if next, ok := w.nextVisible(); ok {
			w.Clock.Set(next)
			continue
		}
		if !w.redrive(ctx) {
			return
		}
	}
	w.violatedf("the world does not come to rest")
}

// redrive puts back what died of faults, as its operator would.
func (w *World) redrive(ctx context.Context) (any bool) {
	for _, lane := range w.lanes {
		dead, err := lane.Dead(ctx, "", 1<<20)
		w.must(err)
		for _, d := range dead {
			if d.Reason != "" {
				w.violatedf("%s was buried: %s", describe(d.Body), d.Reason)
				w.must(lane.Drop(ctx, d))
				continue
			}
			w.must(lane.Redrive(ctx, d))
			any = true
		}
	}
	return any
}

// account holds what the store says at rest to what has truly happened.
func (w *World) account(ctx context.Context) Ledger {
	var l Ledger
	for id, e := range w.events {
		r, err := w.store.Event(ctx, WorldAccount, id, true)
		if err != nil {
			if !w.Clock.Now().Before(e.CreatedAt.Add(Retention)) && !e.putAt.IsZero() {
				l.Old++
				if e.accepted {
					l.Accepted++
				}
			} else if e.accepted {
				l.Accepted++
				w.violatedf("%s was accepted and is not on the store", id)
			}
			continue
		}
		ds, listed, err := w.store.Deliveries(ctx, r)
		w.must(err)
		if !listed {
			w.violatedf("%s is not listed", id)
		}
		status := relay.StatusOf(ds)
		w.checkDeliveries(e, r, ds, status)
		if !e.accepted {
			continue // nobody was told, so that it may or may not be there
		}
		l.Accepted++
		switch status {
		case relay.EventDelivered:
			l.Delivered++
		case relay.EventFailed:
			l.Failed++
		case relay.EventSkipped:
			l.Skipped++
		case relay.EventUnmatched:
			l.Unmatched++
		case relay.EventRejected:
			l.Rejected++
		default:
			l.Pending++
			w.violatedf("%s is %s at rest", id, status)
		}
	}
	if sum := l.Delivered + l.Failed + l.Skipped + l.Unmatched + l.Rejected + l.Pending + l.Old; sum != l.Accepted {
		w.violatedf("%d accepted, %d accounted for", l.Accepted, sum)
	}
	w.checkPosts(&l)
	return l
}

// checkDeliveries holds an event's deliveries at rest to their attempts.
func (w *World) checkDeliveries(e *worldEvent, r relay.EventRecord, ds []relay.Delivery, status relay.EventStatus) {
	have := map[string]relay.Delivery{}
	for _, d := range ds {
		have[d.EndpointID] = d
	}
	if e.Confirm != "" {
		rejected := e.verdict == denied || e.verdict == unreachable && e.Confirm == relay.ConfirmRequire
		if (status == relay.EventRejected) != rejected && !w.jumped {
			w.violatedf("%s (%s, verdict %d) is %s", e.ID, e.Confirm, e.verdict, status)
		}
		if rejected || status == relay.EventRejected {
			return
		}
	}
	for _, endpoint := range r.Matched {
		d := have[endpoint]
		truth := w.delivery(deliveryKey{r.ID, endpoint})
		for run, attempts := range truth.attempts {
			w.checkRun(fmt.Sprintf("%s to %s run %d", r.ID, endpoint, run), attempts)
		}
		attempts := truth.attempts[d.Run]
		ended, ok := truth.ended[d.Run]
		switch {
		case d.EndpointID == "":
			w.violatedf("%s has no delivery to %s", r.ID, endpoint)
		case d.Run != truth.run:
			w.violatedf("%s to %s stands at run %d, and run %d was started", r.ID, endpoint, d.Run, truth.run)
		case !ok || d.Open():
			w.violatedf("%s to %s is %s at rest, and its last attempt %q", r.ID, endpoint, d.Status, ended)
		case string(d.Status) != ended || d.Attempts != len(attempts):
			w.violatedf("%s to %s is %s after %d attempts, and on record are %d, the last %s", r.ID, endpoint, d.Status, d.Attempts, len(attempts), ended)
		}
	}
}

// checkRun holds the attempts of a run to being one chain.
func (w *World) checkRun(what string, attempts []relay.Attempt) {
	slices.SortFunc(attempts, func(a, b relay.Attempt) int { return a.Number - b.Number })
	for i, a := range attempts {
		switch {
		case a.Number != i+1:
			w.violatedf("%s: attempt %d is number %d", what, i+1, a.Number)
		case i > 0 && !a.DueAt.Equal(attempts[i-1].NextAttemptAt):
			w.violatedf("%s: attempt %d was due at %v, and the one before announced %v", what, a.Number, a.DueAt, attempts[i-1].NextAttemptAt)
		case a.Final && i < len(attempts)-1:
			w.violatedf("%s: attempt %d of %d is final", what, a.Number, len(attempts))
		}
	}
}

// checkPosts holds each call that reached a destination to being on record, or
// to a reason why it is not.
func (w *World) checkPosts(l *Ledger) {
	for _, d := range w.deliv {
		for _, as := range d.attempts {
			l.Attempts += len(as)
		}
	}
	l.Posts = len(w.posts)
	for _, p := range w.posts {
		if p.recorded {
			continue
		}
		l.Repeats++
		if !p.repeated && !w.crashed[p.step] && !w.trouble[p.step] {
			w.violatedf("%s to %s number %d was posted (%s) and is not on record, though nothing had gone wrong", p.event, p.endpoint, p.number, p.request)
		}
	}
}

// Add returns the sum of two ledgers.
func (l Ledger) Add(m Ledger) Ledger {
	return Ledger{
		l.Accepted + m.Accepted, l.Delivered + m.Delivered, l.Failed + m.Failed, l.Skipped + m.Skipped,
		l.Unmatched + m.Unmatched, l.Rejected + m.Rejected, l.Pending + m.Pending, l.Old + m.Old,
		l.Posts + m.Posts, l.Attempts + m.Attempts, l.Repeats + m.Repeats,
	}
}

// String is the ledger in one line.
func (l Ledger) String() string {
	return fmt.Sprintf("accepted %d = delivered %d + failed %d + skipped %d + unmatched %d + rejected %d + pending %d + old %d; %d attempts on record, %d POSTs, %d of them not on record",
		l.Accepted, l.Delivered, l.Failed, l.Skipped, l.Unmatched, l.Rejected, l.Pending, l.Old, l.Attempts, l.Posts, l.Repeats)
}
