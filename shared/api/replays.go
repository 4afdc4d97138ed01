package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"hookferry/shared/bounds"
	"hookferry/shared/relay"
)

// What a replay selects (relay.Replay.Select).
const (
	selectFailed  = string(relay.AttemptFailed)
	selectSkipped = string(relay.AttemptSkipped)
	selectBad     = "bad"
	selectOpen    = "open"
	selectAll     = "all"
)

// A dry run looks at no more than this many attempts, pages and events.
const (
	dryRunAttempts = 10_000
	dryRunPages    = 200
	dryRunEvents   = 1_000
	dryRunReaders  = 16 // at once
)

func (s *server) createReplay(c *call) (answer, error) {
	q := c.filters()
	dry := q.flag("dry_run")
	if q.err != nil {
		return answer{}, q.err
	}
	o, err := c.object()
	if err != nil {
		return answer{}, err
	}
	r := relay.Replay{
		ID: relay.NewID(relay.ReplayPrefix, c.now), Account: c.account(), Select: selectBad, MaxPerSecond: 10,
		Status: relay.ReplayRunning, CreatedAt: c.now, UpdatedAt: c.now, Until: c.now,
	}
	r.Since = need(o, "since", anInstant)
	given := []string{"since"}
	if until := field(o, "until", anInstant); until != nil {
		r.Until, given = *until, append(given, "until")
	}
	if sel := field(o, "status", oneOf(selectFailed, selectSkipped, selectOpen, selectAll)); sel != nil {
		r.Select, given = *sel, append(given, "status")
	}
	if rate := field(o, "max_per_second", anInteger(1, 100)); rate != nil {
		r.MaxPerSecond, given = *rate, append(given, "max_per_second")
	}
	if err := o.done(); err != nil {
		return answer{}, err
	}
	if !r.Since.Before(r.Until) {
		return answer{}, relay.Invalid("since", "since must be before until, which is now if it is not given.")
	}
	ep, err := s.liveEndpoint(c)
	if err != nil {
		return answer{}, err
	}
	r.EndpointID = ep.ID
	if dry != nil && *dry {
		return s.dryRun(c, r)
	}
	// Before an Idempotency-Key stands for it: a refused call may be repeated.
	if running, err := s.runningReplays(c); err != nil {
		return answer{}, err
	} else if len(running) >= maxRunningReplays {
		return answer{}, tooManyReplays()
	}
	return s.startReplay(c, o, r, given)
}

// maxRunningReplays is how many replays of an account may be running at a time.
const maxRunningReplays = 5

func tooManyReplays() *relay.Error {
	return &relay.Error{
		Kind:   relay.KindLimitExceeded,
		Detail: fmt.Sprintf("The account has %d replays running, which is its limit. Wait for one, or cancel it.", maxRunningReplays),
	}
}

// runningReplays returns the IDs of the account's replays that are starting runs,
// the oldest first.
func (s *server) runningReplays(c *call) (running []string, err error) {
	for p := (relay.Page{Limit: 100}); ; {
		replays, next, err := s.Store.Replays(c.ctx(), c.account(), p)
		if err != nil {
			return nil, fmt.Errorf("list replays: %w", err)
		}
		for _, r := range replays {
			if r.Status == relay.ReplayRunning {
				running = append(running, r.ID)
			}
		}
		if p.After = next; next == "" {
			slices.Sort(running)
			return running, nil
		}
	}
}

