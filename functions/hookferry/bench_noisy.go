package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"hookferry/shared/relay"
)

const (
	// noisyEvents are published for the healthy endpoint in each row, noisyRate a
	// second.
	noisyEvents = 200
	noisyRate   = 20
	// noisyHang is how long a destination that stalls keeps a call: longer than the
	// delivery timeout.
	noisyHang = 15 * time.Second
	// noisyWait is how long at most the last healthy event is waited for.
	noisyWait = 2 * time.Minute
)

// A noise is what goes on beside the healthy endpoint.
type noise struct {
	Name string
	// own: in the same account, else in another one.
	own bool
	// stall and fail are endpoints that keep a call, and that answer 500; events go
	// to all of them, or to one each if apart.
	stall, fail int
	events      int
	apart       bool
}

func noises(scale int) []noise {
	return []noise{
		{Name: "alone"},
		{Name: "another account: 100 endpoints that hang, 100 events each", stall: 100, events: 100 * 100 / scale, apart: true},
		{Name: "another account: 1 endpoint that hangs, 5,000 events", stall: 1, events: 5000 / scale},
		{Name: "the same account: 1 endpoint that hangs, 5,000 events", own: true, stall: 1, events: 5000 / scale},
		{Name: "the same account: 5 endpoints stall, 5 answer 500, 1,000 events to all", own: true, stall: 5, fail: 5, events: 1000 / scale},
	}
}

