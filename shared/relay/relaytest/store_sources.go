package relaytest

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"hookferry/shared/relay"
)

var sourcePromises = []storePromise{
	{"a source round-trips and is found by its id alone", (*storeTest).sources},
	{"a source is updated only at the version that was read", (*storeTest).sourceVersions},
	{"the limit of sources holds under concurrency", (*storeTest).sourceLimit},
	{"a deleted source is gone with what was expected of it", (*storeTest).deletedSources},
	{"sources are listed newest first through all pages", (*storeTest).sourceList},
	{"sources of another account are not found", (*storeTest).foreignSources},
	{"an expectation is put once and keeps its fields", (*storeTest).expectations},
	{"the first event to resolve an expectation stays", (*storeTest).resolves},
	{"the limit of expectations counts unresolved ones", (*storeTest).expectationLimit},
	{"expectations are listed newest first through all pages", (*storeTest).expectationList},
}

func (s *storeTest) source(account string, i int) relay.Source {
	at := s.clock.Now().Add(time.Duration(i) * time.Millisecond)
	return relay.Source{
		ID: relay.NewID(relay.SourcePrefix, at), Account: account, Provider: relay.Rivya,
		Name: fmt.Sprint("source ", i), Status: relay.Active, CreatedAt: at, UpdatedAt: at, Version: 1,
	}
}

func (s *storeTest) sources() {
	now := s.clock.Now()
	rivya := s.source(s.a, 0)
	rivya.Name = odd
	rivya.Secret, rivya.OldSecret, rivya.OldSecretUntil = "1.bmV3", "1.b2xk", now.Add(time.Hour)
	sivi := s.source(s.a, 1)
	sivi.Provider, sivi.Status = relay.Sivi, relay.Disabled
	sivi.TokenHash, sivi.OldTokenHash, sivi.OldTokenUntil = relay.HashSecret("new"), relay.HashSecret("old"), now.Add(time.Minute)
	sivi.Token, sivi.APIKey, sivi.API, sivi.Confirm = "1.dG9rZW4", "1.a2V5", "enterprise", relay.ConfirmRequire
	hmac := s.source(s.a, 3)
	hmac.Provider, hmac.Recipe, hmac.PublicKeys = relay.HMAC, `{"signed":"{body}"}`, []string{"whpk_1", odd}
	plain := s.source(s.a, 2)
	covered(s, rivya, sivi, hmac)
	for _, src := range []relay.Source{rivya, sivi, hmac, plain} {
		put := src
		put.Version = 0 // the store's to set
		s.must(s.CreateSource(s.ctx, put, 10))
		got, err := s.Source(s.ctx, s.a, src.ID)
		s.must(err)
		s.equal("source", got, src)
		s.ingests("source by its id alone", src)
	}
	_, err := s.Source(s.ctx, s.a, "src_none")
	s.fails("source that is not there", err, relay.ErrNotFound)
	_, err = s.IngestSource(s.ctx, "src_none")
	s.fails("source by an id of none", err, relay.ErrNotFound)
}

func (s *storeTest) ingests(what string, want relay.Source) {
	s.Helper()
	eventually(s, what, want, func() relay.Source {
		got, _ := s.IngestSource(s.ctx, want.ID)
		return got
	})
}

func (s *storeTest) sourceVersions() {
	src := s.source(s.a, 0)
	s.must(s.CreateSource(s.ctx, src, 10))
	for i := range 3 {
		src.Name, src.Secret, src.TokenHash = fmt.Sprint("changed ", i), "1.bmV3", relay.HashSecret("token")
		if i == 1 { // fields go back to zero too
			src.Secret, src.TokenHash = "", relay.KeyHash{}
		}
		s.must(s.UpdateSource(s.ctx, src))
		s.fails("update at a version that has passed", s.UpdateSource(s.ctx, src), relay.ErrConflict)
		src.Version++
		got, err := s.Source(s.ctx, s.a, src.ID)
		s.must(err)
		s.equal("updated source", got, src)
	}
	s.ingests("updated source by its id alone", src)
	s.fails("update what is not there", s.UpdateSource(s.ctx, s.source(s.a, 1)), relay.ErrNotFound)

	var won atomic.Int32
	together(8, func(int) {
		if err := s.UpdateSource(s.ctx, src); err == nil {
			won.Add(1)
		} else {
			s.fails("update together with others", err, relay.ErrConflict)
		}
	})
	if won.Load() != 1 {
		s.Errorf("%d of 8 updates of one version succeeded", won.Load())
	}
}

