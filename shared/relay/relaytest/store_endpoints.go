package relaytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"hookferry/shared/relay"
)

var endpointPromises = []storePromise{
	{"an endpoint round-trips", (*storeTest).endpoints},
	{"an endpoint is updated only at the version that was read", (*storeTest).endpointVersions},
	{"the limit of endpoints counts live ones and holds under concurrency", (*storeTest).endpointLimit},
	{"one live endpoint has a key id", (*storeTest).keyIDs},
	{"one live endpoint has a key id under concurrency", (*storeTest).keyIDsTogether},
	{"a deleted endpoint is listed and not live", (*storeTest).deletedEndpoints},
	{"endpoints are listed newest first through all pages", (*storeTest).endpointList},
	{"all live endpoints are returned, however large", (*storeTest).largeEndpoints},
	{"endpoints of another account are not found", (*storeTest).foreignEndpoints},
	{"counters follow the outcomes", (*storeTest).counters},
	{"concurrent outcomes all count", (*storeTest).countersTogether},
	{"of concurrent takers one has the mark", (*storeTest).markTogether},
}

func (s *storeTest) endpoint(account string, i int) relay.Endpoint {
	at := s.clock.Now().Add(time.Duration(i) * time.Millisecond)
	return relay.Endpoint{
		ID: relay.NewID(relay.EndpointPrefix, at), Account: account, Name: fmt.Sprint("endpoint ", i),
		URL: fmt.Sprintf("https://hooks.example/%d", i), EventTypes: []string{"*"}, Format: relay.FormatRivya,
		Signatures: []relay.Scheme{relay.SchemeRivya}, Status: relay.Active, Secret: "1.c2VhbGVk", SecretPreview: "whsec_12...abc123",
		CreatedAt: at, UpdatedAt: at, Version: 1,
	}
}

func (s *storeTest) endpoints() {
	now := s.clock.Now()
	full := s.endpoint(s.a, 0)
	full.Name = odd
	full.EventTypes = []string{"generation.succeeded", "*", "a.b"}
	full.SourceIDs = []string{"src_2", "src_1"}
	full.Format = relay.FormatSivi
	full.Signatures = []relay.Scheme{relay.SchemeRivya, relay.SchemeStandard}
	full.OldSecret, full.OldSecretUntil = "1.b2xk", now.Add(time.Hour)
	full.Disable(relay.DisabledGone, now.Add(2*time.Second))
	full.KeyID = "key_" + s.a
	full.Filter, full.MaxPerSecond, full.MaxInFlight, full.Rotations = `{"type":["a.b"]}`, 7, 3, 2
	deleted := s.endpoint(s.a, 1)
	deleted.RevokedAt = now.Add(time.Minute)
	plain := s.endpoint(s.a, 2)
	covered(s, full, deleted, plain)
	for _, e := range []relay.Endpoint{full, deleted, plain} {
		put := e
		put.Version = 0 // the store's to set
		s.must(s.CreateEndpoint(s.ctx, put, 10))
		got, err := s.Endpoint(s.ctx, s.a, e.ID)
		s.must(err)
		s.equal("endpoint", got, e)
	}
	eventually(s, "live endpoints", []relay.Endpoint{full, plain}, s.live, byEndpointID)
	_, err := s.Endpoint(s.ctx, s.a, "whend_none")
	s.fails("endpoint that is not there", err, relay.ErrNotFound)
}

var byEndpointID = cmpopts.SortSlices(func(a, b relay.Endpoint) bool { return a.ID < b.ID })

func (s *storeTest) live() []relay.Endpoint {
	s.Helper()
	got, err := s.LiveEndpoints(s.ctx, s.a)
	s.must(err)
	return got
}

func (s *storeTest) endpointVersions() {
	e := s.endpoint(s.a, 0)
	s.must(s.CreateEndpoint(s.ctx, e, 10))
	s.fails("create it again", s.again(func() error { return s.CreateEndpoint(s.ctx, e, 10) }), relay.ErrExists)
	for i := range 3 {
		e.Name, e.EventTypes, e.SourceIDs = fmt.Sprint("changed ", i), []string{"x.y"}, []string{"src_1"}
		e.OldSecret, e.OldSecretUntil = "1.b2xk", s.clock.Now()
		if i == 1 { // fields go back to zero too
			e.OldSecret, e.OldSecretUntil, e.SourceIDs = "", time.Time{}, nil
		}
		s.must(s.UpdateEndpoint(s.ctx, e))
		stale := e
		stale.Name = "lost"
		s.fails("update at a version that has passed", s.UpdateEndpoint(s.ctx, stale), relay.ErrConflict)
		e.Version++
		got, err := s.Endpoint(s.ctx, s.a, e.ID)
		s.must(err)
		s.equal("updated endpoint", got, e)
	}
	ahead := e
	ahead.Version += 5
	s.fails("update at a version to come", s.UpdateEndpoint(s.ctx, ahead), relay.ErrConflict)
	s.fails("update what is not there", s.UpdateEndpoint(s.ctx, s.endpoint(s.a, 1)), relay.ErrNotFound)

	var won atomic.Int32
	together(8, func(i int) {
		mine := e
		mine.Name = fmt.Sprint("by ", i)
		if err := s.UpdateEndpoint(s.ctx, mine); err == nil {
			won.Add(1)
		} else {
			s.fails("update together with others", err, relay.ErrConflict)
		}
	})
	got, err := s.Endpoint(s.ctx, s.a, e.ID)
	s.must(err)
	if won.Load() != 1 || got.Version != e.Version+1 {
		s.Errorf("%d of 8 updates of version %d succeeded and left version %d", won.Load(), e.Version, got.Version)
	}
}

