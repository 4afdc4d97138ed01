package relaytest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

// The suite must not ask for more than the port promises: a store that is as
// weak as it may be passes.
func TestStoreSuiteBearsTheWeakestStore(t *testing.T) {
	seed := relaytest.Seed(t)
	relaytest.TestStore(t, func(_ testing.TB, clock *relaytest.Clock) relay.Store {
		s := relaytest.NewMemory(clock.Now, relaytest.Retention)
		return relaytest.FaultyStore(s, relaytest.NewDice(seed), relaytest.Weak(), clock.Now)
	})
}

func TestFaultyStoreWithoutFaultsIsTheStore(t *testing.T) {
	relaytest.TestStore(t, func(_ testing.TB, clock *relaytest.Clock) relay.Store {
		s := relaytest.NewMemory(clock.Now, relaytest.Retention)
		return relaytest.Live().Store(relaytest.FaultyStore(s, relaytest.NewDice(1), relaytest.Faults{}, clock.Now))
	})
}

func TestFaultyQueueWithoutFaultsIsTheQueue(t *testing.T) {
	relaytest.TestQueue(t, func(_ testing.TB, clock *relaytest.Clock) relaytest.Lane {
		q := relaytest.NewMemoryQueue(clock.Now)
		faulty := relaytest.NewFaultyQueue(q, "lane", relaytest.NewDice(1), relaytest.Faults{}, clock.Now)
		return struct {
			relay.Queue
			relay.DeadLetters
		}{relaytest.Live().Queue(faulty), q}
	}, relaytest.QueueOptions{})
}

func endpoint(i int) relay.Endpoint {
	return relay.Endpoint{ID: fmt.Sprintf("whend_%03d", i), Account: "acct_1", Status: relay.Active, CreatedAt: relaytest.Start}
}

func TestWriteFaults(t *testing.T) {
	ctx, clock := t.Context(), relaytest.NewClock()
	for _, c := range []struct {
		faults   relaytest.Faults
		want     error
		effected bool
	}{
		{relaytest.Faults{WriteFails: 1}, relaytest.ErrFault, false},
		{relaytest.Faults{WriteLies: 1}, relaytest.ErrFault, true},
		{relaytest.Faults{Stalls: 1}, context.DeadlineExceeded, false},
		{relaytest.Faults{ReadFails: 1}, nil, true},
	} {
		s := relaytest.NewMemory(clock.Now, relaytest.Retention)
		dice := relaytest.NewDice(1)
		faulty := relaytest.FaultyStore(s, dice, c.faults, clock.Now)
		if err := faulty.CreateEndpoint(ctx, endpoint(1), 10); !errors.Is(err, c.want) {
			t.Errorf("%+v: create: %v, want %v", c.faults, err, c.want)
		}
		_, err := s.Endpoint(ctx, "acct_1", "whend_001")
		if got := err == nil; got != c.effected {
			t.Errorf("%+v: took effect: %v, want %v", c.faults, got, c.effected)
		}
		_, err = faulty.Endpoint(ctx, "acct_1", "whend_001")
		if wantRead := c.faults.ReadFails+c.faults.Stalls == 0; wantRead && errors.Is(err, relaytest.ErrFault) || !wantRead && (err == nil || errors.Is(err, relay.ErrNotFound)) {
			t.Errorf("%+v: read: %v", c.faults, err)
		}
		dice.Calm()
		if err := faulty.CreateEndpoint(ctx, endpoint(2), 10); err != nil {
			t.Errorf("%+v: create once calm: %v", c.faults, err)
		}
	}
}

