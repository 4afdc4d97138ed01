package poller_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hookferry/shared/poller"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
	"hookferry/shared/sqlite"
	"hookferry/shared/telemetry"
)

// watched counts what a lane is asked for.
type watched struct {
	relay.Queue
	receives  atomic.Int64
	receiving atomic.Int64
	most      atomic.Int64
	deletes   atomic.Int64
	fail      atomic.Bool
}

func (q *watched) Receive(ctx context.Context, limit int, wait, visibility time.Duration) ([]relay.Received, error) {
	q.receives.Add(1)
	n := q.receiving.Add(1)
	defer q.receiving.Add(-1)
	for m := q.most.Load(); n > m && !q.most.CompareAndSwap(m, n); m = q.most.Load() {
	}
	if q.fail.Load() {
		return nil, errors.New("queue is away")
	}
	return q.Queue.Receive(ctx, limit, wait, visibility)
}

func (q *watched) Delete(ctx context.Context, msgs ...relay.Received) error {
	q.deletes.Add(1)
	return q.Queue.Delete(ctx, msgs...)
}

// run starts a poller in the bubble and returns how to stop it.
func run(t *testing.T, cfg poller.Config) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- poller.Run(ctx, cfg) }()
	return func() error { cancel(); return <-done }
}

func send(t *testing.T, q relay.Queue, bodies ...string) {
	t.Helper()
	for _, b := range bodies {
		if err := q.Send(t.Context(), relay.Outgoing{Body: []byte(b)}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatDidNotFailIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &watched{Queue: relaytest.NewMemoryQueue(time.Now)}
		var mu sync.Mutex
		seen := map[string]int{}
		stop := run(t, poller.Config{
			Queue: q, Visibility: time.Minute, Timeout: 10 * time.Second,
			Handle: func(_ context.Context, _ relay.Queue, batch []relay.Received) (failed []string) {
				mu.Lock()
				defer mu.Unlock()
				for _, m := range batch {
					seen[string(m.Body)]++
					if string(m.Body) == "bad" && seen["bad"] < 3 {
						failed = append(failed, m.ID)
					}
				}
				return failed
			},
		})
		send(t, q, "good", "bad", "fine")
		time.Sleep(10 * time.Minute)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if seen["good"] != 1 || seen["fine"] != 1 || seen["bad"] != 3 {
			t.Errorf("seen %v, want the good ones once and the bad one 3 times", seen)
		}
		if left := q.Queue.(*relaytest.MemoryQueue).Bodies(); len(left) != 0 {
			t.Errorf("left on the queue: %q", left)
		}
	})
}

func TestAnInvocationHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := relaytest.NewMemoryQueue(time.Now)
		left := make(chan time.Duration, 1)
		stop := run(t, poller.Config{
			Queue: q, Timeout: 42 * time.Second,
			Handle: func(ctx context.Context, _ relay.Queue, _ []relay.Received) []string {
				deadline, _ := ctx.Deadline()
				left <- time.Until(deadline)
				return nil
			},
		})
		send(t, q, "m")
		if got := <-left; got != 42*time.Second {
			t.Errorf("got %v, want 42 s", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Slow batches hold up nobody while there is a free hand.
func TestASlowBatchDoesNotStallOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &watched{Queue: relaytest.NewMemoryQueue(time.Now)}
		var mu sync.Mutex
		var waits []time.Duration
		stop := run(t, poller.Config{
			Queue: q, Concurrency: 64,
			Handle: func(_ context.Context, _ relay.Queue, batch []relay.Received) []string {
				if strings.HasPrefix(string(batch[0].Body), "slow") {
					time.Sleep(10 * time.Second)
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				for _, m := range batch {
					waits = append(waits, time.Since(m.SentAt))
				}
				return nil
			},
		})
		for i := range 60 {
			send(t, q, fmt.Sprint("slow", i))
			synctest.Wait()
		}
		for range 50 {
			send(t, q, "fast")
			time.Sleep(time.Millisecond)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(waits) != 50 || slices.Max(waits) > 0 {
			t.Errorf("%d of 50 handled, the slowest after %v", len(waits), slices.Max(append(waits, 0)))
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := relaytest.NewMemoryQueue(time.Now)
		var busy, most, handled atomic.Int64
		stop := run(t, poller.Config{
			Queue: q, Concurrency: 3,
			Handle: func(_ context.Context, _ relay.Queue, batch []relay.Received) []string {
				n := busy.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Second)
				busy.Add(-1)
				handled.Add(int64(len(batch)))
				return nil
			},
		})
		for i := range 200 {
			send(t, q, fmt.Sprint(i))
		}
		time.Sleep(30 * time.Second)
		if most.Load() != 3 || handled.Load() != 200 {
			t.Errorf("up to %d batches at once, %d messages handled, want 3 and 200", most.Load(), handled.Load())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAnIdleLaneCostsOneLongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &watched{Queue: relaytest.NewMemoryQueue(time.Now)}
		stop := run(t, poller.Config{Queue: q, Handle: func(context.Context, relay.Queue, []relay.Received) []string { return nil }})
		time.Sleep(time.Hour)
		if got := q.receives.Load(); got > 181 || q.most.Load() != 1 {
			t.Errorf("got %d receives in an hour, up to %d at once, want 180 and 1", got, q.most.Load())
		}
		// Also again after a burst.
		for i := range 500 {
			send(t, q, fmt.Sprint(i))
		}
		time.Sleep(time.Minute)
		before := q.receives.Load()
		time.Sleep(time.Hour)
		if got := q.receives.Load() - before; got > 181 {
			t.Errorf("after a burst: %d receives in an hour", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAStopFinishesWhatIsInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &watched{Queue: relaytest.NewMemoryQueue(time.Now)}
		started := make(chan struct{})
		var cut error
		stop := run(t, poller.Config{
			Queue: q, Drain: 15 * time.Second,
			Handle: func(ctx context.Context, _ relay.Queue, batch []relay.Received) []string {
				close(started)
				time.Sleep(9 * time.Second)
				cut = ctx.Err()
				return nil
			},
		})
		send(t, q, "m")
		<-started
		begin := time.Now()
		if err := stop(); err != nil || cut != nil {
			t.Errorf("stop: %v; the invocation's context: %v", err, cut)
		}
		if took := time.Since(begin); took != 9*time.Second {
			t.Errorf("stopped after %v, want 9 s", took)
		}
		if left := q.Queue.(*relaytest.MemoryQueue).Bodies(); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
		send(t, q, "later")
		time.Sleep(time.Minute)
		if left := q.Queue.(*relaytest.MemoryQueue).Bodies(); len(left) != 1 {
			t.Error("a message was received after the stop")
		}
	})
}

func TestAStopWaitsNoLongerThanDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := relaytest.NewMemoryQueue(time.Now)
		started := make(chan struct{})
		end := make(chan struct{})
		stop := run(t, poller.Config{
			Queue: q, Drain: 15 * time.Second,
			Handle: func(context.Context, relay.Queue, []relay.Received) []string { close(started); <-end; return nil },
		})
		send(t, q, "m")
		<-started
		begin := time.Now()
		if err := stop(); err == nil || time.Since(begin) != 15*time.Second {
			t.Errorf("after %v: %v, want an error after 15 s", time.Since(begin), err)
		}
		close(end)
	})
}

func TestAFailingQueueIsAskedLessOftenAndLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var mu sync.Mutex
		q := &watched{Queue: relaytest.NewMemoryQueue(time.Now)}
		q.fail.Store(true)
		got := make(chan string, 1)
		stop := run(t, poller.Config{
			Queue: q, Name: "events",
			Log: telemetry.New(slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil)), time.Now),
			Handle: func(_ context.Context, _ relay.Queue, batch []relay.Received) []string {
				got <- string(batch[0].Body)
				return nil
			},
		})
		time.Sleep(time.Minute)
		if n := q.receives.Load(); n < 10 || n > 40 {
			t.Errorf("asked %d times in a minute", n)
		}
		send(t, q, "m")
		q.fail.Store(false)
		if m := <-got; m != "m" {
			t.Errorf("got %q", m)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		text := log.String()
		if strings.Count(text, "queue fails") != 1 || strings.Count(text, "queue answers again") != 1 {
			t.Errorf("log:\n%s", text)
		}
	})
}

func TestAPanicLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := relaytest.NewMemoryQueue(time.Now)
		calls := 0
		stop := run(t, poller.Config{
			Queue: q, Visibility: time.Minute, Timeout: 10 * time.Second,
			Handle: func(context.Context, relay.Queue, []relay.Received) []string {
				if calls++; calls == 1 {
					panic("boom")
				}
				return nil
			},
		})
		send(t, q, "m")
		time.Sleep(5 * time.Minute)
		if calls != 2 || len(q.Bodies()) != 0 {
			t.Errorf("handled %d times, left %q", calls, q.Bodies())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

type lockedWriter struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

// BenchmarkPickUp measures from the return of Send to the start of Handle, on
// SQLite in the same process, one message at a time.
func BenchmarkPickUp(b *testing.B) {
	db, err := sqlite.Open(b.Context(), sqlite.Config{Path: filepath.Join(b.TempDir(), "hookferry.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	q := db.Queue("events")
	handled := make(chan time.Time, 1)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() {
		done <- poller.Run(ctx, poller.Config{Queue: q, Handle: func(context.Context, relay.Queue, []relay.Received) []string {
			handled <- time.Now()
			return nil
		}})
	}()
	time.Sleep(50 * time.Millisecond) // the receiver waits
	var all []time.Duration
	for b.Loop() {
		if err := q.Send(b.Context(), relay.Outgoing{Body: []byte("m")}); err != nil {
			b.Fatal(err)
		}
		sent := time.Now()
		all = append(all, max((<-handled).Sub(sent), 0))
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
