package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hookferry/shared/relay"
)

// What a replay selects beside the statuses of attempts (relay.Replay.Select).
const (
	selectBad  = "bad"
	selectOpen = "open"
	selectAll  = "all"
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
// a second, and sends the message for the next step. Then come what is open, and
// walks over the runs that count how they ended.
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
	case !r.Unfinished() || step < pos.step:
		return nil // ended, or a copy
	case !m.GiveUpAt.IsZero() && !now.Before(m.GiveUpAt):
		r.Status, r.FinishedAt, r.UpdatedAt = relay.ReplayCancelled, now, now
		return w.saveReplay(ctx, r)
	case step > pos.step:
		return w.replayLater(ctx, m, now.Add(time.Second))
	case pos.claimed.After(now):
		return w.replayLater(ctx, m, pos.claimed)
	}
	if pos.phase != phaseCount {
		// All replays of an endpoint keep one pace together: they take turns, a step
		// of some seconds each.
		free, mine, err := w.Store.ReplaySlot(ctx, r.EndpointID, now, 0)
		if err != nil {
			return fmt.Errorf("read replay slot: %w", err)
		}
		if !mine {
			return w.replayLater(ctx, m, free)
		}
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
		if errors.Is(err, errNoSlot) {
			return w.replayLater(ctx, m, now.Add(time.Second))
		}
		return err
	}
	return nil
}

// errNoSlot means that another replay of the endpoint took the time for this step.
var errNoSlot = errors.New("another replay of the endpoint has its turn")

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
	var wait time.Duration
	switch pos.phase {
	case phaseCount:
		wait, err = w.countStep(ctx, &r, &pos, now)
	case phaseOpen:
		wait, err = w.openStep(ctx, &r, &pos, now)
	default:
		wait, err = w.startStep(ctx, &r, &pos, now)
	}
	if err != nil {
		return err
	}
	pos.step, pos.claimed = pos.step+1, time.Time{}
	r.After, r.NextAt = pos.String(), now.Add(wait)
	if !r.Unfinished() {
		r.FinishedAt, r.NextAt = now, time.Time{}
		return w.saveReplay(ctx, r)
	}
	if err := w.retries.send(ctx, relay.NewReplayMessage(r, pos.step, r.NextAt, m.GiveUpAt)); err != nil {
		return fmt.Errorf("send the next step: %w", err)
	}
	return w.saveReplay(ctx, r)
}

// startStep starts runs for the next page of what the replay selects, and says
// how long they take.
func (w *work) startStep(ctx context.Context, r *relay.Replay, pos *position, now time.Time) (time.Duration, error) {
	if r.Select == selectOpen {
		*pos = position{step: pos.step, phase: phaseOpen}
		return 0, nil
	}
	perSecond := pace(*r)
	page := relay.Page{Limit: min(perSecond*int(replayAhead/time.Second), 100), After: pos.cursor}
	attempts, next, err := w.Store.Attempts(ctx, r.EndpointID, replayFilter(*r), page)
	if err != nil {
		return 0, fmt.Errorf("list attempts: %w", err)
	}
	started, long, err := w.startRuns(ctx, *r, attempts, now)
	if err != nil {
		return 0, err
	}
	r.Started += started
	pos.tally.runs += started
	switch pos.cursor = next; {
	case next != "":
	case r.Select == selectAll:
		pos.phase = phaseOpen
	default:
		w.drain(r, pos, now)
	}
	return long, nil
}

// drain begins the time in which what the replay has started comes to its end.
func (w *work) drain(r *relay.Replay, pos *position, now time.Time) {
	pos.phase, pos.cursor, pos.drained = phaseCount, "", now
	r.Status = relay.ReplayDraining
	if pos.tally.runs == 0 {
		r.Status, r.Open, r.CountedAt = relay.ReplayCompleted, pos.tally.copies, now
	}
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