func TestStaleReadsMissTheLastSeconds(t *testing.T) {
	ctx, clock := t.Context(), relaytest.NewClock()
	faults := relaytest.Faults{Stale: 1, Staleness: time.Second, CacheFor: 5 * time.Second}
	s := relaytest.FaultyStore(relaytest.NewMemory(clock.Now, relaytest.Retention), relaytest.NewDice(1), faults, clock.Now)
	r := relay.EventRecord{Event: relay.Event{ID: "evt_1", Account: "acct_1", CreatedAt: relaytest.Start}, MID: "m"}
	if _, err := s.PutEvent(ctx, r); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Event(ctx, "acct_1", "evt_1", false); !errors.Is(err, relay.ErrNotFound) {
		t.Errorf("a stale read right after the put: %v, want not found", err)
	}
	if _, err := s.Event(ctx, "acct_1", "evt_1", true); err != nil {
		t.Errorf("a consistent read right after the put: %v", err)
	}
	live := func() int {
		eps, err := s.LiveEndpoints(ctx, "acct_1")
		if err != nil {
			t.Fatal(err)
		}
		return len(eps)
	}
	before := live()
	if err := s.CreateEndpoint(ctx, endpoint(1), 10); err != nil {
		t.Fatal(err)
	}
	if got := live(); got != before {
		t.Errorf("%d live endpoints right after a create, want the %d of before", got, before)
	}
	clock.Advance(time.Second)
	if _, err := s.Event(ctx, "acct_1", "evt_1", false); err != nil {
		t.Errorf("a read a second after the put: %v", err)
	}
	clock.Advance(4 * time.Second)
	if got := live(); got != before+1 {
		t.Errorf("%d live endpoints 5 s after a create, want %d", got, before+1)
	}
}

func TestWeakPagesLoseNothing(t *testing.T) {
	ctx, clock := t.Context(), relaytest.NewClock()
	s := relaytest.FaultyStore(relaytest.NewMemory(clock.Now, relaytest.Retention), relaytest.NewDice(relaytest.Seed(t)),
		relaytest.Faults{ShortPage: .5, EmptyPage: .3}, clock.Now)
	var want, got []string
	for i := range 50 {
		if err := s.CreateEndpoint(ctx, endpoint(49-i), 100); err != nil {
			t.Fatal(err)
		}
		want = append(want, endpoint(49-i).ID)
	}
	short, empty := 0, 0
	for p := (relay.Page{Limit: 10}); ; {
		page, next, err := s.Endpoints(ctx, "acct_1", p)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			got = append(got, e.ID)
		}
		if next == "" {
			break
		}
		if p.After = next; len(page) == 0 {
			empty++
		} else if len(page) < p.Limit {
			short++
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("through weak pages (-want +got):\n%s", d)
	}
	if short+empty == 0 {
		t.Error("no page was short or empty")
	}
}

func out(n int) []relay.Outgoing {
	var msgs []relay.Outgoing
	for i := range n {
		msgs = append(msgs, relay.Outgoing{Body: fmt.Appendf(nil, "%02d", i)})
	}
	return msgs
}

func TestSendFaults(t *testing.T) {
	for _, c := range []struct {
		faults relaytest.Faults
		judge  func(err error, sent int) bool
	}{
		{relaytest.Faults{SendFails: 1}, func(err error, sent int) bool { return err != nil && sent == 0 }},
		{relaytest.Faults{SendLies: 1}, func(err error, sent int) bool { return err != nil && sent == 10 }},
		{relaytest.Faults{SendPartly: 1}, func(err error, sent int) bool {
			var partial *relay.SendError
			return errors.As(err, &partial) && len(partial.Failed) == 10-sent && sent > 0 && sent < 10
		}},
	} {
		clock := relaytest.NewClock()
		q := relaytest.NewMemoryQueue(clock.Now)
		err := relaytest.NewFaultyQueue(q, "lane", relaytest.NewDice(7), c.faults, clock.Now).Send(t.Context(), out(10)...)
		if sent := len(q.Bodies()); !c.judge(err, sent) {
			t.Errorf("%+v: %v with %d of 10 sent", c.faults, err, sent)
		}
	}
}

// receiveAll receives and deletes for two minutes and returns what came.
func receiveAll(t *testing.T, q relay.Queue, clock *relaytest.Clock) []string {
	t.Helper()
	var got []string
	for range 120 {
		msgs, err := q.Receive(t.Context(), relay.MaxBatch, 0, 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			got = append(got, string(m.Body))
		}
		_ = q.Delete(t.Context(), msgs...)
		clock.Advance(time.Second)
	}
	return got
}

