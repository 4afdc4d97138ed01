package relaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// QueueOptions says what an implementation, or the stand-in that it is tested
// against, is not able to do. The zero value asks for everything.
type QueueOptions struct {
	// RealTime: the queue keeps its own time, in whole seconds, so that the
	// suite waits instead of moving the clock.
	RealTime bool
	// NoDeadAt: dead letters do not know when they died.
	NoDeadAt bool
	// NoMove: the stand-in does not move a message after MaxReceives.
	NoMove bool
}

// TestQueue holds a lane to the promises of relay.Queue and relay.DeadLetters.
// open returns an empty lane of its own for each call, on the clock unless
// opts.RealTime. The subtests run in parallel.
func TestQueue(t *testing.T, open func(testing.TB, *Clock) Lane, opts QueueOptions) {
	run := func(name string, test func(*queueTest)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := NewClock()
			test(&queueTest{T: t, ctx: t.Context(), opts: opts, clock: clock, Lane: open(t, clock)})
		})
	}
	run("a sent message is received whole", (*queueTest).receivedWhole)
	run("a body of any UTF-8 arrives byte for byte", (*queueTest).oddBodies)
	run("the largest body is taken and a larger one refused for itself alone", (*queueTest).sizes)
	run("a send of more than a batch arrives complete", (*queueTest).manyAtOnce)
	run("a delay is kept", (*queueTest).delays)
	run("a delay over the limit is refused for its message alone", (*queueTest).delayLimit)
	run("a received message is hidden and comes again with its count", (*queueTest).visibility)
	run("hide sets the time from now", (*queueTest).hides)
	run("a deleted message does not come again", (*queueTest).deletes)
	run("receive keeps to its limit and to distinct identifiers", (*queueTest).limits)
	run("a waiting receive is woken by a send", (*queueTest).wakes)
	run("a waiting receive ends with its context", (*queueTest).cancelled)
	run("a receive of nothing ends with its wait", (*queueTest).emptyWait)
	run("concurrent senders and receivers lose nothing", (*queueTest).concurrent)
	run("a message received too often is moved to the dead-letter queue", (*queueTest).moves)
	run("a buried message is kept with its reason until it is deleted from the lane", (*queueTest).buries)
	run("a redriven message is on the lane again and nowhere else", (*queueTest).redrives)
	run("dead letters are shown page by page", (*queueTest).pages)
	run("a dropped message is gone", (*queueTest).drops)
	run("a cancelled context is an error", (*queueTest).cancelledContext)
}

// hidden is a visibility timeout that no test outlives.
const hidden = 10 * time.Minute

type queueTest struct {
	*testing.T
	Lane
	ctx   context.Context
	opts  QueueOptions
	clock *Clock
}

// pass lets d go by, and a little more where time is real.
func (q *queueTest) pass(d time.Duration) {
	if q.opts.RealTime {
		time.Sleep(d + 500*time.Millisecond)
		return
	}
	q.clock.Advance(d)
}

func (q *queueTest) send(msgs ...relay.Outgoing) {
	q.Helper()
	if err := q.Send(q.ctx, msgs...); err != nil {
		q.Fatalf("send: %v", err)
	}
}

func text(bodies ...string) []relay.Outgoing {
	var out []relay.Outgoing
	for _, b := range bodies {
		out = append(out, relay.Outgoing{Body: []byte(b), Group: "g"})
	}
	return out
}

// receive returns want messages, in as many calls as it takes, sorted by body.
func (q *queueTest) receive(want int, visibility time.Duration) []relay.Received {
	q.Helper()
	var got []relay.Received
	for try := 0; len(got) < want && try < want+30; try++ {
		msgs, err := q.Receive(q.ctx, relay.MaxBatch, q.wait(), visibility)
		if err != nil {
			q.Fatalf("receive: %v", err)
		}
		got = append(got, msgs...)
	}
	if len(got) != want {
		q.Fatalf("received %d messages, want %d", len(got), want)
	}
	slices.SortFunc(got, func(a, b relay.Received) int { return bytes.Compare(a.Body, b.Body) })
	return got
}

func (q *queueTest) wait() time.Duration {
	if q.opts.RealTime {
		return time.Second
	}
	return 0
}

// none fails if there is something to receive now.
func (q *queueTest) none(when string) {
	q.Helper()
	msgs, err := q.Receive(q.ctx, relay.MaxBatch, 0, hidden)
	if err != nil {
		q.Fatalf("receive: %v", err)
	}
	if len(msgs) > 0 {
		q.Fatalf("%s: received %d messages, the first %.100q, want none", when, len(msgs), msgs[0].Body)
	}
}

func (q *queueTest) remove(msgs ...relay.Received) {
	q.Helper()
	if err := q.Delete(q.ctx, msgs...); err != nil {
		q.Fatalf("delete: %v", err)
	}
}

// deadLetters returns want dead letters, sorted by body. Those that Dead has
// shown once may be hidden from it for a while.
func (q *queueTest) deadLetters(want int) []relay.DeadLetter {
	q.Helper()
	seen := map[string]relay.DeadLetter{}
	for try := 0; len(seen) < want && try < 20; try++ {
		dead, err := q.Dead(q.ctx, "", 10)
		if err != nil {
			q.Fatalf("dead: %v", err)
		}
		for _, d := range dead {
			seen[string(d.Body)] = d
		}
		if try == 0 { // what was released is there again
			if err := q.Release(q.ctx, dead...); err != nil {
				q.Fatalf("release: %v", err)
			}
			clear(seen)
		}
		if len(seen) < want && q.opts.RealTime {
			time.Sleep(100 * time.Millisecond)
		}
	}
	var out []relay.DeadLetter
	for _, d := range seen {
		out = append(out, d)
	}
	if len(out) != want {
		q.Fatalf("%d dead letters, want %d", len(out), want)
	}
	slices.SortFunc(out, func(a, b relay.DeadLetter) int { return bytes.Compare(a.Body, b.Body) })
	return out
}

