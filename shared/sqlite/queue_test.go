package sqlite

import (
	"slices"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

func receive(t *testing.T, q *Queue, visibility time.Duration) []relay.Received {
	t.Helper()
	msgs, err := q.Receive(t.Context(), relay.MaxBatch, 0, visibility)
	if err != nil {
		t.Fatal(err)
	}
	return msgs
}

func TestAStaleReceiptChangesNothing(t *testing.T) {
	clock := relaytest.NewClock()
	q := open(t, Config{Now: clock.Now}).Queue("events")
	if err := q.Send(t.Context(), message("x")); err != nil {
		t.Fatal(err)
	}
	first := receive(t, q, time.Minute)
	clock.Advance(time.Minute)
	second := receive(t, q, time.Minute)
	if len(first) != 1 || len(second) != 1 || first[0].ID == second[0].ID {
		t.Fatalf("received %v and %v, want one each with an ID of its own", first, second)
	}
	if err := q.Delete(t.Context(), first...); err != nil {
		t.Error(err)
	}
	if err := q.Hide(t.Context(), first[0], 0); err != nil {
		t.Error(err)
	}
	if got := receive(t, q, time.Minute); len(got) > 0 {
		t.Errorf("a stale receipt brought back %v", got)
	}
	clock.Advance(time.Minute)
	third := receive(t, q, time.Minute)
	if len(third) != 1 || third[0].Receives != 3 {
		t.Fatalf("received %v, want what the stale receipt did not delete, for the third time", third)
	}
	// Hiding does not end the right to delete.
	if err := q.Hide(t.Context(), third[0], time.Minute); err != nil {
		t.Error(err)
	}
	if err := q.Delete(t.Context(), third...); err != nil {
		t.Error(err)
	}

	// A number that is used again does not make an old receipt good.
	if err := q.Send(t.Context(), message("y")); err != nil {
		t.Fatal(err)
	}
	if err := q.Delete(t.Context(), slices.Concat(first, second, third)...); err != nil {
		t.Error(err)
	}
	if got := receive(t, q, time.Minute); len(got) != 1 || string(got[0].Body) != "y" {
		t.Errorf("received %v, want the new message", got)
	}
}

func TestLanesAreApart(t *testing.T) {
	db := open(t, Config{})
	events, retries := db.Queue("events"), db.Queue("retries")
	if err := events.Send(t.Context(), message("x")); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, retries, time.Minute); len(got) > 0 {
		t.Errorf("the other lane received %v", got)
	}
	msgs := receive(t, events, time.Minute)
	if err := retries.Delete(t.Context(), msgs...); err != nil {
		t.Error(err)
	}
	if err := events.Bury(t.Context(), msgs[0], "bad"); err != nil {
		t.Error(err)
	}
	if n, err := retries.DeadCount(t.Context()); err != nil || n != 0 {
		t.Errorf("the other lane has %d dead letters, %v", n, err)
	}
	if visible, hidden, err := events.Depth(t.Context()); err != nil || visible != 0 || hidden != 1 {
		t.Errorf("depth %d and %d, %v; want 0 and 1", visible, hidden, err)
	}
}

func TestManyWaitersGetEachMessageOnce(t *testing.T) {
	q := open(t, Config{}).Queue("events")
	const waiters, n = 8, 200
	got := make(chan relay.Received)
	for range waiters {
		go func() {
			for {
				msgs, err := q.Receive(t.Context(), 3, time.Minute, time.Minute)
				if err != nil {
					return // the test has ended
				}
				for _, m := range msgs {
					got <- m
				}
			}
		}()
	}
	go func() {
		for range n / 2 {
			if err := q.Send(t.Context(), message("x"), message("y")); err != nil {
				t.Error(err)
			}
		}
	}()
	seen := map[string]bool{}
	for range n {
		m := <-got
		if m.Receives != 1 || seen[m.ID] {
			t.Fatalf("message %s came again: %d", m.ID, m.Receives)
		}
		seen[m.ID] = true
	}
}
