package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hookferry/events"
	"hookferry/shared/client"
	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

// A load makes the calls of a bench and is the destination of what comes of
// them. It is used for one run after the other.
type load struct {
	benchPlan
	text []byte // what the events' data is cut from

	secret relay.Secret // that signs the deliveries
	scheme string       // how: rivya, standard, none
	began  []time.Time  // when each event's call was to begin
	took   []atomic.Int64
	left   chan struct{} // closed when every event is here

	arrived, repeats, answered atomic.Int64
	last                       atomic.Int64 // the newest arrival, ns after start
	start                      time.Time
	wrong                      atomic.Pointer[string]
}

// mark comes before an event's number in its data.
const mark = `"bench_event":"`

func newLoad(plan benchPlan) *load {
	// Text of no meaning that deflates by a third, like ids and URLs.
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-_/:. "
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 2*plan.Size+4096)
	for i := range text {
		text[i] = letters[random.IntN(len(letters))]
	}
	return &load{benchPlan: plan, text: text}
}

// data returns an event's data, of the size that was asked for.
func (l *load) data(i int) []byte {
	b := make([]byte, 0, l.Size)
	b = fmt.Appendf(b, `{%s%09d","text":"`, mark, i)
	from := i * 31 % (len(l.text) - l.Size)
	b = append(b, l.text[from:from+l.Size-len(b)-2]...)
	return append(b, `"}`...)
}

// number finds the event's number in what was delivered.
func number(body []byte) (int, bool) {
	_, rest, ok := bytes.Cut(body, []byte(mark))
	digits, _, end := bytes.Cut(rest, []byte(`"`))
	n, err := strconv.Atoi(string(digits))
	return n, ok && end && err == nil
}

// ServeHTTP is the destination.
func (l *load) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, relay.MaxPayload))
	if err != nil {
		return // the sender sees it, and sends again
	}
	now := time.Now()
	i, ok := number(body)
	if !ok || i >= len(l.took) {
		l.fail("a delivery is none of this bench's")
		return
	}
	h := r.Header
	if err := l.verify(h, body, now); err != nil {
		l.fail("a delivery's signature is wrong: " + err.Error())
	}
	if !l.took[i].CompareAndSwap(0, max(1, int64(now.Sub(l.began[i])))) {
		l.repeats.Add(1)
		return
	}
	for at := int64(now.Sub(l.start)); ; {
		if was := l.last.Load(); at <= was || l.last.CompareAndSwap(was, at) {
			break
		}
	}
	if l.arrived.Add(1) == int64(l.Events) {
		close(l.left)
	}
}

func (l *load) verify(h http.Header, body []byte, now time.Time) error {
	switch l.scheme {
	case "none":
		return nil
	case "standard":
		return signature.VerifyStandard(h.Get("Webhook-Id"), h.Get("Webhook-Signature"), h.Get("Webhook-Timestamp"), body, now, l.secret)
	}
	return signature.VerifyRivya(h.Get("Rivya-Webhook-Signature"), h.Get("Rivya-Webhook-Timestamp"), body, now, l.secret)
}

func (l *load) fail(why string) { l.wrong.CompareAndSwap(nil, &why) }

// A caller sends the call of one event.
type caller func(ctx context.Context, c *http.Client, i int) (*http.Request, error)

// run makes all calls, waits until what came of them has arrived, and says how
// long it took; the caller adds what the process used.
func (l *load) run(ctx context.Context, p program, call caller) (measured, error) {
	sender := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: l.Concurrency, DisableCompression: true,
	}}
	defer sender.CloseIdleConnections()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go l.watch(ctx, p, cancel)

	l.start = time.Now()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(l.Concurrency, l.Events) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < l.Events && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				l.began[i] = time.Now()
				if l.Rate > 0 {
					// What begins late because calls are slow still counts from here.
					l.began[i] = l.start.Add(time.Duration(i) * time.Second / time.Duration(l.Rate))
					time.Sleep(time.Until(l.began[i]))
				}
				if err := l.send(ctx, sender, call, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	answered := time.Since(l.start)
	select {
	case <-l.left:
	case <-ctx.Done():
		return measured{}, context.Cause(ctx)
	}
	if why := l.wrong.Load(); why != nil {
		return measured{}, errors.New(*why)
	}
	return l.sum(answered), nil
}

