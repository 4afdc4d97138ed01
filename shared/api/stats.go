package api

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"hookferry/shared/relay"
)

// Bounds of one reading of the statistics, all of which are best effort.
const (
	statsEndpoints = 200   // the newest ones, deleted ones too
	statsSources   = 100   // as many as an account has
	statsWaiting   = 1_000 // events, and open deliveries of an endpoint, that are counted
	statsSample    = 100   // newest deliveries of an endpoint that its latency is taken from
	statsReaders   = 16    // at once
	// statsRetries is how far back the last attempt of an open delivery can be.
	statsRetries = 7 * time.Hour
)

// A statsWindow is the time that statistics are about, in steps.
type statsWindow struct {
	name  string
	step  time.Duration
	steps int
}

var statsWindows = map[string]statsWindow{
	"hour": {"hour", relay.ActivityMinute, int(relay.MinutesKept / relay.ActivityMinute)},
	"day":  {"day", relay.ActivityQuarter, int(relay.QuartersKept / relay.ActivityQuarter)},
}

type wireStats struct {
	Object      string              `json:"object"`
	Window      string              `json:"window"`
	StepSeconds int                 `json:"step_seconds"`
	From        moment              `json:"from"`
	To          moment              `json:"to"`
	Account     *wireAccountStats   `json:"account"`
	Endpoints   []wireEndpointStats `json:"endpoints"`
	Sources     []wireSourceStats   `json:"sources"`
}

type wireAccountStats struct {
	Accepted []int `json:"accepted"`
	wireAttemptStats
}

type wireAttemptStats struct {
	Delivered       []int  `json:"delivered"`
	Failed          []int  `json:"failed"`
	Waiting         int    `json:"waiting"`
	OldestWaitingAt moment `json:"oldest_waiting_at"`
	P50             *int64 `json:"p50_ms"`
	P99             *int64 `json:"p99_ms"`
}

type wireEndpointStats struct {
	EndpointID string `json:"endpoint_id"`
	wireAttemptStats
	FailingSince  moment `json:"failing_since"`
	LastSuccessAt moment `json:"last_success_at"`
	LastFailureAt moment `json:"last_failure_at"`
}

type wireSourceStats struct {
	SourceID   string `json:"source_id"`
	Accepted   []int  `json:"accepted"`
	LastCallAt moment `json:"last_call_at"`
}

// readStats sums up what happened lately. Everything in it comes from what is
// written anyway: the activity beside the endpoints' counters, and the newest
// attempts and open events.
func (s *server) readStats(c *call) (answer, error) {
	q := c.filters()
	name := word(q, "window", "hour", "day")
	only := q.text("endpoint_id", "an endpoint's id", func(v string) bool { return validID(relay.EndpointPrefix, v) })
	if q.err != nil {
		return answer{}, q.err
	}
	if name == "" {
		name = "hour"
	}
	r := &statsReading{server: s, c: c, win: statsWindows[name]}
	r.from = c.now.Truncate(r.win.step).Add(-time.Duration(r.win.steps-1) * r.win.step)
	if err := r.endpoints(only); err != nil {
		return answer{}, err
	}
	w := wireStats{
		Object: "stats", Window: name, StepSeconds: int(r.win.step / time.Second), From: moment(r.from), To: moment(c.now),
		Endpoints: []wireEndpointStats{}, Sources: []wireSourceStats{},
	}
	var err error
	if w.Endpoints, err = r.perEndpoint(); err != nil {
		return answer{}, err
	}
	if only != "" {
		return ok(w)
	}
	if w.Account, err = r.account(w.Endpoints); err != nil {
		return answer{}, err
	}
	if w.Sources, err = r.sources(); err != nil {
		return answer{}, err
	}
	deleted := func(e wireEndpointStats) bool {
		return slices.ContainsFunc(r.eps, func(ep relay.Endpoint) bool { return ep.ID == e.EndpointID && ep.Deleted() })
	}
	w.Endpoints = slices.DeleteFunc(w.Endpoints, deleted)
	return ok(w)
}