func (s *storeTest) sourceLimit() {
	const limit = 5
	first := s.source(s.a, 0)
	s.must(s.CreateSource(s.ctx, first, limit))
	created := s.createTogether(16, func(i int) error { return s.CreateSource(s.ctx, s.source(s.a, i), limit) })
	if created != limit-1 {
		s.Errorf("%d sources created besides one under a limit of %d", created, limit)
	}
	s.must(s.CreateSource(s.ctx, s.source(s.b, 0), limit))
	s.must(s.DeleteSource(s.ctx, s.a, first.ID))
	s.must(s.CreateSource(s.ctx, s.source(s.a, 50), limit))
	s.fails("create at the limit", s.CreateSource(s.ctx, s.source(s.a, 51), limit), relay.ErrLimit)
}

func (s *storeTest) deletedSources() {
	src, other := s.source(s.a, 0), s.source(s.a, 1)
	s.must(s.CreateSource(s.ctx, src, 10))
	s.must(s.CreateSource(s.ctx, other, 10))
	for i := range 60 { // more than a batch of deletes
		_, err := s.PutExpectation(s.ctx, s.expectation(src.ID, i), 100)
		s.must(err)
	}
	_, err := s.PutExpectation(s.ctx, s.expectation(other.ID, 0), 100)
	s.must(err)

	s.must(s.DeleteSource(s.ctx, s.a, src.ID))
	_, err = s.Source(s.ctx, s.a, src.ID)
	s.fails("deleted source", err, relay.ErrNotFound)
	eventually(s, "deleted source by its id alone", true, func() bool {
		_, err := s.IngestSource(s.ctx, src.ID)
		return errors.Is(err, relay.ErrNotFound)
	})
	s.fails("update a deleted source", s.UpdateSource(s.ctx, src), relay.ErrNotFound)
	s.fails("delete a deleted source", s.DeleteSource(s.ctx, s.a, src.ID), relay.ErrNotFound)
	for _, i := range []int{0, 59} {
		_, err = s.Expectation(s.ctx, src.ID, s.expectation(src.ID, i).RequestID)
		s.fails("expectation of a deleted source", err, relay.ErrNotFound)
	}
	eventually(s, "expectations of a deleted source", 0, func() int { return len(s.expected(src.ID, 100)) })
	_, err = s.Expectation(s.ctx, other.ID, s.expectation(other.ID, 0).RequestID)
	s.must(err)
}

func (s *storeTest) sourceList() {
	var want []string
	for i := range 25 {
		src := s.source(s.a, i)
		s.must(s.CreateSource(s.ctx, src, 100))
		want = append(want, src.ID)
	}
	slices.Reverse(want)
	s.must(s.CreateSource(s.ctx, s.source(s.b, 0), 100))
	list := func(p relay.Page) ([]relay.Source, string, error) { return s.Sources(s.ctx, s.a, p) }
	for _, limit := range []int{1, 7, 25, 100} {
		eventually(s, "sources", want, func() []string {
			return ids(all(s, limit, list), func(src relay.Source) string { return src.ID })
		})
	}
	badCursor(s, "sources", list)
}

