// Package poller feeds a handler from a queue within one process, as an SQS event
// source mapping feeds a Lambda: batches of up to 10, each invocation with a
// deadline, and what the handler does not name as failed is deleted.
//
// At any time one goroutine waits on the queue, or a few while batches come full.
// Who gets a batch passes its place at the queue on before it handles the batch.
// So an idle lane costs one waiting receive, a message is picked up as soon as
// the queue gives it out, and a destination that takes its time holds up its own
// batch alone, as long as fewer than Concurrency batches are in hand.
package poller

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/telemetry"
)

const (
	longPoll     = 20 * time.Second
	maxReceivers = 4 // waiting on the queue at once, under load
	minBackoff   = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
	deleteBound  = 5 * time.Second
)

// Config says what is polled and how. Zero durations and counts mean the
// defaults.
type Config struct {
	Queue relay.Queue
	// Name is the lane's, for the log.
	Name string
	// Handle acts on a batch and returns the IDs of the messages that must come
	// again.
	Handle func(ctx context.Context, lane relay.Queue, batch []relay.Received) (failed []string)
	// Concurrency is how many batches are in hand at most. 256: a batch waits for
	// its slowest destination, up to the delivery timeout, and costs a goroutine.
	Concurrency int
	// Timeout is the deadline of one invocation. 60 s.
	Timeout time.Duration
	// Visibility is how long a received message is hidden; longer than Timeout.
	// Six times Timeout.
	Visibility time.Duration
	// Drain is how long Run waits for batches in hand once it is told to stop: the
	// delivery timeout and a margin. 15 s.
	Drain time.Duration
	Log   *telemetry.Log
}

// Run polls until ctx ends, then waits for the batches in hand, at most for
// Drain. It returns nil, or an error that says that batches were left: they come
// again when their visibility ends.
func Run(ctx context.Context, cfg Config) error {
	setDefault(&cfg.Concurrency, 256)
	setDefault(&cfg.Timeout, time.Minute)
	setDefault(&cfg.Visibility, 6*cfg.Timeout)
	setDefault(&cfg.Drain, 15*time.Second)
	p := &poller{Config: cfg, hands: make(chan struct{}, cfg.Concurrency), stop: ctx.Done()}

	// Handlers outlive ctx: what has been received is finished.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	p.spawn(ctx, work, true)
	<-ctx.Done()

	idle := make(chan struct{})
	go func() { p.running.Wait(); close(idle) }()
	timer := time.NewTimer(cfg.Drain)
	defer timer.Stop()
	select {
	case <-idle:
		return nil
	case <-timer.C:
		return fmt.Errorf("%s: batches were still in hand %v after the stop", cfg.Name, cfg.Drain)
	}
}

func setDefault[T int | time.Duration](v *T, value T) {
	if *v <= 0 {
		*v = value
	}
}

type poller struct {
	Config
	hands   chan struct{} // one for each batch in hand, or receiver that may get one
	stop    <-chan struct{}
	running sync.WaitGroup

	mu        sync.Mutex
	receivers int
	failing   bool
	backoff   time.Duration
}

// spawn starts a receiver if there is room for its batch. The last receiver, with
// must set, waits for the room; others are a bonus.
func (p *poller) spawn(ctx, work context.Context, must bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !must && (p.receivers == 0 || p.receivers >= maxReceivers) {
		return
	}
	p.receivers++
	p.running.Go(func() {
		if must {
			select {
			case p.hands <- struct{}{}:
			case <-p.stop:
				p.left()
				return
			}
		} else {
			select {
			case p.hands <- struct{}{}:
			default:
				p.left()
				return
			}
		}
		defer func() { <-p.hands }()
		p.receive(ctx, work, must)
	})
}

// left counts a receiver off and reports how many remain.
func (p *poller) left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.receivers--
	return p.receivers
}

// receive waits for one batch, passes its place on, and handles the batch. A
// bonus receiver that finds nothing leaves.
func (p *poller) receive(ctx, work context.Context, must bool) {
	for {
		wait := longPoll
		if !must {
			wait = 0
		}
		batch, err := p.Queue.Receive(ctx, relay.MaxBatch, wait, p.Visibility)
		stopped := ctx.Err() != nil
		p.note(ctx, err, stopped)
		if len(batch) > 0 {
			p.left()
			if !stopped {
				if must {
					p.spawn(ctx, work, true)
				}
				if len(batch) == relay.MaxBatch {
					p.spawn(ctx, work, false)
				}
			}
			p.handle(work, batch)
			return
		}
		if stopped || !must {
			p.left()
			return
		}
		if err != nil {
			p.rest(ctx)
		}
	}
}

// handle runs one invocation and deletes what did not fail.
func (p *poller) handle(work context.Context, batch []relay.Received) {
	ctx, cancel := context.WithTimeout(work, p.Timeout)
	defer cancel()
	// What is deleted afterwards needs no bodies: they are the handler's, to drop
	// message by message.
	given := batch
	batch = make([]relay.Received, len(given))
	for i, m := range given {
		batch[i] = m
		batch[i].Body = nil
	}
	failed, err := p.invoke(ctx, given)
	if err != nil {
		// Nothing is deleted: the batch comes again when its visibility ends.
		p.Log.Failure(ctx, "invocation failed", err, slog.String("lane", p.Name), slog.Int("messages", len(batch)))
		return
	}
	done := batch
	if len(failed) > 0 {
		done = slices.DeleteFunc(slices.Clone(batch), func(m relay.Received) bool { return slices.Contains(failed, m.ID) })
	}
	if len(done) == 0 {
		return
	}
	ctx, cancel = context.WithTimeout(work, deleteBound)
	defer cancel()
	if err := p.Queue.Delete(ctx, done...); err != nil {
		// A message that was handled and comes again is seen to be done.
		if err = p.Queue.Delete(ctx, done...); err != nil {
			p.Log.Failure(ctx, "messages not deleted", err, slog.String("lane", p.Name), slog.Int("messages", len(done)))
		}
	}
}

func (p *poller) invoke(ctx context.Context, batch []relay.Received) (failed []string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return p.Handle(ctx, p.Queue, batch), nil
}

// note logs when the queue starts to fail and when it answers again.
func (p *poller) note(ctx context.Context, err error, stopped bool) {
	if stopped {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil && !p.failing:
		p.failing, p.backoff = true, minBackoff
		p.Log.Failure(ctx, "queue fails", err, slog.String("lane", p.Name))
	case err == nil && p.failing:
		p.failing = false
		line := p.Log.Line("queue answers again")
		line.Set(slog.String("lane", p.Name))
		line.End(ctx, slog.LevelInfo)
	}
}

// rest waits after an error, longer each time, jittered.
func (p *poller) rest(ctx context.Context) {
	p.mu.Lock()
	d := max(p.backoff, minBackoff)
	p.backoff = min(2*d, maxBackoff)
	p.mu.Unlock()
	timer := time.NewTimer(d/2 + rand.N(d/2))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