// A statsReading is what the statistics are made of.
type statsReading struct {
	*server
	c    *call
	win  statsWindow
	from time.Time

	eps       []relay.Endpoint
	counters  map[string]relay.Counters
	activity  map[string]relay.Activity
	latencies []int64 // of all endpoints
}

// endpoints reads the endpoints with what is counted of them.
func (r *statsReading) endpoints(only string) error {
	if only != "" {
		ep, err := r.Store.Endpoint(r.c.ctx(), r.c.account(), only)
		if err != nil {
			return found(fmt.Errorf("read endpoint %s: %w", only, err), "endpoint")
		}
		r.eps = []relay.Endpoint{ep}
	} else {
		for p := (relay.Page{Limit: 100}); len(r.eps) < statsEndpoints; {
			eps, next, err := r.Store.Endpoints(r.c.ctx(), r.c.account(), p)
			if err != nil {
				return fmt.Errorf("list endpoints: %w", err)
			}
			r.eps = append(r.eps, eps...)
			if p.After = next; next == "" {
				break
			}
		}
	}
	ids := each(r.eps, func(e relay.Endpoint) string { return e.ID })
	if len(ids) == 0 {
		return nil
	}
	var err1, err2 error
	r.counters, err1 = r.Store.Counters(r.c.ctx(), ids...)
	r.activity, err2 = r.Store.Activity(r.c.ctx(), r.win.step, r.from, ids...)
	return errors.Join(err1, err2)
}

// line returns a series of zeros.
func (r *statsReading) line() []int { return make([]int, r.win.steps) }

// add puts a count into a series.
func (r *statsReading) add(line []int, at time.Time, n int) {
	if i := int(at.Sub(r.from) / r.win.step); !at.Before(r.from) && i < len(line) {
		line[i] += n
	}
}

func sum(line []int) (n int) {
	for _, v := range line {
		n += v
	}
	return n
}

func (r *statsReading) perEndpoint() ([]wireEndpointStats, error) {
	ws := make([]wireEndpointStats, len(r.eps))
	errs := make([]error, len(r.eps))
	samples := make([][]int64, len(r.eps))
	gate := make(chan struct{}, statsReaders)
	var reading sync.WaitGroup
	for i, ep := range r.eps {
		n := r.counters[ep.ID]
		w := &ws[i]
		w.EndpointID, w.FailingSince = ep.ID, moment(n.FailingSince)
		w.LastSuccessAt, w.LastFailureAt = moment(n.LastSuccessAt), moment(n.LastFailureAt)
		w.Delivered, w.Failed = r.line(), r.line()
		for _, t := range r.activity[ep.ID].Tallies {
			r.add(w.Delivered, t.At, t.Delivered)
			r.add(w.Failed, t.At, t.Failed)
		}
		if ep.Deleted() {
			continue
		}
		gate <- struct{}{}
		reading.Go(func() {
			defer func() { <-gate }()
			var err1, err2 error
			if sum(w.Delivered) > 0 {
				samples[i], err1 = r.sample(ep.ID)
				w.P50, w.P99 = percentiles(samples[i])
			}
			if n.LastFailureAt.After(r.c.now.Add(-statsRetries)) {
				w.Waiting, w.OldestWaitingAt, err2 = r.waiting(ep.ID)
			}
			errs[i] = errors.Join(err1, err2)
		})
	}
	reading.Wait()
	r.latencies = slices.Concat(samples...)
	return ws, errors.Join(errs...)
}