// again returns ErrExists for any error of this package's that refuses a second
// create of the same ID, which never happens and need not have one name.
func (s *storeTest) again(create func() error) error {
	if err := create(); err != nil {
		return relay.ErrExists
	}
	return nil
}

func (s *storeTest) endpointLimit() {
	const limit = 5
	first := s.endpoint(s.a, 0)
	s.must(s.CreateEndpoint(s.ctx, first, limit))
	created := s.createTogether(16, func(i int) error { return s.CreateEndpoint(s.ctx, s.endpoint(s.a, i), limit) })
	if created != limit-1 {
		s.Errorf("%d endpoints created besides one under a limit of %d", created, limit)
	}
	s.must(s.CreateEndpoint(s.ctx, s.endpoint(s.b, 0), limit))
	first.Disable(relay.DisabledManual, s.clock.Now())
	s.must(s.UpdateEndpoint(s.ctx, first))
	first.Version++
	s.fails("create while a disabled one counts", s.CreateEndpoint(s.ctx, s.endpoint(s.a, 50), limit), relay.ErrLimit)
	first.RevokedAt = s.clock.Now()
	s.must(s.UpdateEndpoint(s.ctx, first))
	first.Version++
	first.Name = "still deleted" // counts as one deletion
	s.must(s.UpdateEndpoint(s.ctx, first))
	s.must(s.CreateEndpoint(s.ctx, s.endpoint(s.a, 51), limit))
	s.fails("create at the limit", s.CreateEndpoint(s.ctx, s.endpoint(s.a, 52), limit), relay.ErrLimit)
}

func (s *storeTest) keyIDs() {
	with := func(account string, i int, key string) relay.Endpoint {
		e := s.endpoint(account, i)
		e.KeyID = key
		return e
	}
	one, two := with(s.a, 0, "key_1"), with(s.a, 1, "key_2")
	s.must(s.CreateEndpoint(s.ctx, one, 10))
	s.must(s.CreateEndpoint(s.ctx, two, 10))
	s.must(s.CreateEndpoint(s.ctx, with(s.b, 2, "key_1"), 10))
	s.must(s.CreateEndpoint(s.ctx, with(s.a, 3, ""), 10))
	s.must(s.CreateEndpoint(s.ctx, with(s.a, 4, ""), 10))
	s.fails("create with a key id that is taken", s.CreateEndpoint(s.ctx, with(s.a, 5, "key_1"), 10), relay.ErrExists)

	taking := two
	taking.KeyID = "key_1"
	s.fails("update to a key id that is taken", s.UpdateEndpoint(s.ctx, taking), relay.ErrExists)
	got, err := s.Endpoint(s.ctx, s.a, two.ID)
	s.must(err)
	s.equal("endpoint after a refused update", got, two)

	one.Name = "same key id"
	s.must(s.UpdateEndpoint(s.ctx, one))
	one.Version++
	one.KeyID = "key_3" // takes another, frees its own
	s.must(s.UpdateEndpoint(s.ctx, one))
	one.Version++
	s.must(s.UpdateEndpoint(s.ctx, taking))
	s.fails("create with a key id that was taken over", s.CreateEndpoint(s.ctx, with(s.a, 6, "key_3"), 10), relay.ErrExists)
	s.must(s.CreateEndpoint(s.ctx, with(s.a, 7, "key_2"), 10))

	one.RevokedAt = s.clock.Now()
	s.must(s.UpdateEndpoint(s.ctx, one))
	s.must(s.CreateEndpoint(s.ctx, with(s.a, 8, "key_3"), 10))
}

func (s *storeTest) keyIDsTogether() {
	var won atomic.Int32
	together(8, func(i int) {
		e := s.endpoint(s.a, i)
		e.KeyID = "key_1"
		if err := s.CreateEndpoint(s.ctx, e, 100); err == nil {
			won.Add(1)
		} else {
			s.fails("create with one key id together with others", err, relay.ErrExists)
		}
	})
	if won.Load() != 1 {
		s.Errorf("%d endpoints with one key id were created, want 1", won.Load())
	}
}