func (l *load) send(ctx context.Context, sender *http.Client, call caller, i int) error {
	req, err := call(ctx, sender, i)
	if err != nil {
		return err
	}
	resp, err := sender.Do(req)
	if err != nil {
		return fmt.Errorf("call %d: %w", i, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("call %d: %w", i, err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("call %d was refused with %d: %s", i, resp.StatusCode, bytes.TrimSpace(answer))
	}
	l.answered.Add(1)
	return nil
}

// watch says how far a long run is, and ends one that gets nowhere.
func (l *load) watch(ctx context.Context, p program, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	moved, before := time.Now(), int64(-1)
	for {
		select {
		case <-l.left:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			answered, arrived := l.answered.Load(), l.arrived.Load()
			fmt.Fprintf(p.err, "%d of %d calls answered, %d delivered\n", answered, l.Events, arrived)
			if answered+arrived != before {
				moved, before = time.Now(), answered+arrived
			} else if time.Since(moved) > stallLimit {
				cancel(fmt.Errorf("nothing has moved for %v, with %d of %d delivered", stallLimit, arrived, l.Events))
			}
		}
	}
}

func (l *load) sum(answered time.Duration) measured {
	took := make([]int64, len(l.took))
	for i := range took {
		took[i] = l.took[i].Load()
	}
	slices.Sort(took)
	at := func(q float64) float64 { return float64(took[min(int(q*float64(len(took))), len(took)-1)]) / 1e6 }
	last := time.Duration(l.last.Load())
	return measured{
		PerSecond:    float64(l.Events) / answered.Seconds(),
		LastDelivery: last.Seconds(), Behind: float64(max(last-answered, 0)) / 1e6,
		P50: at(0.50), P95: at(0.95), P99: at(0.99), Max: at(1), Repeats: int(l.repeats.Load()),
	}
}

// published makes calls of POST /api/v1/webhook-events.
func (l *load) published(base string, key relay.Secret) caller {
	return func(ctx context.Context, _ *http.Client, i int) (*http.Request, error) {
		body := slices.Concat([]byte(`{"type":"order.paid","data":`), l.data(i), []byte("}"))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v1/webhook-events", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+key.Reveal())
		req.Header.Set("Content-Type", "application/json")
		return req, nil
	}
}

// signed makes calls as Rivya signs them.
func (l *load) signed(url string, secret relay.Secret) caller {
	return func(ctx context.Context, _ *http.Client, i int) (*http.Request, error) {
		now := time.Now()
		id := relay.NewID(relay.EventPrefix, now)
		body := events.Body(id, "generation.succeeded", now, l.data(i))
		sum, err := signature.SignRivya(now.Unix(), body, secret)
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header = http.Header{
			"Content-Type": {"application/json"}, "Rivya-Webhook-Id": {id}, "Rivya-Webhook-Attempt": {"1"},
			"Rivya-Webhook-Timestamp": {strconv.FormatInt(now.Unix(), 10)}, "Rivya-Webhook-Signature": {sum},
		}
		return req, nil
	}
}

// ingest makes the source that signed calls go to, and returns what makes calls.
func (l *load) ingest(ctx context.Context, c *client.Client, key relay.Secret) (caller, error) {
	if l.Ingest == "publish" {
		return l.published(c.Base(), key), nil
	}
	s := sample{provider: relay.Rivya}
	if err := s.source(ctx, c); err != nil {
		return nil, err
	}
	// On loopback, whatever PUBLIC_URL says.
	_, path, _ := strings.Cut(s.url, "/in/")
	return l.signed(c.Base()+"/in/"+path, s.secret), nil
}
