package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
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
// The replay's record says which step is next and until when an invocation works
// on it alone. The order within a step is: claim it, begin runs and send their
// first attempts, send the next step, end the step. A crash anywhere brings the
// step again once the claim has ended, and it does the same over: a run that the
// replay has begun already is known by its token. The next step waits if it comes
// before this one's end is on record.
func (w *work) replay(ctx context.Context, m relay.Message) error {
	r, err := w.Store.Replay(ctx, m.Account, m.ReplayID)
	if errors.Is(err, relay.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read replay: %w", err)
	}
	pos, err := parsePosition(r.After)
	if err != nil {
		return poison{err}
	}
	now := relay.Millis(w.Now())
	step := max(m.Step, 1)
	switch {
	case r.Status != relay.ReplayRunning || step < pos.step:
		return nil // ended, or a copy
	case !m.GiveUpAt.IsZero() && !now.Before(m.GiveUpAt):
		r.Status, r.FinishedAt, r.UpdatedAt = relay.ReplayCancelled, now, now
		return w.saveReplay(ctx, r)
	case step > pos.step:
		return w.replayLater(ctx, m, now.Add(time.Second))
	case pos.claimed.After(now):
		return w.replayLater(ctx, m, pos.claimed)
	}
	pos.claimed = w.until
	r.After, r.UpdatedAt = pos.String(), now
	if err := w.Store.UpdateReplay(ctx, r); errors.Is(err, relay.ErrConflict) {
		return w.replayLater(ctx, m, now.Add(time.Second)) // claimed or cancelled meanwhile
	} else if err != nil {
		return fmt.Errorf("claim replay step: %w", err)
	}
	r.Version++
	if err := w.replayStep(ctx, m, r, pos, now); err != nil {
		// The claim need not be waited for. Best effort.
		pos.claimed = time.Time{}
		r.After = pos.String()
		_ = w.Store.UpdateReplay(ctx, r)
		return err
	}
	return nil
}

// replayLater puts a replay's message back until due.
func (w *work) replayLater(ctx context.Context, m relay.Message, due time.Time) error {
	m.DueAt = due
	return w.retries.send(ctx, m)
}

// replayStep makes the step that has been claimed.
func (w *work) replayStep(ctx context.Context, m relay.Message, r relay.Replay, pos position, now time.Time) error {
	ep, err := w.Store.Endpoint(ctx, r.Account, r.EndpointID)
	if err != nil && !errors.Is(err, relay.ErrNotFound) {
		return fmt.Errorf("read endpoint: %w", err)
	}
	if err != nil || ep.Deleted() {
		r.Status, r.FinishedAt = relay.ReplayCancelled, now
		return w.saveReplay(ctx, r)
	}
	perSecond := min(max(r.MaxPerSecond, 1), 100)
	page := relay.Page{Limit: min(perSecond*int(replayAhead/time.Second), 100), After: pos.cursor}
	attempts, next, err := w.Store.Attempts(ctx, r.EndpointID, replayFilter(r), page)
	if err != nil {
		return fmt.Errorf("list attempts: %w", err)
	}
	started, err := w.startRuns(ctx, r, attempts, now, perSecond)
	if err != nil {
		return err
	}
	r.Started += started
	r.After = position{step: pos.step + 1, cursor: next}.String()
	if next == "" {
		r.Status, r.FinishedAt = relay.ReplayCompleted, now
		return w.saveReplay(ctx, r)
	}
	seconds := (started + perSecond - 1) / perSecond
	following := relay.NewReplayMessage(r, pos.step+1, now.Add(time.Duration(seconds)*time.Second), m.GiveUpAt)
	if err := w.retries.send(ctx, following); err != nil {
		return fmt.Errorf("send the next step: %w", err)
	}
	return w.saveReplay(ctx, r)
}

// saveReplay writes the replay, unless it has been cancelled meanwhile: who
// cancels has the last word.
func (w *work) saveReplay(ctx context.Context, r relay.Replay) error {
	err := w.Store.UpdateReplay(ctx, r)
	if err != nil && !errors.Is(err, relay.ErrConflict) {
		return fmt.Errorf("update replay: %w", err)
	}
	return nil
}

// A position is how far a replay has come; a Replay keeps it as After. Empty
// stands for the first step.
type position struct {
	step    int       // the next to be made
	claimed time.Time // until when an invocation makes it alone
	cursor  string    // the page of attempts
}

func (p position) String() string {
	claimed := int64(0)
	if !p.claimed.IsZero() {
		claimed = p.claimed.UnixMilli()
	}
	return fmt.Sprintf("%d.%d.%s", p.step, claimed, p.cursor)
}

func parsePosition(after string) (position, error) {
	if after == "" {
		return position{step: 1}, nil
	}
	parts := strings.SplitN(after, ".", 3)
	if len(parts) != 3 {
		return position{}, fmt.Errorf("replay position %q is malformed", after)
	}
	step, err1 := strconv.Atoi(parts[0])
	claimed, err2 := strconv.ParseInt(parts[1], 10, 64)
	if err1 != nil || err2 != nil || step < 1 {
		return position{}, fmt.Errorf("replay position %q is malformed", after)
	}
	p := position{step: step, cursor: parts[2]}
	if claimed != 0 {
		p.claimed = time.UnixMilli(claimed).UTC()
	}
	return p, nil
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
