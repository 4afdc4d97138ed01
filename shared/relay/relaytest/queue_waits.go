package relaytest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"hookferry/shared/relay"
)

func (q *queueTest) delays() {
	const d = 3 * time.Second
	q.send(relay.Outgoing{Body: []byte("late"), Delay: d}, relay.Outgoing{Body: []byte("now")})
	if m := q.receive(1, hidden)[0]; string(m.Body) != "now" {
		q.Errorf("received %q first, want the one without delay", m.Body)
	}
	q.none("before the delay has passed")
	if !q.opts.RealTime {
		q.clock.Advance(d - time.Millisecond)
		q.none("a millisecond before the delay has passed")
		q.clock.Advance(time.Millisecond)
	} else {
		q.pass(d)
	}
	if m := q.receive(1, hidden)[0]; string(m.Body) != "late" {
		q.Errorf("received %q, want late", m.Body)
	}
}

func (q *queueTest) delayLimit() {
	err := q.Send(q.ctx,
		relay.Outgoing{Body: []byte("a")},
		relay.Outgoing{Body: []byte("over"), Delay: relay.MaxDelay + time.Second},
		relay.Outgoing{Body: []byte("at"), Delay: relay.MaxDelay},
		relay.Outgoing{Body: []byte("b")})
	var failed *relay.SendError
	if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Failed[1] == nil {
		q.Errorf("send with one delay too long: %v, want number 1 alone refused", err)
	}
	got := q.receive(2, hidden)
	if string(got[0].Body) != "a" || string(got[1].Body) != "b" {
		q.Errorf("received %q and %q, want a and b", got[0].Body, got[1].Body)
	}
	q.none("with the rest delayed or refused")
	if !q.opts.RealTime {
		q.clock.Advance(relay.MaxDelay)
		// a and b come again too: their visibility timeout is shorter.
		if got := q.receive(3, hidden); string(got[1].Body) != "at" {
			q.Errorf("received %q, want the one at the limit", got[1].Body)
		}
	}
}

func (q *queueTest) visibility() {
	const v = 2 * time.Second
	q.send(text("m")...)
	first := q.receive(1, v)[0]
	if first.Receives != 1 {
		q.Errorf("first receive: Receives %d", first.Receives)
	}
	q.none("within the visibility timeout")
	q.pass(v)
	second := q.receive(1, hidden)[0]
	if string(second.Body) != "m" || second.Receives != 2 {
		q.Errorf("second receive: %q with Receives %d, want m with 2", second.Body, second.Receives)
	}
	if !second.SentAt.Equal(first.SentAt) {
		q.Errorf("sent at %v, then %v", first.SentAt, second.SentAt)
	}
}

func (q *queueTest) hides() {
	q.send(text("a", "b", "c")...)
	got := q.receive(3, 2*time.Second)
	for i, d := range []time.Duration{0, 2 * time.Second, 12 * time.Hour} {
		if err := q.Hide(q.ctx, got[i], d); err != nil {
			q.Fatalf("hide for %v: %v", d, err)
		}
	}
	if m := q.receive(1, hidden)[0]; string(m.Body) != "a" || m.Receives != 2 {
		q.Errorf("received %q with Receives %d at once, want a with 2", m.Body, m.Receives)
	}
	q.none("before the shorter hide has passed")
	q.pass(2 * time.Second)
	if m := q.receive(1, hidden)[0]; string(m.Body) != "b" {
		q.Errorf("received %q, want b", m.Body)
	}
	q.none("before the longer hide has passed, and after the visibility timeout")
}

func (q *queueTest) wakes() {
	sent := make(chan error, 1)
	go func() {
		time.Sleep(100 * time.Millisecond) // for the receive to wait
		sent <- q.Send(q.ctx, text("m")...)
	}()
	started := time.Now()
	msgs, err := q.Receive(q.ctx, relay.MaxBatch, 10*time.Second, hidden)
	if err != nil || len(msgs) != 1 {
		q.Errorf("received %d messages, %v, want the one that was sent meanwhile", len(msgs), err)
	}
	if d := time.Since(started); d > 3*time.Second {
		q.Errorf("woken after %v", d)
	}
	if err := <-sent; err != nil {
		q.Errorf("send: %v", err)
	}
}

func (q *queueTest) cancelled() {
	ctx, cancel := context.WithTimeout(q.ctx, 100*time.Millisecond)
	defer cancel()
	started := time.Now()
	msgs, err := q.Receive(ctx, relay.MaxBatch, 10*time.Second, hidden)
	if len(msgs) > 0 || err == nil {
		q.Errorf("received %d messages, %v, want the context's error", len(msgs), err)
	}
	if d := time.Since(started); d > 2*time.Second {
		q.Errorf("ended %v after its start", d)
	}
}

func (q *queueTest) emptyWait() {
	started := time.Now()
	msgs, err := q.Receive(q.ctx, relay.MaxBatch, time.Second, hidden)
	if len(msgs) > 0 || err != nil {
		q.Errorf("received %d messages, %v, want none and no error", len(msgs), err)
	}
	if d := time.Since(started); d < 900*time.Millisecond || d > 4*time.Second {
		q.Errorf("waited %v, want 1s", d)
	}
}

func (q *queueTest) concurrent() {
	const senders, each = 8, 20
	ctx, cancel := context.WithTimeout(q.ctx, 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := 0; i < each; i += 2 {
				if err := q.Send(ctx, text(fmt.Sprintf("%d/%d", s, i), fmt.Sprintf("%d/%d", s, i+1))...); err != nil {
					q.Errorf("send: %v", err)
				}
			}
		})
	}
	var mu sync.Mutex
	seen := map[string]bool{}
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				msgs, err := q.Receive(ctx, relay.MaxBatch, q.wait(), hidden)
				if err != nil {
					q.Errorf("receive: %v", err)
					return
				}
				if err := q.Delete(ctx, msgs...); err != nil {
					q.Errorf("delete: %v", err)
				}
				mu.Lock()
				for _, m := range msgs {
					seen[string(m.Body)] = true
				}
				done := len(seen) == senders*each
				mu.Unlock()
				if done {
					return
				}
			}
		})
	}
	wg.Wait()
	if len(seen) != senders*each {
		q.Errorf("received %d messages, want %d", len(seen), senders*each)
	}
	q.none("after all were received and deleted")
}

func (q *queueTest) cancelledContext() {
	ctx, cancel := context.WithCancel(q.ctx)
	cancel()
	if err := q.Send(ctx, text("m")...); err == nil {
		q.Error("send with a cancelled context gave no error")
	}
	if _, err := q.Receive(ctx, 1, 0, hidden); err == nil {
		q.Error("receive with a cancelled context gave no error")
	}
}
