package relaytest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"hookferry/shared/relay"
)

// RunOut sends n events in and lets the dispatcher handle what comes until
// nothing is left, in at most a hundred rounds.
func (w *World) RunOut(ctx context.Context, n int) {
	w.Begin()
	w.accept(ctx, n)
	w.Check(ctx)
	for range 100 {
		w.Begin()
		if w.Work(ctx, eventsLane)+w.Work(ctx, retriesLane) == 0 {
			next, ok := w.nextVisible()
			if !ok {
				return
			}
			w.Clock.Set(next)
			continue
		}
		w.Check(ctx)
	}
}

// Run takes n steps, and then as many rounds in which people do nothing and the
// dispatcher handles what comes, in the same weather: so the late attempts of a
// delivery and their long waits have their share of it.
func (w *World) Run(ctx context.Context, n int) {
	for range n {
		w.Step(ctx)
	}
	for range n {
		w.Begin()
		if w.Work(ctx, eventsLane)+w.Work(ctx, retriesLane) == 0 {
			next, ok := w.nextVisible()
			if !ok {
				return
			}
			w.Clock.Set(next)
			continue
		}
		w.Check(ctx)
	}
}

// Step does the next thing that the seed says, and checks the ledger.
func (w *World) Step(ctx context.Context) {
	w.Begin()
	switch n := w.rand.IntN(100); {
	case n < 18:
		w.Accept(ctx)
	case n < 20:
		w.acceptAgain(ctx)
	case n < 22:
		w.test(ctx)
	case n < 42:
		w.Work(ctx, eventsLane)
	case n < 67:
		w.Work(ctx, retriesLane)
	case n < 83:
		w.pass()
	case n < 90:
		w.edit(ctx)
	case n < 95:
		w.retry(ctx)
	case n < 97:
		w.replay(ctx)
	default:
		w.repair(ctx)
	}
	w.Check(ctx)
}

// Begin starts the next step; Step and Rest do so themselves.
func (w *World) Begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.step++
	w.elapsed = 0
}

// pass lets time go by: to the next message, or some time that is of interest.
func (w *World) pass() {
	d := []time.Duration{time.Second, 7 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour}[w.rand.IntN(6)]
	switch next, ok := w.nextVisible(); {
	case w.rand.IntN(150) == 0:
		d = relay.GiveUpAfter + time.Hour
		w.jumped = true
	case ok && w.rand.IntN(2) == 0:
		d = max(next.Sub(w.Clock.Now()), 0)
	}
	w.Clock.Advance(d)
	w.tracef("%v pass", d)
}

func (w *World) nextVisible() (next time.Time, ok bool) {
	for i := range w.lanes {
		for _, q := range []interface{ NextVisible() (time.Time, bool) }{w.lanes[i], w.faulty[i]} {
			if at, some := q.NextVisible(); some && (!ok || at.Before(next)) {
				next, ok = at, true
			}
		}
	}
	return next, ok
}

// Work lets the dispatcher handle what a lane has now, as the poller or Lambda
// does: receive, handle, delete what did not fail. It returns how much it was.
func (w *World) Work(ctx context.Context, lane int) int {
	if w.process.Dead() {
		w.tracef("a new process starts")
		w.start()
	}
	p, d := w.process, w.dispatcher
	limit := relay.MaxBatch
	if w.cfg.Script == nil {
		limit = 1 + w.rand.IntN(relay.MaxBatch)
	}
	batch, err := w.faulty[lane].Receive(ctx, limit, 0, visibility)
	w.must(err)
	if len(batch) == 0 {
		return 0
	}
	for _, m := range batch {
		w.tracef("%s lane: %s", []string{"events", "retries"}[lane], describe(m.Body))
	}
	// Some invocations begin when it is too late to start a call.
	bound := time.Minute
	if w.cfg.Script == nil && !w.dice.calm.Load() && w.rand.IntN(20) == 0 {
		bound = 14 * time.Second
		w.tracef("the invocation is short of time")
	}
	parts := [][]relay.Received{batch}
	if w.cfg.Script == nil && len(batch) > 1 && w.rand.IntN(4) == 0 {
		cut := 1 + w.rand.IntN(len(batch)-1)
		parts = [][]relay.Received{batch[:cut], batch[cut:]} // two invocations at once
	}
	ports := w.ports(p)
	queue := ports.Events
	if lane == retriesLane {
		queue = ports.Retries
	}
	together(len(parts), func(i int) {
		ictx, cancel := context.WithTimeout(ctx, bound)
		defer cancel()
		failed := d.Handle(ictx, queue, parts[i])
		if p.Dead() {
			return
		}
		done := slices.DeleteFunc(slices.Clone(parts[i]), func(m relay.Received) bool { return slices.Contains(failed, m.ID) })
		// A message that cannot be deleted comes again.
		_ = queue.Delete(ictx, done...)
		if len(failed) > 0 {
			w.tracef("%d of %d must come again", len(failed), len(parts[i]))
		}
	})
	w.died(p)
	return len(batch)
}

// died notes the death of a process in this step.
func (w *World) died(p *Process) {
	if p.Dead() {
		w.tracef("the process died at its effect %d", p.Effects())
		w.mu.Lock()
		defer w.mu.Unlock()
		w.crashed[w.step] = true
	}
}

func (w *World) repair(ctx context.Context) int {
	if w.process.Dead() {
		w.start()
	}
	n, err := w.dispatcher.Repair(ctx)
	w.tracef("repair found %d, %v", n, err)
	w.died(w.process)
	return n
}

// describe names a message in the trace.
func describe(body []byte) string {
	m, err := relay.DecodeMessage(body)
	if err != nil {
		return err.Error()
	}
	text := string(m.Kind) + " " + m.MID[:min(6, len(m.MID))]
	switch {
	case m.Event != nil:
		text += " " + m.Event.ID
	case m.Attempt != nil:
		text += fmt.Sprintf(" %s to %s run %d number %d", m.Attempt.EventID, m.Attempt.EndpointID, m.Attempt.Run, m.Attempt.Number)
	default:
		text += fmt.Sprintf(" %s to %s%s run %d number %d", m.Ref.ID, m.EndpointID, m.ReplayID, m.Run, m.Number)
	}
	return text + " due " + m.DueAt.Format("02 15:04:05.000")
}
