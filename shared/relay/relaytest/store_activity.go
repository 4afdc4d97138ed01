package relaytest

import (
	"maps"
	"slices"
	"time"

	"hookferry/shared/relay"
)

var activityPromises = []storePromise{
	{"activity is counted beside the counters, by minute and quarter", (*storeTest).activity},
	{"activity counted together all counts", (*storeTest).activityTogether},
	{"activity that is too old makes no room needed", (*storeTest).activityAges},
}

// sums adds up the tallies of the same time and source, in their order.
func sums(tallies []relay.Tally) []relay.Tally {
	type at struct {
		ms     int64
		source string
	}
	all := map[at]relay.Tally{}
	for _, t := range tallies {
		k := at{t.At.UnixMilli(), t.SourceID}
		have := all[k]
		have.At, have.SourceID = t.At, t.SourceID
		all[k] = have.Add(t)
	}
	return slices.SortedFunc(maps.Values(all), func(a, b relay.Tally) int {
		return ascending(relay.FormatTime(a.At)+a.SourceID, relay.FormatTime(b.At)+b.SourceID)
	})
}

func (s *storeTest) activity() {
	quarter := s.clock.Now().UTC().Truncate(15 * time.Minute)
	ep, other, source := s.endpoint(s.a, 0).ID, s.endpoint(s.a, 1).ID, s.source(s.a, 2).ID
	add := func(ts ...relay.Tally) {
		_, err := s.AddOutcomes(s.ctx, ep, relay.Outcomes{LastSuccessAt: s.clock.Now(), Activity: ts})
		s.must(err)
	}
	full := relay.Tally{At: quarter, SourceID: source, Accepted: 3, LastAt: quarter.Add(7 * time.Second)}
	attempts := relay.Tally{At: quarter, Delivered: 2_000, Failed: 1}
	covered(s, full, attempts)
	add(full, attempts)
	add(relay.Tally{At: quarter.Add(time.Minute), Delivered: 1, Failed: 5}, relay.Tally{At: quarter.Add(time.Minute), SourceID: source, Accepted: 1, LastAt: quarter.Add(70 * time.Second)})
	add(relay.Tally{At: quarter, Accepted: 4}, relay.Tally{At: quarter.Add(-time.Minute), Failed: 9})
	for step, want := range map[time.Duration][]relay.Tally{
		relay.ActivityMinute: {
			{At: quarter, Accepted: 4, Delivered: 2_000, Failed: 1},
			{At: quarter, SourceID: source, Accepted: 3},
			{At: quarter.Add(time.Minute), Delivered: 1, Failed: 5},
			{At: quarter.Add(time.Minute), SourceID: source, Accepted: 1},
		},
		relay.ActivityQuarter: {
			{At: quarter, Accepted: 4, Delivered: 2_001, Failed: 6},
			{At: quarter, SourceID: source, Accepted: 4},
		},
	} {
		eventually(s, "activity by "+step.String(), want, func() []relay.Tally {
			all, err := s.Activity(s.ctx, step, quarter, ep, other)
			s.must(err)
			if len(all[other].Tallies) > 0 {
				s.Errorf("activity of another endpoint: %+v", all[other])
			}
			s.equal("last calls", all[ep].LastCalls, map[string]time.Time{source: quarter.Add(70 * time.Second)})
			return sums(all[ep].Tallies)
		})
	}
}

func (s *storeTest) activityTogether() {
	minute, ep := s.clock.Now().UTC().Truncate(time.Minute), s.endpoint(s.a, 0).ID
	together(8, func(i int) {
		_, err := s.AddOutcomes(s.ctx, ep, relay.Outcomes{
			LastFailureAt: minute, FailuresAfter: 1, FailingSince: minute, Activity: []relay.Tally{{At: minute, Failed: i + 1}},
		})
		s.must(err)
	})
	// A write whose answer was lost may count twice when others come between.
	eventually(s, "failures counted together, at least", true, func() bool {
		all, err := s.Activity(s.ctx, relay.ActivityMinute, minute, ep)
		s.must(err)
		got := sums(all[ep].Tallies)
		return len(got) == 1 && got[0].Failed >= 36
	})
}

func (s *storeTest) activityAges() {
	ep, start := s.endpoint(s.a, 0).ID, s.clock.Now().UTC().Truncate(time.Hour)
	for i := range 100 {
		at := start.Add(time.Duration(i) * 20 * time.Minute)
		s.clock.Set(at)
		_, err := s.AddOutcomes(s.ctx, ep, relay.Outcomes{LastSuccessAt: at, Activity: []relay.Tally{{At: at, Delivered: 1}}})
		s.must(err)
	}
	end := start.Add(99 * 20 * time.Minute)
	eventually(s, "activity of the last day", 73, func() int {
		all, err := s.Activity(s.ctx, relay.ActivityQuarter, end.Add(-24*time.Hour).Truncate(15*time.Minute), ep)
		s.must(err)
		n := 0
		for _, t := range all[ep].Tallies {
			n += t.Delivered
		}
		return n
	})
}
