package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"hookferry/shared/relay"
)

const (
	// replayAhead is how much of a replay one step starts, so how long a cancelled
	// one may still start runs.
	replayAhead = 10 * time.Second
	// maxReplayWorkers is how many runs of a step are started at once.
	maxReplayWorkers = 10
)

// replay makes one step of a replay: it takes the next page of the endpoint's
// attempts, begins a new run for each delivery that the replay selects, so many
// a second, and sends the message for the next step.
//
// A step is the current one when its number is the replay's version, which each
// step raises at its end. The order within a step is: begin runs and send their
// first attempts, send the next step, raise the version. A crash anywhere brings
// the step again, and it does the same over: a run that the replay has begun
// already is known by its token. The next step waits, if it comes before the
// version is raised.
func (w *work) replay(ctx context.Context, m relay.Message) error {
	r, err := w.Store.Replay(ctx, m.Account, m.ReplayID)
	if errors.Is(err, relay.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read replay: %w", err)
	}
	now := relay.Millis(w.Now())
	step := int64(max(m.Step, 1))
	switch {
	case r.Status != relay.ReplayRunning || step < r.Version:
		return nil
	case step > r.Version:
		if !m.GiveUpAt.IsZero() && !now.Before(m.GiveUpAt) {
			return nil
		}
		m.DueAt = now.Add(time.Second)
		return w.retries.send(ctx, m)
	}
	ep, err := w.Store.Endpoint(ctx, r.Account, r.EndpointID)
	if err != nil && !errors.Is(err, relay.ErrNotFound) {
		return fmt.Errorf("read endpoint: %w", err)
	}
	if err != nil || ep.Deleted() {
		r.Status, r.FinishedAt, r.UpdatedAt = relay.ReplayCancelled, now, now
		return w.saveReplay(ctx, r)
	}

	perSecond := min(max(r.MaxPerSecond, 1), 100)
	page := relay.Page{Limit: min(perSecond*int(replayAhead/time.Second), 100), After: r.After}
	attempts, next, err := w.Store.Attempts(ctx, r.EndpointID, replayFilter(r), page)
	if err != nil {
		return fmt.Errorf("list attempts: %w", err)
	}
	started, err := w.startRuns(ctx, r, attempts, now, perSecond)
	if err != nil {
		return err
	}
	r.Started += started
	r.After, r.UpdatedAt = next, now
	if next == "" {
		r.Status, r.FinishedAt = relay.ReplayCompleted, now
		return w.saveReplay(ctx, r)
	}
	seconds := (started + perSecond - 1) / perSecond
	following := relay.Message{Kind: relay.MessageReplay, MID: relay.NewMID(), Account: r.Account, ReplayID: r.ID,
		EndpointID: r.EndpointID, Step: int(step) + 1, DueAt: now.Add(time.Duration(seconds) * time.Second), GiveUpAt: m.GiveUpAt}
	if err := w.retries.send(ctx, following); err != nil {
		return fmt.Errorf("send the next step: %w", err)
	}
	return w.saveReplay(ctx, r)
}

// saveReplay writes the replay. Of two copies of a step one is first; and who
// cancels a replay meanwhile has the last word.
func (w *work) saveReplay(ctx context.Context, r relay.Replay) error {
	err := w.Store.UpdateReplay(ctx, r)
	if err != nil && !errors.Is(err, relay.ErrConflict) {
		return fmt.Errorf("update replay: %w", err)
	}
	return nil
}

// replayFilter selects the last attempts of runs: only what has ended is
// delivered again.
func replayFilter(r relay.Replay) relay.AttemptFilter {
	final := true
	f := relay.AttemptFilter{Final: &final, Since: r.Since, Until: r.Until}
	switch r.Select {
	case "bad":
		f.Bad = true
	case "all":
	default:
		f.Status = relay.AttemptStatus(r.Select)
	}
	return f
}

// startRuns begins a run for each attempt's delivery, at most perSecond of them
// due in any second from now on, and sends their first attempts. It returns how
// many runs there are of this replay among them.
func (w *work) startRuns(ctx context.Context, r relay.Replay, attempts []relay.Attempt, now time.Time, perSecond int) (int, error) {
	var (
		mu      sync.Mutex
		msgs    []relay.Message
		errs    []error
		slot    int
		working sync.WaitGroup
	)
	gate := make(chan struct{}, maxReplayWorkers)
	seen := map[string]bool{}
	for _, a := range attempts {
		if seen[a.EventID] {
			continue
		}
		seen[a.EventID] = true
		gate <- struct{}{}
		working.Go(func() {
			defer func() { <-gate }()
			err := w.guard(func() error {
				ok, err := w.selected(ctx, r, a)
				if err != nil || !ok {
					return err
				}
				mu.Lock()
				at := now.Add(time.Duration(slot/perSecond) * time.Second)
				slot++
				mu.Unlock()
				run, err := w.Store.StartRun(ctx, r.Account, a.EventID, r.EndpointID, r.ID, at)
				if errors.Is(err, relay.ErrNotFound) {
					return nil
				}
				if err != nil {
					return fmt.Errorf("start run: %w", err)
				}
				ref := relay.EventRef{Account: r.Account, ID: a.EventID, CreatedAt: a.EventCreatedAt}
				mu.Lock()
				defer mu.Unlock()
				msgs = append(msgs, relay.NewAttemptMessage(ref, r.EndpointID, run.Number, 1, run.StartedAt, run.StartedAt.Add(relay.GiveUpAfter)))
				return nil
			})
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	working.Wait()
	if len(msgs) > 0 {
		// A crash before this leaves runs without a message: the step comes again
		// and sends them.
		for _, err := range sendAll(ctx, w.Retries, w.Now(), msgs) {
			errs = append(errs, fmt.Errorf("send first attempt: %w", err))
		}
	}
	return len(msgs), errors.Join(errs...)
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
