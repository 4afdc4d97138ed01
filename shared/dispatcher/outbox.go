package dispatcher

import (
	"context"
	"errors"
	"sync"
	"time"

	"hookferry/shared/relay"
)

// linger is how long a message waits for others to share its request, while
// others may still come. It is well within the 2 s that an attempt may be late.
const linger = 100 * time.Millisecond

// An outbox sends the messages of one invocation to a queue, those that are
// ready at about the same time in one request. Waiting costs no safety: the
// message in hand is deleted after the invocation, so a crash before the request
// brings it again, and it sends its successor then.
type outbox struct {
	queue relay.Queue
	now   func() time.Time

	mu      sync.Mutex
	parties int // that may still send
	waiting []letter
	timer   *time.Timer
}

type letter struct {
	ctx  context.Context // for its values; it outlives nothing
	msg  relay.Message
	done chan error
}

// enter adds n parties. While every party waits, nobody is worth waiting for.
func (o *outbox) enter(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.parties += n
}

func (o *outbox) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.parties--
	o.flushIfFull()
}

// send makes a message durable, with the delay that its DueAt asks for, as one
// of the parties.
func (o *outbox) send(ctx context.Context, m relay.Message) error {
	l := letter{ctx, m, make(chan error, 1)}
	o.mu.Lock()
	o.waiting = append(o.waiting, l)
	o.flushIfFull()
	if len(o.waiting) == 1 {
		o.timer = time.AfterFunc(linger, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.flush()
		})
	}
	o.mu.Unlock()
	ctx, cancel := detached(ctx, linger+sendBound)
	defer cancel()
	select {
	case err := <-l.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o *outbox) flushIfFull() {
	if n := len(o.waiting); n > 0 && (n >= relay.MaxBatch || n >= o.parties) {
		o.flush()
	}
}

// flush sends what waits; the caller holds mu.
func (o *outbox) flush() {
	if o.timer != nil {
		o.timer.Stop()
	}
	letters := o.waiting
	o.waiting, o.timer = nil, nil
	if len(letters) == 0 {
		return
	}
	go func() {
		msgs := make([]relay.Message, len(letters))
		for i, l := range letters {
			msgs[i] = l.msg
		}
		errs := sendAll(letters[0].ctx, o.queue, o.now(), msgs)
		for i, l := range letters {
			l.done <- errs[i]
		}
	}()
}

// sendAll sends messages in as few requests as the queue needs, also when ctx
// has ended, and returns the error of each that is not on it.
func sendAll(ctx context.Context, q relay.Queue, now time.Time, msgs []relay.Message) map[int]error {
	ctx, cancel := detached(ctx, sendBound)
	defer cancel()
	out := make([]relay.Outgoing, len(msgs))
	for i, m := range msgs {
		out[i] = m.Outgoing(now)
	}
	return sendErrors(q.Send(ctx, out...), len(out))
}

// sendErrors returns the error of each of n messages of a Send.
func sendErrors(err error, n int) map[int]error {
	if err == nil {
		return nil
	}
	var partial *relay.SendError
	if errors.As(err, &partial) {
		return partial.Failed
	}
	failed := make(map[int]error, n)
	for i := range n {
		failed[i] = err
	}
	return failed
}
