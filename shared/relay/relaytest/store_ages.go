package relaytest

import (
	"fmt"
	"sync/atomic"
	"time"

	"hookferry/shared/relay"
)

var replayPromises = []storePromise{
	{"a replay round-trips", (*storeTest).replays},
	{"a replay is updated only at the version that was read", (*storeTest).replayVersions},
	{"the replays of an account are listed, and the unfinished ones of all", (*storeTest).replayLists},
	{"an endpoint's time for replays is had by one", (*storeTest).replaySlots},
	{"open deliveries to an endpoint are found by when their events came", (*storeTest).openDeliveries},
	{"a replay vanishes when the retention time has passed since it was created", (*storeTest).replayAges},
}

var agePromises = []storePromise{
	{"an event vanishes after the retention time with what hangs on it", (*storeTest).retention},
	{"an event whose id was used before the retention time is a new one", (*storeTest).reused},
	{"deleted endpoints and dead keys vanish after the retention time", (*storeTest).deadAges},
}

func (s *storeTest) replay(i int) relay.Replay {
	at := s.clock.Now().Add(time.Duration(i) * time.Millisecond)
	return relay.Replay{
		ID: relay.NewID(relay.ReplayPrefix, at), Account: s.a, EndpointID: "whend_1", Since: at.Add(-time.Hour),
		Select: "bad", MaxPerSecond: 10, Status: relay.ReplayRunning, CreatedAt: at, UpdatedAt: at, Version: 1,
	}
}

func (s *storeTest) replays() {
	full := s.replay(0)
	full.Until, full.Status, full.Started, full.After = Start, relay.ReplayCompleted, 42, odd
	full.FinishedAt = Start.Add(time.Minute)
	full.NextAt = Start.Add(70 * time.Second)
	full.Succeeded, full.Failed, full.Skipped, full.Open, full.CountedAt = 30, 5, 4, 3, Start.Add(50*time.Second)
	covered(s, full)
	for _, r := range []relay.Replay{full, s.replay(1)} {
		put := r
		put.Version = 0 // the store's to set
		s.must(s.CreateReplay(s.ctx, put))
		got, err := s.Replay(s.ctx, s.a, r.ID)
		s.must(err)
		s.equal("replay", got, r)
		_, err = s.Replay(s.ctx, s.b, r.ID)
		s.fails("replay of another account", err, relay.ErrNotFound)
		r.Account = s.b
		s.fails("update a replay of another account", s.UpdateReplay(s.ctx, r), relay.ErrNotFound)
	}
	_, err := s.Replay(s.ctx, s.a, "rpl_none")
	s.fails("replay that is not there", err, relay.ErrNotFound)
}

func (s *storeTest) replayVersions() {
	r := s.replay(0)
	s.must(s.CreateReplay(s.ctx, r))
	for i := range 3 {
		r.Started, r.After, r.UpdatedAt = i, fmt.Sprint("page ", i), Start.Add(time.Duration(i)*time.Second)
		s.must(s.UpdateReplay(s.ctx, r))
		s.fails("update at a version that has passed", s.UpdateReplay(s.ctx, r), relay.ErrConflict)
		r.Version++
		got, err := s.Replay(s.ctx, s.a, r.ID)
		s.must(err)
		s.equal("updated replay", got, r)
	}
	s.fails("update what is not there", s.UpdateReplay(s.ctx, s.replay(1)), relay.ErrNotFound)
	var won atomic.Int32
	together(8, func(int) {
		if err := s.UpdateReplay(s.ctx, r); err == nil {
			won.Add(1)
		} else {
			s.fails("update together with others", err, relay.ErrConflict)
		}
	})
	if won.Load() != 1 {
		s.Errorf("%d of 8 updates of one version succeeded", won.Load())
	}
}