func (s *storeTest) foreignSources() {
	src := s.source(s.a, 0)
	s.must(s.CreateSource(s.ctx, src, 10))
	_, err := s.Source(s.ctx, s.b, src.ID)
	s.fails("source of another account", err, relay.ErrNotFound)
	stolen := src
	stolen.Account = s.b
	s.fails("update a source of another account", s.UpdateSource(s.ctx, stolen), relay.ErrNotFound)
	s.fails("delete a source of another account", s.DeleteSource(s.ctx, s.b, src.ID), relay.ErrNotFound)
	if got := all(s, 10, func(p relay.Page) ([]relay.Source, string, error) { return s.Sources(s.ctx, s.b, p) }); len(got) > 0 {
		s.Errorf("another account lists %d sources", len(got))
	}
	got, err := s.Source(s.ctx, s.a, src.ID)
	s.must(err)
	s.equal("source after another account's changes", got, src)
}

func (s *storeTest) expectation(source string, i int) relay.Expectation {
	at := Start.Add(time.Duration(i) * time.Millisecond)
	return relay.Expectation{
		Account: s.a, SourceID: source, RequestID: fmt.Sprintf("request %d %s", i, odd),
		CreatedAt: at, NextAt: at.Add(10 * time.Minute), GiveUpAt: at.Add(24 * time.Hour),
	}
}

func (s *storeTest) expected(source string, limit int) []relay.Expectation {
	s.Helper()
	return all(s, limit, func(p relay.Page) ([]relay.Expectation, string, error) { return s.Expectations(s.ctx, source, p) })
}

func (s *storeTest) expectations() {
	src := s.source(s.a, 0)
	s.must(s.CreateSource(s.ctx, src, 10))
	x := s.expectation(src.ID, 0)
	read := func(what string) {
		s.Helper()
		got, err := s.Expectation(s.ctx, src.ID, x.RequestID)
		s.must(err)
		s.equal(what, got, x)
	}
	old, err := s.PutExpectation(s.ctx, x, 10)
	s.must(err)
	s.equal("existing expectation", old, (*relay.Expectation)(nil))
	read("expectation")

	again := x
	again.CreatedAt, again.Asked = x.CreatedAt.Add(time.Hour), 9
	old, err = s.PutExpectation(s.ctx, again, 10)
	s.must(err)
	s.equal("existing expectation", old, &x)
	read("expectation after another was put")

	change := x
	change.Asked, change.NextAt, change.GaveUp = 3, Start.Add(time.Hour), true
	change.CreatedAt, change.GiveUpAt, change.EventID = Start.Add(time.Minute), Start.Add(time.Minute), "evt_no"
	change.Queued = true
	s.fails("update an expectation that was asked about less often", s.UpdateExpectation(s.ctx, change, 1), relay.ErrConflict)
	s.must(s.UpdateExpectation(s.ctx, change, 0))
	x.Asked, x.NextAt, x.GaveUp, x.Queued = 3, Start.Add(time.Hour), true, true
	read("updated expectation: Asked, NextAt, GaveUp and Queued alone")
	s.fails("update an expectation that was asked about meanwhile", s.UpdateExpectation(s.ctx, change, 0), relay.ErrConflict)

	got, err := s.ResolveExpectation(s.ctx, src.ID, x.RequestID, "evt_1")
	s.must(err)
	x.EventID = "evt_1"
	s.equal("resolved expectation", got, x)
	covered(s, got)
	s.fails("update a resolved expectation", s.UpdateExpectation(s.ctx, change, 3), relay.ErrConflict)
	read("resolved expectation after a refused update")

	eventually(s, "listed expectations", []relay.Expectation{x}, func() []relay.Expectation { return s.expected(src.ID, 10) })
	s.must(s.DeleteExpectation(s.ctx, src.ID, x.RequestID))
	s.must(s.DeleteExpectation(s.ctx, src.ID, x.RequestID)) // one that is gone is no error
	_, err = s.Expectation(s.ctx, src.ID, x.RequestID)
	s.fails("deleted expectation", err, relay.ErrNotFound)
	s.fails("update a deleted expectation", s.UpdateExpectation(s.ctx, x, 3), relay.ErrNotFound)
	_, err = s.ResolveExpectation(s.ctx, src.ID, x.RequestID, "evt_1")
	s.fails("resolve a deleted expectation", err, relay.ErrNotFound)
	never := s.expectation(src.ID, 1) // never asked for again
	never.NextAt = time.Time{}
	_, err = s.PutExpectation(s.ctx, never, 10)
	s.must(err)
	got, err = s.Expectation(s.ctx, src.ID, never.RequestID)
	s.must(err)
	s.equal("expectation that is never asked for", got, never)
}