// startReplay puts the replay and sends the message that starts it.
func (s *server) startReplay(c *call, o *object, r relay.Replay, given []string) (answer, error) {
	mk, err := s.making(c, o, c.route(), r.ID)
	if err != nil {
		return answer{}, err
	}
	if !slices.Contains(given, "until") {
		r.Until = mk.at // now means when the first call came
	}
	r.ID, r.CreatedAt, r.UpdatedAt, r.NextAt = mk.id, mk.at, mk.at, mk.at
	r, made, err := finish(mk,
		func() (relay.Replay, error) { return s.Store.Replay(c.ctx(), c.account(), mk.id) },
		func() (relay.Replay, error) { return r, s.Store.CreateReplay(c.ctx(), r) })
	if err != nil {
		return answer{}, fmt.Errorf("create replay: %w", err)
	}
	if made {
		// Of several that were started at once, the first stay.
		running, err := s.runningReplays(c)
		if err != nil || slices.Index(running, r.ID) >= maxRunningReplays {
			s.endReplay(context.WithoutCancel(c.ctx()), r, c.now)
			if err == nil {
				err = tooManyReplays()
			}
			return answer{}, err
		}
	}
	if !made && (r.Status != relay.ReplayRunning || r.After != "") {
		return answer{status: http.StatusAccepted, body: replayWire(r)}, nil
	}
	// A repeat comes here too while no step is on record: the message may be lost,
	// and the dispatcher knows a copy of a step that was made.
	m := relay.NewReplayMessage(r, 1, c.now, r.CreatedAt.Add(relay.GiveUpAfter))
	if err := s.Retries.Send(c.ctx(), m.Outgoing(c.now)); err != nil {
		if !mk.keyed {
			// Nothing will work on it: do not leave one that seems to run.
			s.endReplay(context.WithoutCancel(c.ctx()), r, c.now)
		}
		return answer{}, fmt.Errorf("queue replay %s: %w", r.ID, err)
	}
	if made {
		s.audit(c, "replay.create", r.ID, given...)
	}
	return answer{status: http.StatusAccepted, body: replayWire(r)}, nil
}

func (s *server) endReplay(ctx context.Context, r relay.Replay, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, bounds.APIUndo)
	defer cancel()
	r.Version, r.Status, r.UpdatedAt, r.FinishedAt = 1, relay.ReplayCancelled, now, now
	if err := s.Store.UpdateReplay(ctx, r); err != nil {
		s.Log.Failure(ctx, "cancel replay that could not be queued", err)
	}
}

type wireDryRun struct {
	Object string `json:"object"`
	Count  int    `json:"count"`
	Exact  bool   `json:"exact"` // false: the count met one of its bounds
}

// replayFilter selects the last attempts of the runs that a replay looks at.
func replayFilter(r relay.Replay) relay.AttemptFilter {
	f := relay.AttemptFilter{Final: new(true), Since: r.Since, Until: r.Until}
	if f.Until.After(r.CreatedAt) {
		f.Until = r.CreatedAt // what comes later is not replayed
	}
	switch r.Select {
	case selectFailed, selectSkipped:
		f.Status = relay.AttemptStatus(r.Select)
	case selectBad:
		f.Bad = true
	}
	return f
}

// dryRun counts the deliveries that the replay would run again, as far as it
// looks: those whose latest run ended, in the time range, as the replay selects.
func (s *server) dryRun(c *call, r relay.Replay) (answer, error) {
	ended, looked := map[string]int{}, 0 // the latest such run by event
	p := relay.Page{Limit: 100}
	for range dryRunPages {
		if r.Select == selectOpen {
			break
		}
		attempts, next, err := s.Store.Attempts(c.ctx(), r.EndpointID, replayFilter(r), p)
		if err != nil {
			return answer{}, fmt.Errorf("list attempts of %s: %w", r.EndpointID, err)
		}
		for _, a := range attempts {
			ended[a.EventID] = max(ended[a.EventID], a.Run)
		}
		looked += len(attempts)
		p.After = next
		if next == "" || looked >= dryRunAttempts {
			break
		}
	}
	over, err := s.overtaken(c, r.EndpointID, ended)
	if err != nil {
		return answer{}, err
	}
	open, all, err := s.countOpen(c, r)
	if err != nil {
		return answer{}, err
	}
	return ok(wireDryRun{
		Object: "webhook_replay_dry_run", Count: len(ended) - over + open,
		Exact: p.After == "" && len(ended) <= dryRunEvents && all,
	})
}

