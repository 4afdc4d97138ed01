package relaytest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"hookferry/shared/relay"
)

var runPromises = []storePromise{
	{"starting a run sets the event, the delivery and its due time at once", (*storeTest).startsRun},
	{"starting a run again with its token changes nothing", (*storeTest).runTokens},
	{"concurrent starts with one token are one run, with many tokens many", (*storeTest).runsTogether},
	{"a run of an event that is not there is not found", (*storeTest).runOfNothing},
	{"the start of a run ends the attempt that it overtakes, and no other", (*storeTest).runOvertakes},
	{"the attempts of an event are found through all its runs", (*storeTest).eventAttempts},
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

// chain records the attempts of a run, all but the last failed and followed.
func (s *storeTest) chain(r relay.EventRecord, endpoint string, run int, start time.Time, n int, last relay.AttemptStatus) []relay.Attempt {
	s.Helper()
	var made []relay.Attempt
	due := start
	for number := 1; number <= n; number++ {
		a := s.attempt(endpoint, r.Ref().ID, 0)
		a.Run, a.Number, a.DueAt, a.CreatedAt = run, number, due, due
		a.ID = relay.AttemptID(s.a, r.Ref().ID, endpoint, run, number, due)
		a.EventCreatedAt, a.NextAttemptAt = r.CreatedAt, due.Add(time.Duration(number)*time.Minute)
		if number == n && last != "" {
			a.Status, a.Final, a.NextAttemptAt = last, true, time.Time{}
		}
		s.record(a)
		made, due = append(made, a), a.NextAttemptAt
	}
	return made
}

func (s *storeTest) runOvertakes() {
	endpoint, other := s.endpoint(s.a, 0).ID, s.endpoint(s.a, 1).ID
	r := s.put(0, endpoint, other)
	made := s.chain(r, endpoint, 0, r.CreatedAt, 3, "")
	beside := s.chain(r, other, 0, r.CreatedAt, 2, "")
	s.list(r, retrying(endpoint, 3, made[2].NextAttemptAt), retrying(other, 2, beside[1].NextAttemptAt))
	is := func(what string, want relay.Attempt) {
		s.Helper()
		got, err := s.Attempt(s.ctx, s.a, want.EndpointID, want.ID)
		s.must(err)
		s.equal(what, got, want)
		eventually(s, what+", on the list", want, func() relay.Attempt {
			for _, a := range s.tried(want.EndpointID, relay.AttemptFilter{Bad: true}, 100) {
				if a.ID == want.ID {
					return a
				}
			}
			return relay.Attempt{}
		})
	}
	for run := 1; run <= 2; run++ {
		at := made[len(made)-1].DueAt.Add(time.Second)
		_, err := s.StartRun(s.ctx, s.a, r.ID, endpoint, fmt.Sprint("token ", run), at)
		s.must(err)
		last := made[len(made)-1]
		last.Final, last.NextAttemptAt = true, time.Time{}
		is("the attempt that was overtaken", last)
		is("the one before it", made[len(made)-2])
		is("another endpoint's", beside[1])
		made = s.chain(r, endpoint, run, at, 2, "")
		d := retrying(endpoint, 2, made[1].NextAttemptAt)
		d.Run = run
		s.save(r, d)
	}
	late := made[1]
	s.must(s.EndAttempt(s.ctx, late))
	late.Final, late.NextAttemptAt = true, time.Time{}
	for range 2 {
		is("an attempt that was ended", late)
		s.must(s.EndAttempt(s.ctx, late))
	}
	late.ID = relay.AttemptID(s.a, r.ID, endpoint, 9, 9, late.DueAt)
	s.must(s.EndAttempt(s.ctx, late))
	if _, err := s.Attempt(s.ctx, s.a, endpoint, late.ID); err == nil {
		s.Error("an attempt that was never made is on record once it was ended")
	}
}

func (s *storeTest) eventAttempts() {
	endpoint, other := s.endpoint(s.a, 0).ID, s.endpoint(s.a, 1).ID
	r := s.put(0, endpoint, other)
	s.record(s.attempt(endpoint, "evt_of_another", 0))
	all := s.chain(r, endpoint, 0, r.CreatedAt, 5, relay.AttemptFailed)
	all = append(all, s.chain(r, other, 0, r.CreatedAt, 1, relay.AttemptSucceeded)...)
	s.list(r, ended(endpoint, 5, relay.DeliveryFailed), succeeded(other))
	for run := 1; run <= 4; run++ {
		at := r.CreatedAt.Add(time.Duration(run) * time.Hour)
		_, err := s.StartRun(s.ctx, s.a, r.ID, endpoint, fmt.Sprint("token ", run), at)
		s.must(err)
		if run != 3 { // it made no attempt before the next one took over
			all = append(all, s.chain(r, endpoint, run, at, run, relay.AttemptFailed)...)
			d := ended(endpoint, run, relay.DeliveryFailed)
			d.Run = run
			s.save(r, d)
		}
	}
	for _, limit := range []int{100, 7, 1} {
		want := relay.NewestAttempts(slices.Clone(all), limit)
		eventually(s, fmt.Sprint("attempts of the event, at most ", limit), want, func() []relay.Attempt {
			got, err := s.EventAttempts(s.ctx, r.Ref(), []string{endpoint, other}, limit)
			s.must(err)
			return got
		})
	}
	eventually(s, "attempts at one endpoint", 1, func() int {
		got, err := s.EventAttempts(s.ctx, r.Ref(), []string{other}, 100)
		s.must(err)
		return len(got)
	})
	gone := r.Ref()
	gone.ID = "evt_none"
	_, err := s.EventAttempts(s.ctx, gone, []string{endpoint}, 100)
	s.fails("attempts of an event that is not there", err, relay.ErrNotFound)
}