// A noisyRow is the delay of the healthy endpoint's events, from the call that
// publishes one to its delivery.
type noisyRow struct {
	Beside string  `json:"beside"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
	Max    float64 `json:"max_ms"`
	Late   int     `json:"not_delivered"` // within noisyWait of the last call
}

// runNoisy measures how long a healthy endpoint's events take beside others that
// hang and fail, each row on a relay of its own.
func runNoisy(ctx context.Context, p program, dir string, scale int, asJSON bool) error {
	var rows []noisyRow
	for _, n := range noises(scale) {
		fmt.Fprintf(p.err, "%s\n", n.Name)
		row, err := n.measure(ctx, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
		rows = append(rows, row)
	}
	if asJSON {
		return json.NewEncoder(p.out).Encode(rows)
	}
	w := tabwriter.NewWriter(p.out, 0, 0, 3, ' ', 0)
	fmt.Fprint(w, "the healthy endpoint's events, beside\tp50, ms\tp99, ms\tmax, ms\tnot delivered\n")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%d\n", r.Beside, r.P50, r.P99, r.Max, r.Late)
	}
	return w.Flush()
}

// measure starts a relay and a destination, makes the noise, and publishes to the
// healthy endpoint while it goes on.
func (n noise) measure(ctx context.Context, tmp string) (row noisyRow, err error) {
	row.Beside = n.Name
	dir, err := os.MkdirTemp(tmp, "hookferry-noisy-")
	if err != nil {
		return row, fmt.Errorf("temporary data folder: %w", err)
	}
	defer os.RemoveAll(dir)
	dest := &noisyDestination{arrived: map[string]time.Time{}, over: make(chan struct{})}
	ln, err := listenLoopback(ctx, "127.0.0.1:0")
	if err != nil {
		return row, err
	}
	srv := &http.Server{Handler: dest, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(ln) }() // what does not arrive is counted
	defer srv.Close()
	defer close(dest.over)
	proc, err := startSelf(ctx, []string{"LOG_LEVEL=error", "ALLOW_PRIVATE_DESTINATIONS=true"}, "dev", "-addr", "127.0.0.1:0", "-data", dir)
	if err != nil {
		return row, err
	}
	defer proc.kill()
	healthy := &noisyClient{base: proc.API, key: relay.Secret(proc.Key), http: &http.Client{Timeout: 30 * time.Second}}
	noisy := healthy
	if !n.own && n.events > 0 {
		if noisy, err = otherAccount(ctx, dir, healthy); err != nil {
			return row, err
		}
	}
	if err := n.endpoints(ctx, healthy, noisy, baseURL(ln)); err != nil {
		return row, err
	}

	making, stop := context.WithCancel(ctx)
	defer stop()
	var made sync.WaitGroup
	defer made.Wait()
	defer stop()
	begun := make(chan struct{})
	made.Go(func() { n.make(making, noisy, begun) })
	select {
	case <-begun:
	case <-ctx.Done():
		return row, ctx.Err()
	}
	sent, err := publishHealthy(ctx, healthy)
	if err != nil {
		return row, err
	}
	dest.wait(ctx, len(sent))
	return row.of(dest.delays(sent)), nil
}

// otherAccount makes another account on the relay's data folder.
func otherAccount(ctx context.Context, dir string, like *noisyClient) (*noisyClient, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("this program's file: %w", err)
	}
	out, err := exec.CommandContext(ctx, exe, "keys", "create", "-account", "noisy", "-data", dir, "-scopes", "webhooks:manage,events:publish", "-json").Output()
	if err != nil {
		return nil, fmt.Errorf("make another account: %w", err)
	}
	var made struct {
		Key string `json:"api_key"`
	}
	if err := json.Unmarshal(out, &made); err != nil {
		return nil, fmt.Errorf("make another account: %w", err)
	}
	return &noisyClient{base: like.base, key: relay.Secret(made.Key), http: like.http}, nil
}

// endpoints makes the healthy endpoint and those that are not.
func (n noise) endpoints(ctx context.Context, healthy, noisy *noisyClient, url string) error {
	add := func(c *noisyClient, path, typ string) error {
		return c.post(ctx, "/api/v1/webhooks", map[string]any{"name": path, "url": url + path, "event_types": []string{typ}}, new(struct{}))
	}
	err := add(healthy, "/healthy", "order.paid")
	for i := range n.stall {
		err = errors.Join(err, add(noisy, fmt.Sprint("/stall/", i), n.typ(i)))
	}
	for i := range n.fail {
		err = errors.Join(err, add(noisy, fmt.Sprint("/fail/", i), n.typ(0)))
	}
	return err
}

// typ is the type of the i-th event of the noise.
func (n noise) typ(i int) string {
	if n.apart {
		return fmt.Sprint("noise.n", i%n.stall)
	}
	return "noise.all"
}

// make publishes the noise with 32 calls under way at a time, and closes begun once
// a fifth of it is accepted.
func (n noise) make(ctx context.Context, c *noisyClient, begun chan struct{}) {
	var once sync.Once
	begin := func() { once.Do(func() { close(begun) }) }
	defer begin()
	gate := make(chan struct{}, 32)
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range n.events {
		if ctx.Err() != nil {
			return
		}
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			// One that is refused makes no noise, which shows in the table as quiet.
			_ = c.post(ctx, "/api/v1/webhook-events", map[string]any{"type": n.typ(i), "data": map[string]any{"n": i}}, new(struct{}))
		})
		if i >= n.events/5 {
			begin()
		}
	}
}

// publishHealthy publishes the healthy endpoint's events, evenly paced, and returns
// when each call began, by the event's id.
func publishHealthy(ctx context.Context, c *noisyClient) (map[string]time.Time, error) {
	sent := make(map[string]time.Time, noisyEvents)
	var mu sync.Mutex
	var errs error
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Second / noisyRate)
	defer tick.Stop()
	for i := range noisyEvents {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		wg.Go(func() {
			began := time.Now()
			var ev struct {
				ID string `json:"id"`
			}
			err := c.post(ctx, "/api/v1/webhook-events", map[string]any{"type": "order.paid", "data": map[string]any{"n": i}}, &ev)
			mu.Lock()
			defer mu.Unlock()
			errs = errors.Join(errs, err)
			sent[ev.ID] = began
		})
	}
	wg.Wait()
	return sent, errs
}

// A noisyClient calls a relay's management API as one account.
type noisyClient struct {
	base string
	key  relay.Secret
	http *http.Client
}

// post makes a call and reads the answer into answer.
func (c *noisyClient) post(ctx context.Context, path string, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("POST %s: %w", path, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("POST %s: %w", path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("POST %s: %w", path, err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("POST %s: answered %d: %s", path, resp.StatusCode, b)
	}
	return json.Unmarshal(b, answer)
}

// A noisyDestination answers the healthy endpoint at once, and the others as
// their paths say.
type noisyDestination struct {
	mu      sync.Mutex
	arrived map[string]time.Time // of healthy events, by id
	over    chan struct{}
}

// ServeHTTP takes one delivery.
func (d *noisyDestination) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20))
	switch {
	case r.URL.Path == "/healthy":
		d.mu.Lock()
		defer d.mu.Unlock()
		if id := r.Header.Get("Rivya-Webhook-Id"); d.arrived[id].IsZero() {
			d.arrived[id] = now
		}
	case strings.HasPrefix(r.URL.Path, "/fail/"):
		w.WriteHeader(http.StatusInternalServerError)
	default:
		select {
		case <-time.After(noisyHang):
		case <-r.Context().Done():
		case <-d.over:
		}
	}
}

// wait waits until n events have arrived, for noisyWait at most.
func (d *noisyDestination) wait(ctx context.Context, n int) {
	ctx, cancel := context.WithTimeout(ctx, noisyWait)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		d.mu.Lock()
		all := len(d.arrived) >= n
		d.mu.Unlock()
		if all {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// delays returns how long each event took, in ascending order, and how many have
// not arrived.
func (d *noisyDestination) delays(sent map[string]time.Time) (took []time.Duration, late int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, began := range sent {
		if at := d.arrived[id]; at.IsZero() {
			late++
		} else {
			took = append(took, at.Sub(began))
		}
	}
	slices.Sort(took)
	return took, late
}

func (r noisyRow) of(took []time.Duration, late int) noisyRow {
	if r.Late = late; len(took) > 0 {
		at := func(q float64) float64 {
			return float64(took[min(int(q*float64(len(took))), len(took)-1)].Microseconds()) / 1000
		}
		r.P50, r.P99, r.Max = at(0.50), at(0.99), at(1)
	}
	return r
}