// countOpen counts the open deliveries that the replay would send now, and reports
// whether it has looked at all.
func (s *server) countOpen(c *call, r relay.Replay) (n int, all bool, err error) {
	if r.Select != selectOpen && r.Select != selectAll {
		return 0, true, nil
	}
	p := relay.Page{Limit: 100}
	for range dryRunPages {
		open, next, err := s.Store.OpenDeliveries(c.ctx(), r.Account, r.EndpointID, r.Since, replayFilter(r).Until, p)
		if err != nil {
			return 0, false, fmt.Errorf("list open deliveries to %s: %w", r.EndpointID, err)
		}
		for _, o := range open {
			if o.Delivery.NextAttemptAt.After(c.now) || o.Delivery.NotBefore.After(c.now) {
				n++
			}
		}
		if p.After = next; next == "" {
			return n, true, nil
		}
	}
	return n, false, nil
}

// overtaken counts the events, among the first dryRunEvents of them, whose
// delivery has a later run than the one given, or that are gone.
func (s *server) overtaken(c *call, endpoint string, ended map[string]int) (int, error) {
	var (
		mu      sync.Mutex
		over    int
		failed  error
		asked   int
		reading sync.WaitGroup
	)
	gate := make(chan struct{}, dryRunReaders)
	for id, run := range ended {
		if asked++; asked > dryRunEvents {
			break
		}
		gate <- struct{}{}
		reading.Go(func() {
			defer func() { <-gate }()
			rec, err := s.Store.Event(c.ctx(), c.account(), id, false)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, relay.ErrNotFound), err == nil && rec.Latest(endpoint) != run:
				over++
			case err != nil:
				failed = fmt.Errorf("read event: %w", err)
			}
		})
	}
	reading.Wait()
	return over, failed
}

func (s *server) replay(c *call) (relay.Replay, error) {
	id := c.r.PathValue("id")
	if !validID(relay.ReplayPrefix, id) {
		return relay.Replay{}, notFound("replay")
	}
	r, err := s.Store.Replay(c.ctx(), c.account(), id)
	if err != nil {
		return r, found(fmt.Errorf("read replay %s: %w", id, err), "replay")
	}
	return r, nil
}

func (s *server) listReplays(c *call) (answer, error) {
	binding := c.filters().binding("replays")
	p, err := s.page(c, binding)
	if err != nil {
		return answer{}, err
	}
	replays, next, err := s.Store.Replays(c.ctx(), c.account(), p)
	if err != nil {
		return answer{}, fmt.Errorf("list replays: %w", err)
	}
	return s.listed(binding, each(replays, replayWire), next)
}

func (s *server) readReplay(c *call) (answer, error) {
	r, err := s.replay(c)
	if err != nil {
		return answer{}, err
	}
	return ok(replayWire(r))
}

// cancelReplay ends a replay; one that has ended stays as it is. The runs that it
// has started and that have made no call yet end as skipped when their messages
// come.
func (s *server) cancelReplay(c *call) (answer, error) {
	for try := range casTries {
		r, err := s.replay(c)
		if err != nil {
			return answer{}, err
		}
		if !r.Unfinished() {
			return ok(replayWire(r))
		}
		r.Status, r.UpdatedAt, r.FinishedAt = relay.ReplayCancelled, c.now, c.now
		err = s.Store.UpdateReplay(c.ctx(), r)
		if err == nil {
			s.audit(c, "replay.cancel", r.ID, "status")
			return ok(replayWire(r))
		}
		if !errors.Is(err, relay.ErrConflict) {
			return answer{}, found(fmt.Errorf("write replay %s: %w", r.ID, err), "replay")
		}
		if err := s.settle(c, try); err != nil {
			return answer{}, err
		}
	}
	return answer{}, fmt.Errorf("cancel replay: %w, %d times", relay.ErrConflict, casTries)
}
