package relaytest

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"hookferry/shared/relay"
)

func (s *storeTest) replayLists() {
	var want []string
	for i := range 7 {
		r := s.replay(i)
		r.Status = []relay.ReplayStatus{relay.ReplayRunning, relay.ReplayDraining, relay.ReplayCompleted}[i%3]
		s.must(s.CreateReplay(s.ctx, r))
		want = append(want, r.ID)
	}
	theirs := s.replay(9)
	theirs.Account = s.b
	s.must(s.CreateReplay(s.ctx, theirs))
	mine := func(account string, limit int) []string {
		return ids(all(s, limit, func(p relay.Page) ([]relay.Replay, string, error) { return s.Replays(s.ctx, account, p) }),
			func(r relay.Replay) string { return r.ID })
	}
	newest := slices.Clone(want)
	slices.Reverse(newest)
	for _, limit := range []int{1, 3, 100} {
		s.equal(fmt.Sprintf("replays in pages of %d", limit), mine(s.a, limit), newest)
	}
	s.equal("replays of another account", mine(s.b, 10), []string{theirs.ID})
	badCursor(s, "replays", func(p relay.Page) ([]relay.Replay, string, error) { return s.Replays(s.ctx, s.a, p) })

	open := func() (found []string) {
		for _, r := range all(s, 2, func(p relay.Page) ([]relay.Replay, string, error) { return s.UnfinishedReplays(s.ctx, p) }) {
			if r.Account == s.a || r.Account == s.b { // other tests have theirs
				found = append(found, r.ID)
			}
		}
		slices.Sort(found)
		return found
	}
	unfinished := []string{want[0], want[1], want[3], want[4], want[6], theirs.ID}
	slices.Sort(unfinished)
	eventually(s, "unfinished replays", unfinished, open)
	for i, status := range []relay.ReplayStatus{relay.ReplayCompleted, relay.ReplayCancelled} {
		r, err := s.Replay(s.ctx, s.a, want[i*3])
		s.must(err)
		r.Status = status
		s.must(s.UpdateReplay(s.ctx, r))
		unfinished = slices.DeleteFunc(unfinished, func(id string) bool { return id == r.ID })
	}
	eventually(s, "unfinished replays, once two have ended", unfinished, open)
}

func (s *storeTest) replaySlots() {
	slot := func(endpoint string, at, long time.Duration, free time.Duration, taken bool) {
		s.Helper()
		gotFree, got, err := s.ReplaySlot(s.ctx, endpoint, Start.Add(at), long)
		s.must(err)
		if got != taken || !gotFree.Equal(Start.Add(free)) {
			s.Errorf("slot of %s at %v: free at %v, taken %v, want %v and %v", endpoint, at, gotFree, got, Start.Add(free), taken)
		}
	}
	one, other := s.endpoint(s.a, 0).ID, s.endpoint(s.a, 1).ID
	slot(one, 0, 0, 0, true)
	slot(one, 0, 10*time.Second, 0, true)
	slot(one, time.Second, 10*time.Second, 10*time.Second, false)
	slot(one, time.Second, 0, 10*time.Second, false)
	slot(other, time.Second, 10*time.Second, time.Second, true)
	slot(one, 10*time.Second, 500*time.Millisecond, 10*time.Second, true)
	slot(one, 10*time.Second+499*time.Millisecond, time.Second, 10*time.Second+500*time.Millisecond, false)
	slot(one, time.Minute, time.Second, time.Minute, true)
	var won atomic.Int32
	together(8, func(int) {
		_, taken, err := s.ReplaySlot(s.ctx, one, Start.Add(time.Hour), time.Minute)
		if err != nil {
			s.Errorf("take a slot together with others: %v", err)
		}
		if taken {
			won.Add(1)
		}
	})
	if won.Load() != 1 {
		s.Errorf("%d of 8 took the same time", won.Load())
	}
}

func (s *storeTest) openDeliveries() {
	endpoint, other := s.endpoint(s.a, 0).ID, s.endpoint(s.a, 1).ID
	var want []relay.Overdue
	base := s.clock.Now()
	for i := range 24 {
		r := s.put(i, endpoint, other)
		d := retrying(endpoint, 2, base.Add(time.Hour))
		switch i % 4 {
		case 1:
			d = ended(endpoint, 5, relay.DeliveryFailed)
		case 2:
			d = pending(endpoint, base.Add(time.Minute))
			d.NotBefore = base.Add(2 * time.Hour)
		case 3:
			d = relay.Delivery{EndpointID: endpoint, Status: relay.DeliveryPending} // waits for a confirmation
		}
		s.list(r, d, retrying(other, 1, base.Add(time.Hour)))
		if i%2 == 0 {
			want = append([]relay.Overdue{{Event: r.Ref(), Delivery: d}}, want...)
		}
	}
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	for _, c := range []struct{ since, until int }{{0, 1000}, {4, 17}, {5, 5}, {10, 1000}, {1000, 2000}} {
		var within []relay.Overdue
		for _, o := range want {
			if !o.Event.CreatedAt.Before(at(c.since)) && o.Event.CreatedAt.Before(at(c.until)) {
				within = append(within, o)
			}
		}
		for _, limit := range []int{1, 5, 100} {
			eventually(s, fmt.Sprintf("open from %d to %d, pages of %d", c.since, c.until, limit), within, func() []relay.Overdue {
				return all(s, limit, func(p relay.Page) ([]relay.Overdue, string, error) {
					return s.OpenDeliveries(s.ctx, s.a, endpoint, at(c.since), at(c.until), p)
				})
			})
		}
	}
	if got := all(s, 10, func(p relay.Page) ([]relay.Overdue, string, error) {
		return s.OpenDeliveries(s.ctx, s.b, endpoint, at(0), at(1000), p)
	}); len(got) > 0 {
		s.Errorf("another account finds %v", got)
	}
}