func (q *queueTest) deadCount(want int) {
	q.Helper()
	var n int
	for range 20 {
		var err error
		if n, err = q.DeadCount(q.ctx); err != nil {
			q.Fatalf("dead count: %v", err)
		}
		if n == want || !q.opts.RealTime {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if n != want {
		q.Errorf("dead count %d, want %d", n, want)
	}
}

func (q *queueTest) receivedWhole() {
	q.send(text("one")...)
	m := q.receive(1, hidden)[0]
	if string(m.Body) != "one" || m.ID == "" || m.Receipt == "" || m.Receives != 1 {
		q.Errorf("received %+v, want body one, identifiers and a first receive", m)
	}
	now := q.clock.Now()
	if q.opts.RealTime {
		now = time.Now()
	}
	if d := now.Sub(m.SentAt); d < -5*time.Second || d > 5*time.Second {
		q.Errorf("sent at %v, want about %v", m.SentAt, now)
	}
}

func (q *queueTest) oddBodies() {
	ascii := make([]byte, 128)
	for i := range ascii {
		ascii[i] = byte(i)
	}
	bodies := []string{
		` leading and trailing space `,
		`{"json":"\" \\ \/ \b \f \n \r \t \u0000 \ud83d\ude00"}`,
		"\ufffe\uffff\ufffd\u2028\u2029\u0085\ufeff",
		"<&>'\"%00%\r\n\r",
		"žluťoučký 🐎 \U0010ffff e\u0301",
		"a=b&Action=SendMessage&c+d",
		string(ascii),
	}
	q.send(text(bodies...)...)
	slices.Sort(bodies)
	for i, m := range q.receive(len(bodies), hidden) {
		if string(m.Body) != bodies[i] {
			q.Errorf("received %q, want %q", m.Body, bodies[i])
		}
	}
}

func (q *queueTest) sizes() {
	largest := strings.Repeat("x", relay.MaxMessageSize)
	err := q.Send(q.ctx, text("a", largest, largest+"x", "b")...)
	var failed *relay.SendError
	if !errors.As(err, &failed) || len(failed.Failed) != 1 || !errors.Is(failed.Failed[2], relay.ErrTooLarge) {
		q.Errorf("send with one message of %d bytes: %v, want ErrTooLarge for number 2 alone", len(largest)+1, err)
	}
	if !errors.Is(err, relay.ErrTooLarge) {
		q.Errorf("send: %v does not wrap ErrTooLarge", err)
	}
	got := q.receive(3, hidden)
	if string(got[0].Body) != "a" || string(got[1].Body) != "b" || string(got[2].Body) != largest {
		q.Errorf("received %.10q, %.10q and %d bytes, want a, b and the largest", got[0].Body, got[1].Body, len(got[2].Body))
	}
}

func (q *queueTest) manyAtOnce() {
	var bodies []string
	for i := range 23 {
		bodies = append(bodies, fmt.Sprintf("%02d", i))
	}
	for i := range 4 { // more than MaxMessageSize together
		bodies = append(bodies, fmt.Sprintf("large %d %s", i, strings.Repeat("x", 300<<10)))
	}
	q.send(text(bodies...)...)
	got := q.receive(len(bodies), hidden)
	for i, m := range got {
		if string(m.Body) != bodies[i] {
			q.Errorf("message %d is %.20q, want %.20q", i, m.Body, bodies[i])
		}
	}
	q.remove(got...) // more than a batch
	q.pass(0)
	q.none("after all were deleted")
	q.send() // nothing is no error
}

func (q *queueTest) deletes() {
	q.send(text("a", "b")...)
	got := q.receive(2, time.Second)
	q.remove(got[0])
	q.remove(got[0]) // one that is gone is no error
	q.remove()
	q.pass(time.Second)
	if m := q.receive(1, hidden)[0]; string(m.Body) != "b" {
		q.Errorf("received %q, want b, which was not deleted", m.Body)
	}
	q.none("after the other was deleted")
}

func (q *queueTest) limits() {
	var bodies []string
	for i := range 25 {
		bodies = append(bodies, fmt.Sprint(i))
	}
	q.send(text(bodies...)...)
	for _, limit := range []int{1, 3, relay.MaxBatch} {
		msgs, err := q.Receive(q.ctx, limit, q.wait(), hidden)
		if err != nil {
			q.Fatal(err)
		}
		if len(msgs) == 0 || len(msgs) > limit {
			q.Errorf("receive of at most %d gave %d", limit, len(msgs))
		}
		ids, receipts := map[string]bool{}, map[string]bool{}
		for _, m := range msgs {
			ids[m.ID], receipts[m.Receipt] = true, true
		}
		if len(ids) != len(msgs) || len(receipts) != len(msgs) {
			q.Errorf("%d messages with %d identifiers and %d receipts", len(msgs), len(ids), len(receipts))
		}
	}
}