func (s *storeTest) deletedEndpoints() {
	gone, stays := s.endpoint(s.a, 0), s.endpoint(s.a, 1)
	s.must(s.CreateEndpoint(s.ctx, gone, 10))
	s.must(s.CreateEndpoint(s.ctx, stays, 10))
	eventually(s, "live endpoints before", []relay.Endpoint{gone, stays}, s.live, byEndpointID)
	gone.Disable(relay.DisabledManual, s.clock.Now())
	gone.RevokedAt = s.clock.Now()
	s.must(s.UpdateEndpoint(s.ctx, gone))
	gone.Version++
	got, err := s.Endpoint(s.ctx, s.a, gone.ID)
	s.must(err)
	s.equal("deleted endpoint", got, gone)
	eventually(s, "live endpoints after", []relay.Endpoint{stays}, s.live)
	eventually(s, "listed endpoints", []relay.Endpoint{stays, gone}, func() []relay.Endpoint {
		return all(s, 10, func(p relay.Page) ([]relay.Endpoint, string, error) { return s.Endpoints(s.ctx, s.a, p) })
	})
}

func (s *storeTest) endpointList() {
	var want []string
	for i := range 25 {
		e := s.endpoint(s.a, i)
		s.must(s.CreateEndpoint(s.ctx, e, 100))
		want = append(want, e.ID)
	}
	slices.Reverse(want)
	s.must(s.CreateEndpoint(s.ctx, s.endpoint(s.b, 0), 100))
	list := func(p relay.Page) ([]relay.Endpoint, string, error) { return s.Endpoints(s.ctx, s.a, p) }
	for _, limit := range []int{1, 7, 25, 100} {
		eventually(s, "endpoints", want, func() []string {
			return ids(all(s, limit, list), func(e relay.Endpoint) string { return e.ID })
		})
	}
	badCursor(s, "endpoints", list)
}

func (s *storeTest) largeEndpoints() {
	var want []string
	types := make([]string, 100)
	for i := range types {
		types[i] = fmt.Sprintf("t%d.%s", i, strings.Repeat("x", 120))
	}
	for i := range 100 {
		e := s.endpoint(s.a, i)
		e.EventTypes = types
		s.must(s.CreateEndpoint(s.ctx, e, 100))
		want = append(want, e.ID)
	}
	eventually(s, "live endpoints", want, func() []string {
		got := ids(s.live(), func(e relay.Endpoint) string { return e.ID })
		slices.Sort(got)
		return got
	})
	slices.Reverse(want)
	eventually(s, "endpoints", want, func() []string {
		return ids(all(s, 100, func(p relay.Page) ([]relay.Endpoint, string, error) { return s.Endpoints(s.ctx, s.a, p) }),
			func(e relay.Endpoint) string { return e.ID })
	})
}

func (s *storeTest) foreignEndpoints() {
	e := s.endpoint(s.a, 0)
	s.must(s.CreateEndpoint(s.ctx, e, 10))
	_, err := s.Endpoint(s.ctx, s.b, e.ID)
	s.fails("endpoint of another account", err, relay.ErrNotFound)
	stolen := e
	stolen.Account = s.b
	s.fails("update an endpoint of another account", s.UpdateEndpoint(s.ctx, stolen), relay.ErrNotFound)
	if got := all(s, 10, func(p relay.Page) ([]relay.Endpoint, string, error) { return s.Endpoints(s.ctx, s.b, p) }); len(got) > 0 {
		s.Errorf("another account lists %d endpoints", len(got))
	}
	if got, err := s.LiveEndpoints(s.ctx, s.b); err != nil || len(got) > 0 {
		s.Errorf("another account has %d live endpoints, %v", len(got), err)
	}
	got, err := s.Endpoint(s.ctx, s.a, e.ID)
	s.must(err)
	s.equal("endpoint after another account's update", got, e)
}

