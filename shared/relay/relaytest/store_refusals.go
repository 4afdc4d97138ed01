package relaytest

import (
	"time"

	"hookferry/shared/relay"
)

var refusalPromises = []storePromise{
	{"refusals are counted by reason and hour", (*storeTest).refusals},
	{"refusals counted together all count", (*storeTest).refusalsTogether},
	{"refusals vanish after the retention time", (*storeTest).refusalAges},
}

func (s *storeTest) listRefusals(source string, limit int) []relay.Refusal {
	return all(s, limit, func(p relay.Page) ([]relay.Refusal, string, error) { return s.Refusals(s.ctx, source, p) })
}

func (s *storeTest) refusals() {
	hour := s.clock.Now().UTC().Truncate(time.Hour)
	source, other := s.source(s.a, 0).ID, s.source(s.b, 1).ID
	add := func(source, reason string, hour time.Time, n int, after time.Duration) relay.Refusal {
		r := relay.Refusal{SourceID: source, Reason: reason, Hour: hour, Count: n, LastAt: hour.Add(after)}
		s.must(s.AddRefusals(s.ctx, r))
		return r
	}
	covered(s, add(source, "token", hour, 2, time.Minute))
	before := add(source, "token", hour.Add(-time.Hour), 5, time.Minute)
	stale := add(source, "signature_stale", hour, 1, 2*time.Minute)
	token := add(source, "token", hour, 3, 3*time.Minute)
	token.Count = 5
	foreign := add(other, "token", hour, 7, time.Second)
	for _, limit := range []int{1, 2, 100} {
		eventually(s, "refusals", []relay.Refusal{token, stale, before}, func() []relay.Refusal { return s.listRefusals(source, limit) })
	}
	eventually(s, "refusals of another source", []relay.Refusal{foreign}, func() []relay.Refusal { return s.listRefusals(other, 10) })
	if got := s.listRefusals("src_none", 10); len(got) > 0 {
		s.Errorf("a source that is not there has refusals: %+v", got)
	}
	badCursor(s, "refusals", func(p relay.Page) ([]relay.Refusal, string, error) { return s.Refusals(s.ctx, source, p) })
}

func (s *storeTest) refusalsTogether() {
	source, hour := s.source(s.a, 0).ID, s.clock.Now().UTC().Truncate(time.Hour)
	together(8, func(i int) {
		s.must(s.AddRefusals(s.ctx, relay.Refusal{SourceID: source, Reason: "token", Hour: hour, Count: i + 1, LastAt: hour}))
	})
	// A call whose answer was lost is made again below the port, and counts twice.
	eventually(s, "refusals counted together, at least", true, func() bool {
		got := s.listRefusals(source, 10)
		return len(got) == 1 && got[0].Count >= 36
	})
}

func (s *storeTest) refusalAges() {
	source, hour := s.source(s.a, 0).ID, s.clock.Now().UTC().Truncate(time.Hour)
	s.must(s.AddRefusals(s.ctx, relay.Refusal{SourceID: source, Reason: "token", Hour: hour, Count: 1, LastAt: hour}))
	s.clock.Set(hour.Add(Retention + time.Second))
	eventually(s, "refusals after the retention time", nil, func() []relay.Refusal { return s.listRefusals(source, 10) })
}