// sample returns from acceptance to delivery, in milliseconds, of the newest
// events that the endpoint got.
func (r *statsReading) sample(endpoint string) ([]int64, error) {
	f := relay.AttemptFilter{Status: relay.AttemptSucceeded, Since: r.from}
	attempts, _, err := r.Store.Attempts(r.c.ctx(), endpoint, f, relay.Page{Limit: statsSample})
	if err != nil {
		return nil, fmt.Errorf("list attempts of %s: %w", endpoint, err)
	}
	var ms []int64
	for _, a := range attempts {
		if a.Run == 0 {
			ms = append(ms, max(0, a.CreatedAt.Add(a.Duration).Sub(a.EventCreatedAt).Milliseconds()))
		}
	}
	return ms, nil
}

// percentiles returns the least values that half, and 99 of 100, do not exceed.
func percentiles(ms []int64) (p50, p99 *int64) {
	if len(ms) == 0 {
		return nil, nil
	}
	slices.Sort(ms)
	rank := func(of100 int) *int64 { return &ms[(len(ms)*of100+99)/100-1] }
	return rank(50), rank(99)
}

// waiting counts the deliveries to an endpoint that wait for their next attempt:
// of each such one, only the last attempt has a next that is still to come.
func (r *statsReading) waiting(endpoint string) (n int, oldest moment, err error) {
	f := relay.AttemptFilter{Status: relay.AttemptFailed, Final: new(false), Since: r.c.now.Add(-statsRetries)}
	var first time.Time
	for p := (relay.Page{Limit: 100}); n < statsWaiting; {
		attempts, next, err := r.Store.Attempts(r.c.ctx(), endpoint, f, p)
		if err != nil {
			return 0, oldest, fmt.Errorf("list failed attempts of %s: %w", endpoint, err)
		}
		for _, a := range attempts {
			if a.NextAttemptAt.After(r.c.now) {
				n++
				first = earlier(first, a.EventCreatedAt)
			}
		}
		if p.After = next; next == "" {
			break
		}
	}
	return n, moment(first), nil
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// account sums up the endpoints.
func (r *statsReading) account(ws []wireEndpointStats) (*wireAccountStats, error) {
	a := &wireAccountStats{Accepted: r.line()}
	a.Delivered, a.Failed = r.line(), r.line()
	for _, w := range ws {
		for i := range a.Delivered {
			a.Delivered[i] += w.Delivered[i]
			a.Failed[i] += w.Failed[i]
		}
	}
	for _, activity := range r.activity {
		for _, t := range activity.Tallies {
			r.add(a.Accepted, t.At, t.Accepted)
		}
	}
	a.P50, a.P99 = percentiles(r.latencies)
	var first time.Time
	for p := (relay.Page{Limit: 100}); a.Waiting < statsWaiting; {
		evs, next, err := r.Store.Events(r.c.ctx(), r.c.account(), relay.EventFilter{Statuses: []relay.EventStatus{relay.EventPending}}, p)
		if err != nil {
			return nil, fmt.Errorf("list open events: %w", err)
		}
		a.Waiting += len(evs)
		for _, e := range evs {
			first = earlier(first, e.CreatedAt)
		}
		if p.After = next; next == "" {
			break
		}
	}
	a.OldestWaitingAt = moment(first)
	return a, nil
}

func (r *statsReading) sources() ([]wireSourceStats, error) {
	sources, _, err := r.Store.Sources(r.c.ctx(), r.c.account(), relay.Page{Limit: statsSources})
	if err != nil {
		return nil, fmt.Errorf("list sources: %w", err)
	}
	ws := make([]wireSourceStats, len(sources))
	at := map[string]int{}
	for i, src := range sources {
		ws[i] = wireSourceStats{SourceID: src.ID, Accepted: r.line()}
		at[src.ID] = i
	}
	for _, activity := range r.activity {
		for _, t := range activity.Tallies {
			if i, known := at[t.SourceID]; known {
				r.add(ws[i].Accepted, t.At, t.Accepted)
			}
		}
		for id, last := range activity.LastCalls {
			if i, known := at[id]; known && last.After(time.Time(ws[i].LastCallAt)) {
				ws[i].LastCallAt = moment(last)
			}
		}
	}
	return ws, nil
}