// replayAges holds the store to one rule: what was done with a replay since it
// was created makes it stay no longer.
func (s *storeTest) replayAges() {
	untouched, updated, finished := s.replay(0), s.replay(0), s.replay(0)
	for _, r := range []relay.Replay{untouched, updated, finished} {
		s.must(s.CreateReplay(s.ctx, r))
	}
	end := untouched.CreatedAt.Add(Retention)
	s.clock.Set(end.Add(-time.Second))
	updated.UpdatedAt = s.clock.Now()
	finished.UpdatedAt, finished.FinishedAt, finished.Status = s.clock.Now(), s.clock.Now(), relay.ReplayCompleted
	for _, r := range []*relay.Replay{&updated, &finished} {
		s.must(s.UpdateReplay(s.ctx, *r))
		r.Version++
	}
	for _, r := range []relay.Replay{untouched, updated, finished} {
		got, err := s.Replay(s.ctx, s.a, r.ID)
		s.must(err)
		s.equal("replay before the retention time", got, r)
	}

	s.clock.Set(end.Add(time.Second))
	for _, r := range []relay.Replay{untouched, updated, finished} {
		_, err := s.Replay(s.ctx, s.a, r.ID)
		s.fails("replay after the retention time", err, relay.ErrNotFound)
		s.fails("update a replay after the retention time", s.UpdateReplay(s.ctx, r), relay.ErrNotFound)
		again := r
		again.CreatedAt, again.Version = s.clock.Now(), 1
		s.must(s.CreateReplay(s.ctx, again))
		got, err := s.Replay(s.ctx, s.a, r.ID)
		s.must(err)
		s.equal("replay whose id was used before the retention time", got, again)
	}
}

// aged puts an event with one clean and one with an open delivery, and an
// attempt of each.
func (s *storeTest) aged(endpoint string) (clean, open relay.EventRecord, a relay.Attempt) {
	s.Helper()
	clean, open = s.put(0, endpoint), s.put(1, endpoint)
	s.list(clean, succeeded(endpoint))
	s.list(open, retrying(endpoint, 1, Start.Add(time.Minute)))
	a = s.attempt(endpoint, open.ID, 0)
	s.record(a)
	return clean, open, a
}

func (s *storeTest) retention() {
	endpoint := s.endpoint(s.a, 0).ID
	clean, open, a := s.aged(endpoint)
	s.clock.Set(Start.Add(Retention - time.Hour))
	eventually(s, "events before the retention time", 2, func() int { return len(s.listed(relay.EventFilter{}, 10)) })
	eventually(s, "overdue before the retention time", 1, func() int { return len(s.late(s.clock.Now())) })
	eventually(s, "attempts before the retention time", 1, func() int { return len(s.tried(endpoint, relay.AttemptFilter{}, 10)) })
	s.readEvent("event before the retention time", clean)
	s.deliveries("before the retention time", clean, true, succeeded(endpoint))

	s.clock.Set(Start.Add(Retention + time.Hour))
	for _, r := range []relay.EventRecord{clean, open} {
		for _, consistent := range []bool{true, false} {
			_, err := s.Event(s.ctx, s.a, r.ID, consistent)
			s.fails("event after the retention time", err, relay.ErrNotFound)
		}
		_, err := s.StartRun(s.ctx, s.a, r.ID, endpoint, "t", s.clock.Now())
		s.fails("start a run after the retention time", err, relay.ErrNotFound)
	}
	for _, f := range []relay.EventFilter{{}, {Statuses: []relay.EventStatus{relay.EventPending}}, {Statuses: []relay.EventStatus{relay.EventDelivered}}, {Types: []string{clean.Type}}, {Since: Start.Add(-time.Hour)}} {
		if got := s.listed(f, 10); len(got) > 0 {
			s.Errorf("events with %+v after the retention time: %v", f, got)
		}
	}
	if got := s.late(s.clock.Now()); len(got) > 0 {
		s.Errorf("overdue after the retention time: %v", got)
	}
	_, err := s.Attempt(s.ctx, s.a, endpoint, a.ID)
	s.fails("attempt after the retention time", err, relay.ErrNotFound)
	for _, f := range []relay.AttemptFilter{{}, {Bad: true}, {EventID: open.ID}} {
		if got := s.tried(endpoint, f, 10); len(got) > 0 {
			s.Errorf("attempts with %+v after the retention time: %v", f, got)
		}
	}
}

