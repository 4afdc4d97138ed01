package relaytest

import (
	"fmt"
	"sync"
	"time"

	"hookferry/shared/relay"
)

var runPromises = []storePromise{
	{"starting a run sets the event, the delivery and its due time at once", (*storeTest).startsRun},
	{"starting a run again with its token changes nothing", (*storeTest).runTokens},
	{"concurrent starts with one token are one run, with many tokens many", (*storeTest).runsTogether},
	{"a run of an event that is not there is not found", (*storeTest).runOfNothing},
}

func (s *storeTest) startsRun() {
	at := Start.Add(time.Minute)
	run := relay.Run{Number: 1, Token: "t", StartedAt: at}
	due := pending("whend_1", at)
	due.Run = 1
	for i, first := range [][]relay.Delivery{
		nil, // not listed
		{succeeded("whend_1"), succeeded("whend_2")},
		{ended("whend_1", 5, relay.DeliveryFailed), succeeded("whend_2")},
		{ended("whend_1", 1, relay.DeliverySkipped), succeeded("whend_2")},
		{retrying("whend_1", 4, Start.Add(time.Hour)), succeeded("whend_2")},
	} {
		r := s.put(i, "whend_1", "whend_2")
		want := []relay.Delivery{due}
		if first != nil {
			s.list(r, first...)
			want = append(want, succeeded("whend_2"))
		}
		got, err := s.StartRun(s.ctx, s.a, r.ID, "whend_1", "t", at)
		s.must(err)
		s.equal("run", got, run)
		s.deliveries(fmt.Sprintf("case %d", i), r, first != nil, want...)
		r.Runs = map[string]relay.Run{"whend_1": run}
		s.readEvent("event with a run", r)
		if first != nil {
			s.shows(fmt.Sprintf("case %d", i), r, relay.EventPending)
		}
		eventually(s, "overdue", i+1, func() int { return len(s.late(at.Add(time.Second))) })
		if got := s.late(at); len(got) > 0 {
			s.Errorf("overdue at the time when it is due: %v", got)
		}
	}
}

func (s *storeTest) runTokens() {
	r := s.put(0, "whend_1", "whend_2")
	s.list(r, ended("whend_1", 5, relay.DeliveryFailed), ended("whend_2", 5, relay.DeliveryFailed))
	start := func(endpoint, token string, at time.Time, want relay.Run) {
		s.Helper()
		got, err := s.StartRun(s.ctx, s.a, r.ID, endpoint, token, at)
		s.must(err)
		s.equal("run", got, want)
	}
	first := relay.Run{Number: 1, Token: odd, StartedAt: Start}
	start("whend_1", odd, Start, first)
	done := ended("whend_1", 1, relay.DeliverySucceeded)
	done.Run = 1
	s.save(r, done)
	start("whend_1", odd, Start.Add(time.Hour), first)
	s.deliveries("after the token came again", r, true, done, ended("whend_2", 5, relay.DeliveryFailed))
	start("whend_2", odd, Start.Add(time.Hour), relay.Run{Number: 1, Token: odd, StartedAt: Start.Add(time.Hour)})
	start("whend_1", "another", Start.Add(2*time.Hour), relay.Run{Number: 2, Token: "another", StartedAt: Start.Add(2 * time.Hour)})
	second := pending("whend_1", Start.Add(2*time.Hour))
	second.Run = 2
	other := pending("whend_2", Start.Add(time.Hour))
	other.Run = 1
	s.deliveries("after a second run", r, true, second, other)
}

func (s *storeTest) runsTogether() {
	r := s.put(0, "whend_1", "whend_2")
	s.list(r, succeeded("whend_1"), succeeded("whend_2"))
	one, numbers := map[relay.Run]bool{}, map[int]bool{}
	var mu sync.Mutex
	together(8, func(i int) {
		same, err := s.StartRun(s.ctx, s.a, r.ID, "whend_1", "one", Start)
		if err != nil {
			s.Errorf("start a run together with others: %v", err)
		}
		mine, err := s.StartRun(s.ctx, s.a, r.ID, "whend_2", fmt.Sprint("token ", i), Start)
		if err != nil {
			s.Errorf("start a run together with others: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		one[same], numbers[mine.Number] = true, true
	})
	want := relay.Run{Number: 1, Token: "one", StartedAt: Start}
	if len(one) != 1 || !one[want] {
		s.Errorf("one token started %v, want %v alone", one, want)
	}
	for n := 1; n <= 8; n++ {
		if !numbers[n] {
			s.Errorf("eight tokens started runs %v, want 1 to 8", numbers)
			break
		}
	}
	d1, d2 := pending("whend_1", Start), pending("whend_2", Start)
	d1.Run, d2.Run = 1, 8
	s.deliveries("after runs started together", r, true, d1, d2)
	got, err := s.Event(s.ctx, s.a, r.ID, true)
	s.must(err)
	if got.Latest("whend_1") != 1 || got.Latest("whend_2") != 8 {
		s.Errorf("the event's latest runs are %d and %d, want 1 and 8", got.Latest("whend_1"), got.Latest("whend_2"))
	}
}

func (s *storeTest) runOfNothing() {
	_, err := s.StartRun(s.ctx, s.a, "evt_none", "whend_1", "t", Start)
	s.fails("start a run of an event that is not there", err, relay.ErrNotFound)
	if late := s.late(Start.Add(time.Hour)); len(late) > 0 {
		s.Errorf("a refused run left %v", late)
	}
}
