package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"hookferry/shared/relay"
)

// pace is how many runs a replay starts in a second.
func pace(r relay.Replay) int { return min(max(r.MaxPerSecond, 1), 100) }

// replayFilter selects the last attempts of runs: of what has ended, a new run
// is started.
func replayFilter(r relay.Replay) relay.AttemptFilter {
	final := true
	f := relay.AttemptFilter{Final: &final, Since: r.Since, Until: r.Until}
	if f.Until.After(r.CreatedAt) {
		f.Until = r.CreatedAt // what comes later, such as its own runs, is not replayed
	}
	switch r.Select {
	case selectBad:
		f.Bad = true
	case selectAll:
	default:
		f.Status = relay.AttemptStatus(r.Select)
	}
	return f
}

// turn takes the endpoint's time for n runs, and returns how long they take.
func (w *work) turn(ctx context.Context, r relay.Replay, n int, now time.Time) (time.Duration, error) {
	if n == 0 {
		return 0, nil
	}
	perSecond := pace(r)
	long := time.Duration((n+perSecond-1)/perSecond) * time.Second
	_, mine, err := w.Store.ReplaySlot(ctx, r.EndpointID, now, long)
	if err != nil {
		return 0, fmt.Errorf("take replay slot: %w", err)
	}
	if !mine {
		return 0, errNoSlot
	}
	return long, nil
}

// startRuns begins a run for each attempt's delivery that is to have one, at most
// so many due in any second from now on as the replay's pace says, and sends their
// first attempts. It returns how many runs there are of this replay among them,
// and how long they take.
func (w *work) startRuns(ctx context.Context, r relay.Replay, attempts []relay.Attempt, now time.Time) (int, time.Duration, error) {
	chosen, err := w.choose(ctx, r, attempts)
	if err != nil {
		return 0, 0, err
	}
	// A step that comes again takes its turn again: late is better than too fast.
	long, err := w.turn(ctx, r, len(chosen), now)
	if err != nil {
		return 0, 0, err
	}
	msgs := make([]relay.Message, len(chosen))
	err = w.each(len(chosen), func(i int) error {
		a := chosen[i]
		at := now.Add(time.Duration(i/pace(r)) * time.Second)
		run, err := w.Store.StartRun(ctx, r.Account, a.EventID, r.EndpointID, r.ID, at)
		if errors.Is(err, relay.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("start run: %w", err)
		}
		ref := relay.EventRef{Account: r.Account, ID: a.EventID, CreatedAt: a.EventCreatedAt}
		msgs[i] = relay.NewAttemptMessage(ref, r.EndpointID, run.Number, 1, run.StartedAt, run.StartedAt.Add(relay.GiveUpAfter))
		return nil
	})
	errs := []error{err}
	begun := msgs[:0]
	for _, m := range msgs {
		if m.Kind != "" {
			begun = append(begun, m)
		}
	}
	if len(begun) > 0 {
		// A crash before this leaves runs without a message: the step comes again
		// and sends them.
		for _, err := range sendAll(ctx, w.Retries, w.Now(), begun) {
			errs = append(errs, fmt.Errorf("send first attempt: %w", err))
		}
	}
	return len(begun), long, errors.Join(errs...)
}

// each runs f for 0 to n-1, some at once.
func (w *work) each(n int, f func(i int) error) error {
	errs := make([]error, n)
	gate := make(chan struct{}, maxReplayWorkers)
	var working sync.WaitGroup
	for i := range n {
		gate <- struct{}{}
		working.Go(func() {
			defer func() { <-gate }()
			errs[i] = w.guard(func() error { return f(i) })
		})
	}
	working.Wait()
	return errors.Join(errs...)
}

// choose returns those of the attempts whose deliveries are to be run again, one
// for each event.
func (w *work) choose(ctx context.Context, r relay.Replay, attempts []relay.Attempt) (chosen []relay.Attempt, err error) {
	seen := map[string]bool{}
	var candidates []relay.Attempt
	for _, a := range attempts {
		if !seen[a.EventID] {
			seen[a.EventID] = true
			candidates = append(candidates, a)
		}
	}
	is := make([]bool, len(candidates))
	err = w.each(len(candidates), func(i int) (err error) {
		is[i], err = w.selected(ctx, r, candidates[i])
		return err
	})
	for i, a := range candidates {
		if is[i] {
			chosen = append(chosen, a)
		}
	}
	return chosen, err
}

// selected reports whether the delivery that an attempt ended is to be run
// again: the attempt's run is its latest, so that what a later run has delivered
// is left alone; or the next one is, and this replay has begun it, in an earlier
// receive of the same step.
func (w *work) selected(ctx context.Context, r relay.Replay, a relay.Attempt) (bool, error) {
	rec, err := w.Store.Event(ctx, r.Account, a.EventID, true)
	if errors.Is(err, relay.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read event: %w", err)
	}
	latest := rec.Runs[r.EndpointID]
	return latest.Number == a.Run || latest.Token == r.ID && latest.Number == a.Run+1, nil
}

// openStep sends copies of the messages that the next page of open deliveries
// waits for, so that they are attempted now. A copy is of the same attempt, so
// whichever message comes later finds it on record: nothing is lost, whatever
// becomes of the replay.
func (w *work) openStep(ctx context.Context, r *relay.Replay, pos *position, now time.Time) (time.Duration, error) {
	perSecond := pace(*r)
	page := relay.Page{Limit: min(perSecond*int(replayAhead/time.Second), 100), After: pos.cursor}
	open, next, err := w.Store.OpenDeliveries(ctx, r.Account, r.EndpointID, r.Since, replayFilter(*r).Until, page)
	if err != nil {
		return 0, fmt.Errorf("list open deliveries: %w", err)
	}
	var msgs []relay.Message
	for _, o := range open {
		if !o.Delivery.NextAttemptAt.After(now) && !o.Delivery.NotBefore.After(now) {
			continue // it is being attempted anyway
		}
		m := again(o)
		m.Early, m.NotBefore = true, now.Add(time.Duration(len(msgs)/perSecond)*time.Second)
		msgs = append(msgs, m)
	}
	long, err := w.turn(ctx, *r, len(msgs), now)
	if err != nil {
		return 0, err
	}
	for _, err := range sendAll(ctx, w.Retries, w.Now(), msgs) {
		return 0, fmt.Errorf("send what is open: %w", err) // the step comes again, with copies that end
	}
	r.Started += len(msgs)
	pos.tally.copies += len(msgs)
	if pos.cursor = next; next == "" {
		w.drain(r, pos, now)
	}
	return long, nil
}

// cancelled reports whether a job is the first attempt of a run that a replay
// started, which was cancelled since: then no call is made, and it writes so into
// a. A run that has made a call goes on.
func (w *work) cancelled(ctx context.Context, j job, a *relay.Attempt) (bool, error) {
	run := j.ev.Runs[j.endpointID]
	if j.number > 1 || j.run == 0 || run.Number != j.run || !strings.HasPrefix(run.Token, relay.ReplayPrefix) {
		return false, nil
	}
	r, err := w.Store.Replay(ctx, j.ev.Account, run.Token)
	if errors.Is(err, relay.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read replay: %w", err)
	}
	if r.Status != relay.ReplayCancelled {
		return false, nil
	}
	a.Status, a.Final = relay.AttemptSkipped, true
	a.ErrorCode, a.ErrorMessage = relay.CodeCancelled, "The replay that started this run was cancelled."
	return true, nil
}