func (s *storeTest) resolves() {
	src := s.source(s.a, 0)
	s.must(s.CreateSource(s.ctx, src, 10))
	x := s.expectation(src.ID, 0)
	_, err := s.PutExpectation(s.ctx, x, 10)
	s.must(err)
	events := make([]string, 8)
	together(8, func(i int) {
		got, err := s.ResolveExpectation(s.ctx, src.ID, x.RequestID, fmt.Sprint("evt_", i))
		if err != nil {
			s.Errorf("resolve together with others: %v", err)
		}
		events[i] = got.EventID
	})
	got, err := s.Expectation(s.ctx, src.ID, x.RequestID)
	s.must(err)
	for i, e := range events {
		if e == "" || e != got.EventID {
			s.Errorf("call %d was told %q, and the store has %q", i, e, got.EventID)
		}
	}
}

func (s *storeTest) expectationLimit() {
	const limit = 5
	src := s.source(s.a, 0)
	s.must(s.CreateSource(s.ctx, src, 10))
	next := 0
	// fill puts expectations until one is refused. The count may be some
	// seconds old, so that a few too many are no fault.
	fill := func() int {
		s.Helper()
		for put := 0; put <= 2*limit; put++ {
			s.clock.Advance(10 * time.Second)
			_, err := s.PutExpectation(s.ctx, s.expectation(src.ID, next), limit)
			if err != nil {
				s.fails("put an expectation over the limit", err, relay.ErrLimit)
				return put
			}
			next++
		}
		s.Fatalf("no limit after %d expectations", next)
		return 0
	}
	if n := fill(); n != limit {
		s.Errorf("%d expectations were put under a limit of %d", n, limit)
	}
	old, err := s.PutExpectation(s.ctx, s.expectation(src.ID, 0), limit)
	if err != nil || old == nil {
		s.Errorf("an existing expectation at the limit: %v, %v", old, err)
	}
	for i := range 2 {
		_, err := s.ResolveExpectation(s.ctx, src.ID, s.expectation(src.ID, i).RequestID, "evt_1")
		s.must(err)
	}
	s.must(s.DeleteExpectation(s.ctx, src.ID, s.expectation(src.ID, 2).RequestID))
	if n := fill(); n != 3 {
		s.Errorf("%d expectations were put where 3 had been resolved or deleted", n)
	}
}

func (s *storeTest) expectationList() {
	src, other := s.source(s.a, 0), s.source(s.a, 1)
	s.must(s.CreateSource(s.ctx, src, 10))
	s.must(s.CreateSource(s.ctx, other, 10))
	var want []string
	for i := range 25 {
		x := s.expectation(src.ID, i)
		_, err := s.PutExpectation(s.ctx, x, 100)
		s.must(err)
		want = append(want, x.RequestID)
	}
	slices.Reverse(want)
	_, err := s.PutExpectation(s.ctx, s.expectation(other.ID, 0), 100)
	s.must(err)
	for _, limit := range []int{1, 7, 25, 100} {
		eventually(s, "expectations", want, func() []string {
			return ids(s.expected(src.ID, limit), func(x relay.Expectation) string { return x.RequestID })
		})
	}
	badCursor(s, "expectations", func(p relay.Page) ([]relay.Expectation, string, error) { return s.Expectations(s.ctx, src.ID, p) })
}