func (s *storeTest) reused() {
	endpoint := s.endpoint(s.a, 0).ID
	_, open, a := s.aged(endpoint)
	_, err := s.StartRun(s.ctx, s.a, open.ID, endpoint, "t", Start)
	s.must(err)
	s.clock.Set(Start.Add(Retention + time.Hour))
	again := s.event(s.a, 2)
	again.ID, again.Matched = open.ID, []string{endpoint, "whend_2"}
	s.putRecord(again)
	s.readEvent("event put again", again)
	s.deliveries("of an event put again", again, false)
	s.list(again, succeeded(endpoint), succeeded("whend_2"))
	s.deliveries("of an event listed again", again, true, succeeded(endpoint), succeeded("whend_2"))
	s.shows("an event put again", again, relay.EventDelivered)
	run, err := s.StartRun(s.ctx, s.a, again.ID, endpoint, "t", s.clock.Now())
	s.must(err)
	s.equal("run", run, relay.Run{Number: 1, Token: "t", StartedAt: s.clock.Now()})
	a.CreatedAt, a.MID = s.clock.Now(), relay.NewMID()
	s.record(a)
}

func (s *storeTest) deadAges() {
	end := s.clock.Now()
	live, deleted := s.endpoint(s.a, 0), s.endpoint(s.a, 1)
	for _, e := range []relay.Endpoint{live, deleted} {
		s.must(s.CreateEndpoint(s.ctx, e, 10))
	}
	deleted.Version, deleted.RevokedAt = 1, end
	deleted.Disable(relay.DisabledManual, end)
	s.must(s.UpdateEndpoint(s.ctx, deleted))
	lasting, revoked, expired := s.key(s.a, 0, relay.ScopeKeys), s.key(s.a, 1), s.key(s.a, 2)
	expired.ExpiresAt = end
	for _, k := range []relay.Key{lasting, revoked, expired} {
		s.must(s.CreateKey(s.ctx, k, 10))
	}
	_, err := s.RevokeKey(s.ctx, s.a, revoked.ID, end, "")
	s.must(err)
	listed := func() (got []string) {
		got = ids(all(s, 10, func(p relay.Page) ([]relay.Endpoint, string, error) { return s.Endpoints(s.ctx, s.a, p) }),
			func(e relay.Endpoint) string { return e.ID })
		return append(got, ids(all(s, 10, func(p relay.Page) ([]relay.Key, string, error) { return s.Keys(s.ctx, s.a, p) }),
			func(k relay.Key) string { return k.ID })...)
	}
	s.clock.Set(end.Add(Retention - time.Minute))
	eventually(s, "before the retention time has passed", []string{deleted.ID, live.ID, expired.ID, revoked.ID, lasting.ID}, listed)
	s.clock.Set(end.Add(Retention + time.Minute))
	eventually(s, "after it", []string{live.ID, lasting.ID}, listed)
	_, err = s.Endpoint(s.ctx, s.a, deleted.ID)
	s.fails("a deleted endpoint that has aged", err, relay.ErrNotFound)
	for _, k := range []relay.Key{revoked, expired} {
		_, err = s.Key(s.ctx, s.a, k.ID)
		s.fails("a dead key that has aged", err, relay.ErrNotFound)
		_, err = s.KeyByHash(s.ctx, k.Hash)
		s.fails("a dead key that has aged, by its hash", err, relay.ErrNotFound)
		under := s.key(s.a, 7)
		under.Ancestors = []string{k.ID}
		s.fails("create a key under one that has aged", s.CreateKey(s.ctx, under, 10), relay.ErrRevoked)
	}
}