func TestReceiveFaultsRepeatAndReorderAndLoseNothing(t *testing.T) {
	for name, faults := range map[string]relaytest.Faults{
		"duplicates":     {Duplicate: .5},
		"late":           {Late: .5},
		"lost deletes":   {DeleteLost: .5},
		"failed deletes": {DeleteFails: .5},
	} {
		run := func() []string {
			clock := relaytest.NewClock()
			q := relaytest.NewFaultyQueue(relaytest.NewMemoryQueue(clock.Now), "lane", relaytest.NewDice(5), faults, clock.Now)
			if err := q.Send(t.Context(), out(20)...); err != nil {
				t.Fatal(err)
			}
			return receiveAll(t, q, clock)
		}
		got := run()
		seen := map[string]int{}
		for _, b := range got {
			seen[b]++
		}
		if len(seen) != 20 {
			t.Errorf("%s: %d of 20 messages came", name, len(seen))
		}
		if repeats := len(got) > 20; repeats != (name != "late") {
			t.Errorf("%s: 20 messages came %d times", name, len(got))
		}
		if cmp.Diff(got, run()) != "" {
			t.Errorf("%s: the same seed gave another order", name)
		}
	}
}

func TestHideFaults(t *testing.T) {
	for _, c := range []struct {
		faults relaytest.Faults
		fails  bool
	}{{relaytest.Faults{HideFails: 1}, true}, {relaytest.Faults{HideLost: 1}, false}} {
		clock := relaytest.NewClock()
		q := relaytest.NewFaultyQueue(relaytest.NewMemoryQueue(clock.Now), "lane", relaytest.NewDice(1), c.faults, clock.Now)
		if err := q.Send(t.Context(), out(1)...); err != nil {
			t.Fatal(err)
		}
		msgs, err := q.Receive(t.Context(), 1, 0, time.Minute)
		if err != nil || len(msgs) != 1 {
			t.Fatalf("received %d, %v", len(msgs), err)
		}
		if err := q.Hide(t.Context(), msgs[0], 0); (err != nil) != c.fails {
			t.Errorf("%+v: hide: %v", c.faults, err)
		}
		if again, _ := q.Receive(t.Context(), 1, 0, time.Minute); len(again) != 0 {
			t.Errorf("%+v: the message is visible before its timeout", c.faults)
		}
		clock.Advance(time.Minute)
		if again, _ := q.Receive(t.Context(), 1, 0, time.Minute); len(again) != 1 {
			t.Errorf("%+v: the message is not visible after its timeout", c.faults)
		}
	}
}

func TestAProcessDiesAtItsEffect(t *testing.T) {
	ctx := t.Context()
	for step := 1; step <= 4; step++ {
		for _, after := range []bool{false, true} {
			clock := relaytest.NewClock()
			s, q := relaytest.NewMemory(clock.Now, relaytest.Retention), relaytest.NewMemoryQueue(clock.Now)
			p := relaytest.DieAt(step, after)
			store, queue := p.Store(s), p.Queue(q)
			posted := 0
			errs := []error{
				store.CreateEndpoint(ctx, endpoint(1), 10),
				queue.Send(ctx, out(1)...),
				p.Effect(func() error { posted++; return nil }),
			}
			_, readErr := store.Endpoint(ctx, "acct_1", "whend_001")
			eps, err := s.LiveEndpoints(ctx, "acct_1")
			if err != nil {
				t.Fatal(err)
			}
			effects := len(eps) + len(q.Bodies()) + posted
			want := step - 1
			if after {
				want = step
			}
			if want = min(want, 3); effects != want {
				t.Errorf("death at %d, after %v: %d effects, want %d", step, after, effects, want)
			}
			for i, err := range append(errs, readErr) {
				if crashed := errors.Is(err, relaytest.ErrCrashed); crashed != (i+1 >= step && step <= 3) {
					t.Errorf("death at %d, after %v: call %d: %v", step, after, i+1, err)
				}
			}
			if p.Dead() != (step <= 3) {
				t.Errorf("death at %d: dead is %v", step, p.Dead())
			}
		}
	}
}
