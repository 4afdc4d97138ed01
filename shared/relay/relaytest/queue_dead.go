package relaytest

import (
	"time"

	"hookferry/shared/relay"
)

func (q *queueTest) moves() {
	if q.opts.NoMove {
		q.Skip("the stand-in does not count receives")
	}
	q.send(text("poison")...)
	for i := range relay.MaxReceives {
		m := q.receive(1, hidden)[0]
		if m.Receives != i+1 {
			q.Fatalf("receive %d: Receives %d", i+1, m.Receives)
		}
		if err := q.Hide(q.ctx, m, 0); err != nil {
			q.Fatal(err)
		}
	}
	q.none("after MaxReceives receives")
	d := q.deadLetters(1)[0]
	if string(d.Body) != "poison" || d.Reason != "" || d.Receives < relay.MaxReceives {
		q.Errorf("dead letter %q with reason %q after %d receives, want poison without one after %d",
			d.Body, d.Reason, d.Receives, relay.MaxReceives)
	}
	q.diedAt(d)
	q.deadCount(1)
}

func (q *queueTest) diedAt(d relay.DeadLetter) {
	q.Helper()
	if q.opts.NoDeadAt {
		return
	}
	now := q.clock.Now()
	if q.opts.RealTime {
		now = time.Now()
	}
	if age := now.Sub(d.DeadAt); age < -time.Minute || age > time.Minute {
		q.Errorf("dead at %v, want about %v", d.DeadAt, now)
	}
}

func (q *queueTest) buries() {
	const reason = `cannot be decoded: "<odd>" 🐎`
	body := "\ufffe bad\x00"
	q.send(text(body)...)
	m := q.receive(1, 2*time.Second)[0]
	if err := q.Bury(q.ctx, m, reason); err != nil {
		q.Fatalf("bury: %v", err)
	}
	q.pass(2 * time.Second)
	again := q.receive(1, 2*time.Second)[0] // a crash between leaves it in both
	if string(again.Body) != body {
		q.Errorf("the lane has %q, want %q until it is deleted", again.Body, body)
	}
	q.remove(again)
	q.pass(2 * time.Second)
	q.none("after the buried message was deleted")

	d := q.deadLetters(1)[0]
	if string(d.Body) != body || d.Reason != reason || d.ID == "" {
		q.Errorf("dead letter %q with reason %q and ID %q, want %q with %q", d.Body, d.Reason, d.ID, body, reason)
	}
	q.diedAt(d)
	q.deadCount(1)
}

func (q *queueTest) bury(bodies ...string) []relay.DeadLetter {
	q.Helper()
	q.send(text(bodies...)...)
	for _, m := range q.receive(len(bodies), hidden) {
		if err := q.Bury(q.ctx, m, "for a test"); err != nil {
			q.Fatalf("bury: %v", err)
		}
		q.remove(m)
	}
	return q.deadLetters(len(bodies))
}

func (q *queueTest) redrives() {
	dead := q.bury("a \ufffe", "b")
	if err := q.Redrive(q.ctx, dead[0]); err != nil {
		q.Fatalf("redrive: %v", err)
	}
	m := q.receive(1, hidden)[0]
	if string(m.Body) != "a \ufffe" || m.Receives != 1 {
		q.Errorf("received %q with Receives %d, want the redriven one afresh", m.Body, m.Receives)
	}
	q.deadCount(1)
	q.remove(m)
	q.none("after the redriven message was deleted")
}

// What is not on one page is on a later one, with nothing put back or dropped
// between.
func (q *queueTest) pages() {
	if err := q.Release(q.ctx, q.bury("a", "b", "c", "d", "e")...); err != nil {
		q.Fatalf("release: %v", err)
	}
	seen, after := map[string]bool{}, ""
	for try := 0; len(seen) < 5 && try < 20; try++ {
		dead, err := q.Dead(q.ctx, after, 2)
		if err != nil {
			q.Fatalf("dead: %v", err)
		}
		for _, d := range dead {
			seen[string(d.Body)], after = true, d.ID
		}
	}
	if len(seen) != 5 {
		q.Errorf("pages of 2 showed %v, want a to e", seen)
	}
}

func (q *queueTest) drops() {
	dead := q.bury("a", "b", "c")
	for _, d := range dead[:2] {
		if err := q.Drop(q.ctx, d); err != nil {
			q.Fatalf("drop: %v", err)
		}
	}
	q.deadCount(1)
	q.none("after dead letters were dropped")
}