func (s *storeTest) counters() {
	id := s.endpoint(s.a, 0).ID
	at := func(sec int) time.Time { return Start.Add(time.Duration(sec) * time.Second) }
	var want relay.Counters
	for i, o := range []relay.Outcomes{
		{LastFailureAt: at(1), FailuresAfter: 1, FailingSince: at(1)},
		{LastFailureAt: at(3), FailuresAfter: 2, FailingSince: at(2)},
		{LastSuccessAt: at(4), LastFailureAt: at(5), FailuresAfter: 1, FailingSince: at(5)},
		{LastFailureAt: at(2), FailuresAfter: 3, FailingSince: at(1)}, // told late
		{LastSuccessAt: at(9)},
		{LastSuccessAt: at(7)}, // told late
		{LastFailureAt: at(10), FailuresAfter: 2, FailingSince: at(10), TimeoutsAfter: 2},
		{LastFailureAt: at(11), FailuresAfter: 1, FailingSince: at(11), TimeoutsAfter: 1},
		{LastSuccessAt: at(12)},
		{LastFailureAt: at(13), FailuresAfter: 1, FailingSince: at(13), TimeoutsAfter: 1},
		{LastFailureAt: at(14), FailuresAfter: 1, FailingSince: at(14), Answered: true},
		{LastFailureAt: at(17), FailuresAfter: 3, FailingSince: at(15), TimeoutsAfter: 2, Answered: true},
		{LastFailureAt: at(18), FailuresAfter: 1, FailingSince: at(18), TimeoutsAfter: 1},
	} {
		covered(s, relay.Outcomes{LastSuccessAt: at(4), LastFailureAt: at(5), FailuresAfter: 1, FailingSince: at(5), TimeoutsAfter: 1, Answered: true, Activity: []relay.Tally{{Failed: 1}}})
		want = want.Apply(o)
		got, err := s.AddOutcomes(s.ctx, id, o)
		s.must(err)
		s.equal(fmt.Sprintf("counters after outcomes %d", i), got, want)
	}
	for i, m := range []relay.Mark{relay.MarkProbe, relay.MarkDegraded, relay.MarkFailing, relay.MarkRecovered} {
		to := at(100 + 10*i)
		for _, try := range []struct {
			free, to time.Time
			want     bool
		}{{at(1), to, true}, {at(1), at(500), false}, {to.Add(-time.Millisecond), at(500), false}, {to, to.Add(time.Second), true}} {
			got, err := s.TakeMark(s.ctx, id, m, try.free, try.to)
			s.must(err)
			if got != try.want {
				s.Errorf("take mark %s, free until %v: %v, want %v", m, try.free, got, try.want)
			}
			if got {
				*m.Of(&want) = try.to
			}
		}
	}
	covered(s, want)

	// More than a batch of reads, most of them of nothing.
	asked := []string{id}
	for i := range 150 {
		asked = append(asked, s.endpoint(s.a, i).ID)
	}
	read := func() []relay.Counters {
		got, err := s.Counters(s.ctx, asked...)
		s.must(err)
		return []relay.Counters{got[id], got[asked[1]], got[asked[150]]}
	}
	eventually(s, "counters", []relay.Counters{want, {}, {}}, read)
	if got, err := s.Counters(s.ctx); err != nil || len(got) > 0 {
		s.Errorf("counters of no endpoint: %v, %v", got, err)
	}

	s.must(s.ResetCounters(s.ctx, id))
	s.must(s.ResetCounters(s.ctx, asked[1])) // of nothing
	want.FailureCount, want.FailingSince, want.Timeouts = 0, time.Time{}, 0
	eventually(s, "counters after a reset", []relay.Counters{want, {}, {}}, read)
}

func (s *storeTest) countersTogether() {
	id := s.endpoint(s.a, 0).ID
	together(8, func(i int) {
		for range 5 {
			at := Start.Add(time.Duration(i) * time.Second)
			if _, err := s.AddOutcomes(s.ctx, id, relay.Outcomes{LastFailureAt: at, FailuresAfter: 1, FailingSince: at}); err != nil {
				s.Errorf("add outcomes together with others: %v", err)
			}
		}
	})
	got, err := s.AddOutcomes(s.ctx, id, relay.Outcomes{LastFailureAt: Start, FailuresAfter: 1, FailingSince: Start})
	s.must(err)
	if got.FailureCount != 41 || !got.LastFailureAt.Equal(Start.Add(7*time.Second)) {
		s.Errorf("%d failures, the last at %v, want 41 at %v", got.FailureCount, got.LastFailureAt, Start.Add(7*time.Second))
	}
}

func (s *storeTest) markTogether() {
	id := s.endpoint(s.a, 0).ID
	var taken atomic.Int64
	together(8, func(i int) {
		ok, err := s.TakeMark(s.ctx, id, relay.MarkProbe, Start, Start.Add(time.Duration(i+1)*time.Second))
		if err != nil {
			s.Errorf("take a mark together with others: %v", err)
		}
		if ok {
			taken.Add(1)
		}
	})
	if n := taken.Load(); n != 1 {
		s.Errorf("%d of 8 took the same mark", n)
	}
}

func (s *storeTest) cancelled() {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	if _, err := s.Endpoint(ctx, s.a, "whend_none"); err == nil || errors.Is(err, relay.ErrNotFound) {
		s.Errorf("read with a cancelled context: %v", err)
	}
	if err := s.CreateEndpoint(ctx, s.endpoint(s.a, 0), 10); err == nil {
		s.Error("write with a cancelled context gave no error")
	}
}
